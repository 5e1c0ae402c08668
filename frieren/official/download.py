"""One file from a server, whole or not at all: resumed, retried, checked, renamed into place."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from frieren.errors import WeightsError

CHUNK = 1 << 14  # bytes between two reports; what a cut connection may lose of what had arrived
PATIENCE = (10.0, 60.0)  # seconds to connect, and between bytes
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds: before the second attempt, doubled each time; and at most
Report = Callable[[int, int | None], None]  # bytes done, bytes in all if known


class DownloadError(WeightsError):
    """A file cannot be had from a server, or is not the one that was expected."""


class Interrupted(Exception):
    """An attempt failed in a way that may pass; `pause` is what the server asks for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def ignore(done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    on_progress: Report = ignore,
    attempts: int = 5,
) -> Path:
    """Fetches `url` into `target`, going on where an earlier attempt was cut.

    Args:
        url: http or https; redirects are followed.
        size, sha256: what the file must have, where that is known. A target that has it is not fetched again.
        on_progress: called with (bytes done, bytes in all or None).
        attempts: in a row without a new byte, before it gives up.

    Raises:
        DownloadError: if the server cannot be reached, refuses, keeps failing, answers with a web page, or sends
            another file than expected.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url}: expected an address that begins with https:// or http://")
    if target.exists() and (size is not None or sha256 is not None) and problem(target, size, sha256) is None:
        return target
    part = target.with_name(f"{target.name}.part")
    fruitless, pause = 0, PAUSE
    with requests.Session() as session:
        while True:
            before = length(part)
            try:
                total = attempt(session, url, part, on_progress)
                break
            except Interrupted as error:
                fruitless = 0 if length(part) > before else fruitless + 1
                if fruitless == attempts:
                    raise DownloadError(f"{url}: {error}; gave up after {attempts} attempts") from error
                pause = PAUSE * 2**fruitless
                time.sleep(min(max(pause, error.pause), LONGEST_PAUSE))
    if wrong := problem(part, total if size is None else size, sha256):
        forget(part)
        raise DownloadError(f"{url}: {wrong}; the file there has changed, or the download was damaged")
    os.replace(part, target)
    validator(part).unlink(missing_ok=True)
    return target


def attempt(session: requests.Session, url: str, part: Path, on_progress: Report) -> int | None:
    """One connection: appends to `part` what is missing; returns the length that the server states.

    Raises:
        Interrupted: it may work next time.
        DownloadError: it will not.
    """
    tag, headers = validator(part), {"Accept-Encoding": "identity"}
    # Without a validator nobody can say that the rest belongs to the same file, so it starts afresh.
    start = length(part) if tag.exists() else 0
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text()}
    try:
        with session.get(url, headers=headers, stream=True, timeout=PATIENCE) as response:
            if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{start}":
                return start
            refuse(response, url, part)
            if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            ):
                forget(part)
                raise Interrupted("the server sent another part than was asked for")
            start = start if response.status_code == 206 else 0
            total = stated(response, start)
            remember(response, tag)
            with part.open("ab" if start else "wb") as file:
                for block in response.iter_content(CHUNK):
                    file.write(block)
                    on_progress(file.tell(), total)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        if is_unreachable(error):
            raise DownloadError(f"{url}: the server cannot be reached from here; check the network") from error
        raise Interrupted(f"the connection was cut ({type(error).__name__})") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from error
    if total is not None and length(part) < total:
        raise Interrupted(f"the connection ended after {length(part)} of {total} bytes")
    return total


def refuse(response: requests.Response, url: str, part: Path) -> None:
    """Raises what the status or the kind of the answer asks for."""
    code = response.status_code
    if code == 416:
        forget(part)
        raise Interrupted("what was there does not fit the file on the server")
    if code == 429 or code >= 500:
        wait = response.headers.get("Retry-After", "")
        raise Interrupted(f"the server answers {code}", float(wait) if wait.isdigit() else 0.0)
    if code not in (200, 206):
        raise DownloadError(f"{url}: the server answers {code} {response.reason}; the file may have moved")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{url}: a web page came in place of a file: a quota or a permission; open it in a browser")


def remote_size(url: str) -> int | None:
    """Length in bytes of a file on a server; None if the server does not say.

    Raises:
        DownloadError: if the server cannot be reached.
    """
    headers = {"Accept-Encoding": "identity"}
    try:
        with requests.head(url, headers=headers, allow_redirects=True, timeout=PATIENCE) as response:
            if response.ok and "Content-Length" in response.headers:
                return int(response.headers["Content-Length"])
        with requests.get(url, headers=headers | {"Range": "bytes=0-0"}, stream=True, timeout=PATIENCE) as response:
            size = response.headers.get("Content-Range", "").rpartition("/")[2]
            return int(size) if response.status_code == 206 and size.isdigit() else None
    except requests.RequestException as error:
        raise DownloadError(f"{url}: the server cannot be reached from here ({type(error).__name__})") from error


def stated(response: requests.Response, start: int) -> int | None:
    """Length of the whole file by the answer's headers."""
    rest = response.headers.get("Content-Length", "")
    return start + int(rest) if rest.isdigit() else None


def is_unreachable(error: requests.RequestException) -> bool:
    """Whether no connection came about at all: offline, a wrong name, nobody there."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def validator(part: Path) -> Path:
    """The file with what tells one version on the server from another."""
    return part.with_name(f"{part.name}.tag")


def remember(response: requests.Response, tag: Path) -> None:
    """Keeps the answer's validator; a weak one does not do for parts of a file."""
    etag = response.headers.get("ETag", "")
    found = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    if found:
        tag.write_text(found)
    else:
        tag.unlink(missing_ok=True)


def forget(part: Path) -> None:
    """Removes a part and its validator."""
    part.unlink(missing_ok=True)
    validator(part).unlink(missing_ok=True)


def length(path: Path) -> int:
    """Bytes in a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def problem(path: Path, size: int | None, sha256: str | None) -> str | None:
    """What is wrong with a finished file."""
    if size is not None and length(path) != size:
        return f"{length(path)} bytes, expected {size}"
    if sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            return f"SHA-256 is {found}, expected {sha256}"
    return None
