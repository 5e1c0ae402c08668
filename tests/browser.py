"""A browser for the tests: Debian's chromium, driven by Playwright, which never fetches one of its own.

FRIEREN_CHROMIUM names the program; otherwise it is looked for on the path.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Download, Page

KEYS = {"enter": "Enter", "tab": "Tab", "shift": "Shift", "left": "ArrowLeft", "right": "ArrowRight"}
# No sandbox: tests run as root in containers. Nothing but our own pages is opened.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]


def program() -> str | None:
    """Path of chromium; None if it is not here."""
    return os.environ.get("FRIEREN_CHROMIUM") or shutil.which("chromium")


def missing() -> str:
    """What is not here of what the tests in a browser need; "" if all is."""
    return "" if program() and find_spec("playwright") else "needs chromium and the package playwright"


needed = pytest.mark.skipif(bool(missing()), reason=missing())


class Browser:
    """One window. `press` types, `run` evaluates JavaScript, `wait` waits until JavaScript says yes.

    Attributes:
        page: Playwright's own.
        downloads: folder of the files that the page saves.
        requests: addresses of all that was asked for since the window was opened.
    """

    def __init__(self, page: Page, downloads: Path) -> None:
        self.page, self.downloads = page, downloads
        self.requests: list[str] = []
        self._complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("download", self._save)
        self._devtools = page.context.new_cdp_session(page)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complaints.append(message.text)

    def _save(self, download: Download) -> None:
        download.save_as(self.downloads / download.suggested_filename)

    def go(self, url: str) -> None:
        self.page.goto(url)

    def run(self, script: str, *arguments: object) -> Any:
        function = f"given => (function () {{ {script} }}).apply(null, given)"
        return self.page.evaluate(function, list(arguments))

    def wait(self, script: str, *arguments: object, seconds: float = 30) -> Any:
        until = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < until, f"not true within {seconds:g} s: {script}\n{self.text()}"
            self.page.wait_for_timeout(50)
        return value

    def press(self, *keys: str) -> None:
        """Type each of `keys`, a name of KEYS or a text, wherever the focus is."""
        for key in keys:
            if key in KEYS:
                self.page.keyboard.press(KEYS[key])
            else:
                for letter in key:
                    self.page.keyboard.press("Space" if letter == " " else letter)

    def text(self) -> str:
        """What a person reads."""
        return self.run("return document.body.innerText")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.devtools("Emulation.setTouchEmulationEnabled", enabled=phone)

    def devtools(self, command: str, **parameters: object) -> Any:
        return self._devtools.send(command, parameters)

    def picture(self, path: Path) -> None:
        path.write_bytes(self.page.screenshot())

    def complaints(self) -> list[str]:
        """What the page wrote to the console as an error, or did not catch, since the last call."""
        found, self._complaints = self._complaints, []
        return found


@contextmanager
def browser(downloads: Path, *, arguments: tuple[str, ...] = ()) -> Iterator[Browser]:
    """A headless chromium with a fresh profile that saves downloads into a folder."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program(), args=[*FLAGS, *arguments])
        try:
            page = chromium.new_page(viewport={"width": 1200, "height": 900})
            page.set_default_timeout(60_000)
            yield Browser(page, downloads)
        finally:
            chromium.close()
