"""One file from a server, whole or not at all, by gdown: resumed after a cut, retried, renamed into place."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests

from frieren.errors import WeightsError

PATIENCE = (10.0, 60.0)  # seconds to connect, and between bytes
RETRIES = 8  # after a cut, each going on where the last one ended; gdown waits up to 2, 4, 8, ... 30 s between them
IDENTITY = {"Accept-Encoding": "identity"}  # lengths and ranges are to be those of the file itself
Report = Callable[[int, int | None], None]  # bytes done, bytes in all if known


class DownloadError(WeightsError):
    """A file cannot be had from a server."""


def download(url: str, target: Path, *, on_progress: Report = lambda done, total: None) -> Path:
    """Fetch `url` into `target`, which is there only when it is whole; what an earlier run left is gone on with.

    A target that is there already stays as it is.

    Args:
        url: http or https; redirects are followed.
        on_progress: called with (bytes done, bytes in all or None).

    Raises:
        DownloadError: if the server cannot be reached, refuses or keeps failing, or the file cannot be written.
    """
    import gdown

    options: dict[str, Any] = {
        "quiet": True,
        "use_cookies": False,
        "resume": True,
        "retries": RETRIES,
        "timeout": PATIENCE,
    }
    if target.exists():
        return target
    try:
        for part in parts(target):
            if is_stale(url, part):
                part.unlink()
        gdown.download(url, str(target), progress=on_progress, **options)
    except (gdown.exceptions.DownloadError, requests.RequestException) as error:
        raise DownloadError(f"{url}: {reason(error)}; try again later, it goes on from there") from error
    except OSError as error:
        raise DownloadError(
            f"{url}: {target} cannot be written ({error.strerror or error}); choose another place"
        ) from error
    return target


def parts(target: Path) -> list[Path]:
    """Gdown's files of an unfinished download: the name, eight characters, `.part`."""
    return [path for path in target.parent.glob("*.part") if path.name[:-13] == target.name]


def is_stale(url: str, part: Path) -> bool:
    """True if the server says that it cannot go on from here: it knows no ranges, or has another file by now."""
    done = part.stat()
    with requests.get(
        url, headers=IDENTITY | {"Range": f"bytes={done.st_size}-"}, stream=True, timeout=PATIENCE
    ) as ask:
        changed = parsedate_to_datetime(ask.headers.get("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"))
        if not ask.ok and ask.status_code != 416 or is_page(ask):  # says nothing about the file
            return False
        return ask.status_code != 206 or changed.timestamp() > done.st_mtime


def remote_size(url: str) -> int | None:
    """Length in bytes of a file on a server; None if the server does not say, or answers with a web page.

    Raises:
        DownloadError: if the server cannot be reached.
    """
    try:
        with requests.head(url, headers=IDENTITY, allow_redirects=True, timeout=PATIENCE) as response:
            length = response.headers.get("Content-Length", "")
            return int(length) if response.ok and length.isdigit() and not is_page(response) else None
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {reason(error)}; check the network") from error


def is_page(response: requests.Response) -> bool:
    """True if a web page came in place of a file: a quota, a permission."""
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def reason(error: Exception) -> str:
    """The status of an answer, "cannot be reached", or the error in one line."""
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}; the file may have moved"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return " ".join(str(error).split())
