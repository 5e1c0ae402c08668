"""A service for the tests: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from frieren.service.application import create_app
from frieren.service.schema import ENDED
from frieren.service.settings import Settings

PATIENCE = 240.0  # seconds until a test gives up, on a machine that does much else


@contextmanager
def service(folder: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a service in this process, with `tiny`."""
    chosen = {"folder": folder, "models": ("tiny",), "devices": ("cpu",), **settings}
    with TestClient(create_app(Settings(**chosen))) as client:
        yield client


def submit(client: Any, video: bytes | Path, *, id: str | None = None, name: str = "clip.mp4", **options: Any) -> Any:
    """The response to a job for `tiny`, whose result is a sound."""
    content = video if isinstance(video, bytes) else video.read_bytes()
    table = {"model": "tiny", "format": "wav", **options}
    return client.request(
        "POST" if id is None else "PUT",
        "/v1/jobs" if id is None else f"/v1/jobs/{id}",
        files={"video": (name, content)},
        data={"options": json.dumps(table)},
    )


def until(ready: Any, said: str = "not in time") -> Any:
    """What `ready` gives as soon as it gives something."""
    end = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < end, said
        time.sleep(0.02)
    return found


def ended(client: Any, id: str) -> dict[str, Any]:
    """A job at its end."""

    def look() -> dict[str, Any] | None:
        job = client.get(f"/v1/jobs/{id}").json()
        return job if job["state"] in ENDED else None

    return until(look, f"{id} has not ended")


def done(client: Any, id: str) -> dict[str, Any]:
    """A job that is done."""
    job = ended(client, id)
    assert job["state"] == "done", job["error"]
    return job


def events(client: Any, id: str, after: int | str | None = None) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, kind and data of a job's events, until the stream ends."""
    found, fields = [], {}
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "id" in fields:
                found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
                fields = {}
    return found


class Process:
    """`frieren serve` in a process of its own, on a port that was free."""

    def __init__(self, folder: Path, *arguments: str, token: str | None = None) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "FRIEREN_TOKEN": token or ""}
        command = [sys.executable, "-m", "frieren", "serve", "--port", "0", "--model", "tiny", "--device", "cpu"]
        self.log = folder.with_suffix(".log")
        with self.log.open("ab") as log:
            begin = self.log.stat().st_size
            self.process = subprocess.Popen(
                [*command, "--folder", str(folder), *arguments], stderr=log, env=environment
            )
        self.url = until(lambda: self._address(begin), "the service does not start")

    def _address(self, begin: int) -> str | None:
        text = self.log.read_bytes()[begin:].decode()
        assert self.process.poll() is None, text
        found = re.search(r"^(http://\S+)/docs", text, re.MULTILINE)
        return found[1] if found else None

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Processes that are killed at the end, whatever happens."""
    started: list[Process] = []
    yield started
    for one in started:
        one.kill()
