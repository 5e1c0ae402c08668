"""One file from a server, whole or not at all: resumed, retried, checked, renamed into place."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from frieren.errors import WeightsError
from frieren.files import file_hash

CHUNK = 1 << 14  # bytes between two reports; what a cut connection may lose of what had arrived
PATIENCE = (10.0, 60.0)  # seconds to connect, and between bytes
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds: after a cut, doubled with each attempt that brings no new byte; and at most
IDENTITY = {"Accept-Encoding": "identity"}  # a range of a compressed answer would be a range of something else
Report = Callable[[int, int | None], None]  # bytes done, bytes in all if known


class DownloadError(WeightsError):
    """A file cannot be had from a server, or is not the one that was expected."""


class Interrupted(Exception):
    """An attempt failed in a way that may pass; `pause` is what the server asks for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Unreachable(Interrupted):
    """No connection came about: offline, a wrong name, nobody there."""


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
            another file than expected; or if the file cannot be written.
    """
    demand_web(url)
    part = target.with_name(f"{target.name}.part")
    try:
        if target.exists() and (size is not None or sha256 is not None) and problem(target, size, sha256) is None:
            return target
        total = complete(url, part, on_progress, attempts)
        if wrong := problem(part, total if size is None else size, sha256):
            forget(part)
            raise DownloadError(f"{url}: {wrong}; the file there has changed, or the download was damaged")
        os.replace(part, target)
        validator(part).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{url}: {target} cannot be written ({error.strerror or error}); choose another place"
        ) from error
    return target


def complete(url: str, part: Path, on_progress: Report, attempts: int) -> int | None:
    """Makes attempts until `part` is whole; returns the length that the server states.

    Raises:
        DownloadError: if there is no hope, or not any more.
    """
    # A byte that was there before is not a new one: a server that makes every attempt start afresh is given up too.
    furthest, fruitless, first = length(part), 0, True
    with requests.Session() as session:
        while True:
            try:
                return attempt(session, url, part, on_progress)
            except Interrupted as error:
                if first and isinstance(error, Unreachable):
                    raise DownloadError(f"{url}: {error}; check the network") from error
                fruitless = 0 if length(part) > furthest else fruitless + 1
                if fruitless >= attempts:
                    raise DownloadError(f"{url}: {error}; gave up after {attempts} attempts") from error
                furthest, first = max(furthest, length(part)), False
                time.sleep(min(max(PAUSE * 2**fruitless, error.pause), LONGEST_PAUSE))


def attempt(session: requests.Session, url: str, part: Path, on_progress: Report) -> int | None:
    """One connection: appends to `part` what is missing; returns the length that the server states.

    Raises:
        Interrupted: it may work next time.
        DownloadError: it will not.
    """
    tag, headers = validator(part), IDENTITY
    # Without a validator nobody can say that the rest belongs to the same file, so it starts afresh.
    start = length(part) if tag.exists() else 0
    if start:
        headers = IDENTITY | {"Range": f"bytes={start}-", "If-Range": tag.read_text()}
    try:
        with session.get(url, headers=headers, stream=True, timeout=PATIENCE) as response:
            if start and is_whole(response, start, tag):
                return start
            refuse(response, url, part)
            if response.status_code == 206 and not goes_on(response, start, tag):
                forget(part)
                raise Interrupted("the server sent another part than was asked for")
            total, resumed = stated(response), response.status_code == 206
            with part.open("ab" if resumed else "wb") as file:
                if not resumed:  # only now is the old content gone that the old validator stood for
                    remember(response, tag)
                for block in response.iter_content(CHUNK):
                    file.write(block)
                    on_progress(file.tell(), total)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        if is_unreachable(error):
            raise Unreachable(f"{host(error)} cannot be reached") from error
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
    if is_page(response):
        raise DownloadError(f"{url}: a web page came in place of a file: a quota or a permission; open it in a browser")


def remote_size(url: str) -> int | None:
    """Length in bytes of a file on a server; None if the server does not say.

    Raises:
        DownloadError: if the server cannot be reached.
    """
    demand_web(url)
    try:
        for method, headers in (("HEAD", IDENTITY), ("GET", IDENTITY | {"Range": "bytes=0-0"})):
            with requests.request(
                method, url, headers=headers, allow_redirects=True, stream=True, timeout=PATIENCE
            ) as response:
                size = stated(response)
                if response.ok and not is_page(response) and size is not None:
                    return size
    except requests.RequestException as error:
        why = f"{host(error)} cannot be reached" if is_unreachable(error) else f"no answer ({type(error).__name__})"
        raise DownloadError(f"{url}: {why}; check the network") from error
    return None


def demand_web(url: str) -> None:
    """Raises DownloadError for anything but http and https."""
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url}: expected an address that begins with https:// or http://")


def stated(response: requests.Response) -> int | None:
    """Length of the whole file by the answer's headers; a part's own length says nothing about it."""
    header = "Content-Range" if response.status_code == 206 else "Content-Length"
    size = response.headers.get(header, "").rpartition("/")[2]
    return int(size) if size.isdigit() else None


def goes_on(response: requests.Response, start: int, tag: Path) -> bool:
    """Whether a 206 has what was asked for: from `start` on, of a known whole, of the version that was begun."""
    place = response.headers.get("Content-Range", "")
    return start > 0 and bool(re.fullmatch(rf"bytes {start}-\d+/\d+", place)) and is_same(response, tag)


def is_whole(response: requests.Response, start: int, tag: Path) -> bool:
    """Whether the server refuses the rest because there is none."""
    place = response.headers.get("Content-Range")
    return response.status_code == 416 and place == f"bytes */{start}" and is_same(response, tag)


def is_same(response: requests.Response, tag: Path) -> bool:
    """Whether an answer has the validator that was kept, or none: not every server looks at If-Range."""
    kept = tag.read_text()
    return response.headers.get("ETag" if kept.startswith('"') else "Last-Modified", kept) == kept


def is_page(response: requests.Response) -> bool:
    """Whether a web page came."""
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def is_unreachable(error: requests.RequestException) -> bool:
    """Whether no connection came about because the name is unknown or nobody is there; a timeout may pass."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def host(error: requests.RequestException) -> str:
    """Whom a failed request was for; after a redirect that is not whom the address names."""
    return urlsplit(error.request.url).hostname if error.request else "the server"


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
        found = file_hash(path)
        if found != sha256.lower():
            return f"SHA-256 is {found}, expected {sha256}"
    return None
