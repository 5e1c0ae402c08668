"""Checks before the work: the extra is installed, the device is here, the folder can be written."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from frieren.errors import FrierenError, OutputError, reason
from frieren.files import cache_folder

WEB = ("fastapi", "fastapi_offline", "prometheus_client", "python_multipart", "uvicorn")
# Extra -> the packages without which it cannot work.
EXTRAS = {"eval": ("librosa", "matplotlib", "scipy"), "griffin-lim": ("librosa",), "web": WEB}


class UnavailableError(FrierenError):
    """An option needs a device that this machine lacks."""


class MissingExtraError(FrierenError):
    """A command needs packages that are not installed."""


def needs_extra(extra: str = "eval") -> None:
    """Raise MissingExtraError, one line, in place of an import that fails in the middle."""
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"this needs {', '.join(missing)}: pip install 'frieren[{extra}]'")
    if "NUMBA_CACHE_DIR" not in os.environ:  # librosa's compiler fails where it cannot write beside the package
        os.environ["NUMBA_CACHE_DIR"] = str(writable(cache_folder() / "numba") or tempfile.mkdtemp(prefix="frieren."))


def writable(folder: Path) -> Path | None:
    """A folder, made if it is not there; None where this user cannot write."""
    try:
        prepare_folder(folder)
    except OutputError:
        return None
    return folder


def check_device(name: str) -> None:
    """Raise UnavailableError, one line, if torch does not see the device: "cpu", "mps", "cuda", "cuda:1", "auto"."""
    import torch

    kind, _, index = name.partition(":")
    here = {"cuda": torch.cuda.device_count() > int(index or 0), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, True):
        raise UnavailableError(f"{name}: there is no such device here; leave --device out, or see `frieren doctor`")


def prepare_folder(folder: Path) -> None:
    """Make a folder and check that files can be written there, before the work rather than after it.

    Raises:
        OutputError: it cannot be made, or not be written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".frieren."):
            pass
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot write in this folder ({reason(error)}); choose another") from error
