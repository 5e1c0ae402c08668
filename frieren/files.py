"""Files: written whole or not at all, hashed, read and written as JSON, and where the user's cache is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from frieren.errors import OutputError, reason


@contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `target`, which becomes `target` at the end; on any exception nothing stays behind.

    Raises:
        OutputError: the folder is missing or not writable, `target` is a folder, the disk is full.
    """
    target = Path(target)
    # Not made from the target's name, which may leave no room for anything more.
    part = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")
    try:
        if target.is_dir():
            raise OutputError(f"{target}: this is a folder; give the name of a file in it")
        if not target.parent.is_dir():
            raise OutputError(f"{target}: the folder {target.parent} does not exist; make it first")
        part.touch(exist_ok=False)
        yield part
        os.replace(part, target)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room there or choose another folder" if full else "choose a place where this user may write"
        if error.errno == errno.ENAMETOOLONG:
            remedy = "choose a shorter name with -o"
        raise OutputError(f"{target}: cannot be written ({reason(error)}); {remedy}") from error
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, as UTF-8.

    Raises:
        OutputError: as `replacing`.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all.

    Raises:
        OutputError: as `replacing`.
    """
    write_text(path, json.dumps(table, indent=2) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_hash(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and contents of several files; the order of the mapping counts."""
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode())
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()


def cache_folder() -> Path:
    """The folder of downloads, fetched models and features: $FRIEREN_CACHE, or `frieren` in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FRIEREN_CACHE") or Path(base) / "frieren")
