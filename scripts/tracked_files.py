# SPDX-License-Identifier: Apache-2.0
"""What an sdist contains: the files that git tracks, and so nothing that lies about in somebody's clone.

Hatchling's own rule is ``.gitignore``, which only leaves out what someone thought of.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TrackedFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the tracked files, as ``pyproject.toml`` excludes all files. Outside of a clone, git fails."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self.root, check=True, capture_output=True)
        names = listed.stdout.decode().rstrip("\0").split("\0")
        build_data["force_include"] |= {str(Path(self.root, name)): name for name in names}
