# SPDX-License-Identifier: Apache-2.0
"""The README in the package's metadata, which PyPI shows: its relative links lead into the repository.

The repository's address is ``Source`` among ``[project.urls]`` in ``pyproject.toml``, its only place. Without
it, the links stay relative.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)(\[[^\[\]]*\])\((?!\w+:|#)([^)\s]+)\)")


class ReadmeForPyPI(MetadataHookInterface):
    """Sets ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the text; PyPI takes no files but the one."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        if repository := metadata.get("urls", {}).get("Source"):
            text = with_absolute_links(text, repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, repository: str) -> str:
    """Return a page whose links lead into the repository: to pictures raw, to pages as its site has them."""

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"
        return f"{found[1]}{found[2]}({repository.rstrip('/')}/{kind}/HEAD/{found[3]})"

    return LINK.sub(absolute, text)
