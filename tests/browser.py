"""A browser for the tests: Debian's chromium, driven through its own chromedriver by the WebDriver protocol.

The protocol is plain JSON over HTTP, so nothing has to be installed with pip. FRIEREN_CHROMIUM and FRIEREN_CHROMEDRIVER
name the two programs; otherwise they are looked for on the path.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

KEYS = {"enter": "\ue007", "tab": "\ue004", "shift": "\ue008", "left": "\ue012", "right": "\ue014"}


def programs() -> tuple[str | None, str | None]:
    """Paths of chromium and chromedriver, None for one that is not here."""
    return (
        os.environ.get("FRIEREN_CHROMIUM") or shutil.which("chromium"),
        os.environ.get("FRIEREN_CHROMEDRIVER") or shutil.which("chromedriver"),
    )


class Browser:
    """One window. `press` types, `run` evaluates JavaScript, `wait` waits until JavaScript says yes."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, body: dict | None = None, method: str = "POST") -> Any:
        answer = requests.request(method, self.url + path, json={} if body is None else body, timeout=60)
        value = answer.json()["value"]
        assert answer.ok, f"{path}: {value.get('error')}: {value.get('message')}"
        return value

    def go(self, url: str) -> None:
        self.call("/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, *arguments: object, seconds: float = 30) -> Any:
        until = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < until, f"not true within {seconds:g} s: {script}\n{self.text()}"
            time.sleep(0.05)
        return value

    def press(self, *keys: str) -> None:
        """Type each of `keys`, a name of KEYS or a text, wherever the focus is."""
        letters = [letter for key in keys for letter in ([KEYS[key]] if key in KEYS else key)]
        strokes = [{"type": kind, "value": letter} for letter in letters for kind in ("keyDown", "keyUp")]
        self.call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def text(self) -> str:
        """What a person reads."""
        return self.run("return document.body.innerText")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        self.devtools("Emulation.setTouchEmulationEnabled", enabled=phone)

    def devtools(self, command: str, **parameters: object) -> Any:
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("/screenshot", method="GET")))

    def complaints(self) -> list[str]:
        """What the page wrote to the console as an error since the last call."""
        return [one["message"] for one in self.call("/se/log", {"type": "browser"}) if one["level"] == "SEVERE"]


@contextmanager
def browser(downloads: Path, *, arguments: tuple[str, ...] = ()) -> Iterator[Browser]:
    """A headless chromium with a fresh profile that saves downloads into a folder."""
    chromium, driver = programs()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        root = f"http://127.0.0.1:{port}"
        patiently(lambda: requests.get(f"{root}/status", timeout=5).json()["value"]["ready"])
        # No sandbox: tests run as root in containers. Nothing but our own page is opened.
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--mute-audio",
            *arguments,
        ]
        options = {
            "binary": chromium,
            "args": flags,
            "prefs": {"download.default_directory": str(downloads), "download.prompt_for_download": False},
        }
        wishes = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = requests.post(f"{root}/session", json={"capabilities": {"alwaysMatch": wishes}}, timeout=120).json()
        session = made["value"].get("sessionId")
        assert session, made["value"]
        window = Browser(f"{root}/session/{session}")
        try:
            yield window
        finally:
            requests.delete(window.url, timeout=30)
    finally:
        server.terminate()
        server.wait()


def patiently(ready: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something answers with yes."""
    until = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < until, f"not ready within {seconds:g} s"
        time.sleep(0.1)
