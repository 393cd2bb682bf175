# SPDX-License-Identifier: Apache-2.0
"""Follow every link inside a built site, and fail if one leads nowhere: check_site.py FOLDER."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit


class Page(HTMLParser):
    """What a page links to, and the anchors that others may link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(folder: Path) -> list[str]:
    """Return each link that leads nowhere, with its page."""
    folder = folder.resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    return [
        f"{path.relative_to(folder)}: {link}"
        for path, page in pages.items()
        for link in sorted(page.links)
        if not leads_somewhere(path, link, pages)
    ]


def leads_somewhere(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Say whether a link on a page leads to another site, or to something that exists."""
    target = urlsplit(urljoin(path.as_uri(), link))
    if target.scheme != "file":
        return True
    file = Path(unquote(target.path))
    return file.is_file() and (file not in pages or unquote(target.fragment) in pages[file].anchors)


if __name__ == "__main__":
    broken = broken_links(Path(sys.argv[1]))
    print("\n".join(broken) or "Every link inside the site leads somewhere.")
    sys.exit(bool(broken))
