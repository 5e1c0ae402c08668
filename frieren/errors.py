"""The package's errors, as a tree. The command line prints each of these as one line and exits with code 1.

FrierenError
├── VideoError      a video cannot be read, or holds nothing to read
├── ArrayError      a file of features or of a spectrogram cannot be used
├── OutputError     a result cannot be written
├── SamplingError   the field gives no finite velocity
├── ConfigError     a configuration has a key or a value that it should not have
├── PackageError    a package of an extra is not installed
└── WeightsError    a model cannot be found, or its files are not what they should be
    └── DamagedFileError    a file is broken, cut off, or not a file of weights at all
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


class FrierenError(Exception):
    """Base of everything that a user can cause and repair. The message names the value, the reason and the remedy."""


class VideoError(FrierenError):
    """A video file cannot be read: missing, not a video, no video stream in it, truncated, encrypted."""


class ArrayError(FrierenError):
    """A file of features or of a mel spectrogram cannot be used: not an array, another shape, not finite."""


class OutputError(FrierenError):
    """A result cannot be written: folder missing, not writable, disk full, unknown suffix."""


class SamplingError(FrierenError):
    """The vector field gives something that is not a finite number: broken weights, or too little precision."""


class ConfigError(FrierenError):
    """A table of settings cannot be used: unknown or missing key, value of the wrong type or out of range."""


class WeightsError(FrierenError):
    """A model cannot be loaded: unknown name, missing file, missing or unexpected parameter, another shape."""


class DamagedFileError(WeightsError):
    """The bytes of a file are not those of any file of its kind: to fetch it again may help.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def reason(error: BaseException) -> str:
    """The cause of an error in one line, without numbers and paths: "No space left on device"."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0]


class PackageError(FrierenError):
    """A package of an extra is not installed."""


def package(name: str, extra: str) -> Any:
    """A package of an extra, imported where it is needed.

    Raises:
        PackageError: if it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PackageError(f"{name} is not installed; run pip install 'frieren[{extra}]'") from error
