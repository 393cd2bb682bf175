# SPDX-License-Identifier: Apache-2.0
"""The parts of Airflow's pages, found by the words that a person reads there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect


class Camera:
    """Takes pictures for the documentation.

    :param folder: where to put them; with ``None``, no pictures are taken.
    """

    def __init__(self, page: Page, folder: Path | None) -> None:
        self._page = page
        self._folder = folder

    def take(self, name: str, *, height: int) -> None:
        """Save a picture of the window at this height in pixels."""
        size = self._page.viewport_size
        self._page.set_viewport_size({**size, "height": height})
        self._save(name)
        self._page.set_viewport_size(size)

    def take_top(self, name: str, of: Locator, *, height: int) -> None:
        """Save a picture of the upper part of something in the window."""
        clip = of.bounding_box()
        self._save(name, clip={**clip, "height": min(height, clip["height"])})

    def _save(self, name: str, **options: Any) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._page.screenshot(path=self._folder / f"{name}.png", animations="disabled", **options)


class ConnectionForm:
    """The dialog that adds a connection, or edits one."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.dialog = page.get_by_role("dialog")
        self.save_button = self.dialog.get_by_role("button", name="Save")

    def choose_type(self, name: str) -> None:
        self.dialog.get_by_label("Connection Type").fill(name)
        self._page.get_by_role("option", name=name, exact=True).click()

    def open(self, section: str) -> None:
        """Unfold a section of the form."""
        self.dialog.get_by_role("button", name=section, exact=True).click()

    def field(self, label: str) -> Locator:
        """Return a field with its label and its help text."""
        named = self._page.locator("label", has_text=re.compile(rf"^{re.escape(label)}\s*\*?$"))
        return self.dialog.locator("[data-scope=field][data-part=root]").filter(has=named)

    def input(self, label: str) -> Locator:
        return self.field(label).locator("input:not([type=hidden])")

    def help(self, label: str) -> Locator:
        return self.field(label).locator("[data-part=helper-text]")

    def type(self, label: str, value: str) -> None:
        """Type into a field, and go on to the next."""
        self.input(label).fill(value)
        self.input(label).blur()

    def choose(self, label: str, value: str) -> list[str]:
        """Choose from a drop-down; return what it offers."""
        self.input(label).click()
        options = self._page.get_by_role("option")
        expect(options.first).to_be_visible()
        offered = options.all_inner_texts()
        options.get_by_text(value, exact=True).click()
        expect(self.field(label)).to_contain_text(value)
        return offered

    def save(self) -> None:
        self.save_button.click()
        expect(self.dialog).to_have_count(0)


class Connections:
    """The page that lists connections."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def visit(self) -> None:
        self._page.goto("/connections")

    def add(self) -> ConnectionForm:
        self._page.get_by_role("button", name="Add Connection").click()
        return ConnectionForm(self._page)

    def change(self, name: str, label: str, value: str) -> None:
        """Change one standard field of a connection."""
        self._row(name).get_by_role("button", name="Edit Connection").click()
        form = ConnectionForm(self._page)
        form.type(label, value)
        form.save()

    def test(self, name: str) -> Locator:
        """Press Test, and return the message."""
        self.visit()  # earlier messages are gone then
        self._row(name).get_by_role("button", name="Test Connection").click()
        message = self._page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection")
        expect(message).to_be_visible()
        return message

    def _row(self, name: str) -> Locator:
        return self._page.get_by_role("row").filter(has_text=name)


class TaskPage:
    """The page of a task of the run that is open."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.panel = page.locator("#root")
        self.link = page.get_by_role("link", name="NebulaGraph Explorer job", exact=True)

    def visit(self, task_id: str) -> None:
        # The page of a run shows its tasks twice, in the grid and in a list; either may be the first.
        self._page.locator(f"a[data-testid^='grid-'][href$='/tasks/{task_id}']").click()
        expect(self._page.get_by_role("heading", name=task_id, exact=True)).to_be_visible()

    def state(self, name: str) -> Locator:
        return self._page.get_by_text(name, exact=True).first

    def open(self, tab: str) -> None:
        self._page.get_by_role("link", name=tab, exact=True).click()
