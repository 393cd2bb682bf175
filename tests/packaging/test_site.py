# SPDX-License-Identifier: Apache-2.0
"""The documentation: what has a page, and the checker of the built site's links."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer.provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "howto").glob("*.md")}
INDEX = PAGES.pop("index")
CLASSES = [
    name
    for kind in ("operators", "sensors", "triggers")
    for found in get_provider_info()[kind]
    for module in map(import_module, found["python-modules"])
    for name, value in vars(module).items()
    if isinstance(value, type) and value.__module__ == module.__name__ and name.startswith("Nebula")
    if not issubclass(value, Exception)
]


@pytest.mark.parametrize("name", CLASSES)
def test_each_operator_sensor_and_trigger_has_a_page(name):
    assert name in INDEX
    (page,) = [text for text in PAGES.values() if f"`{name}`" in text.partition("```")[0]]
    assert "```{literalinclude}" in page or "```python" in page


def check(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    command = [sys.executable, str(ROOT / "scripts" / "check_site.py"), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_site_whose_links_lead_somewhere_passes(tmp_path):
    page = '<p id="there"><a href="#there"><a href="https://example.com/">'
    ended = check(tmp_path, a='<a href="b.html#there">', b=page)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("link", ["c.html", "b.html#here", "#here", "style.css"])
def test_a_link_that_leads_nowhere_is_reported_with_its_page(tmp_path, link):
    ended = check(tmp_path, a=f'<a href="{link}">', b='<p id="there">')
    assert (ended.returncode, ended.stdout) == (1, f"a.html: {link}\n")
