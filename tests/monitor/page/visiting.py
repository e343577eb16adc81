"""Pages written for a test, and opened in a browser that says what it noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.monitor.page.page import page
from sightline.monitor.report import Failure, Report


def write(folder: Path, records: list[Report | Failure], **options: Any) -> str:
    """The page of some records, their images in ``folder``."""
    return "".join(page(records, count=len(records), base=folder, **options))


class Visit:
    """A page that is open, what its console said and what it asked the network for."""

    def __init__(self, browser: Any, file: Path, text: str, **context: Any) -> None:
        file.write_text(text, encoding="utf-8")
        self.page = browser.new_context(**context).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", "file:"))
                else self.asked.append(request.url)
            ),
        )
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def _dismiss(self, dialog: Any) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()
