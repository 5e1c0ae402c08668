"""Suffixes of videos, sounds, arrays and outputs; and the record beside an output.

The one table that `generate`, `evaluate`, `prepare` and `train` use. Every suffix is in lower case.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Literal

# Inputs. A file that is named itself is opened whatever its suffix; these tell what a folder or a pattern means.
VIDEOS = tuple(
    ".mp4 .mov .mkv .webm .m4v .avi .3gp .asf .flv .m2ts .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .wmv".split()
)
SOUNDS = tuple(".wav .flac .ogg .mp3 .opus .m4a .aac".split())
ARRAYS = (".npy", ".npz")
MEDIA = (*VIDEOS, *SOUNDS)
# Outputs.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # of videos: FFmpeg's muxers
ROOMY = (".mov", ".mkv")  # containers that take what .mp4 does not
SOUND_FILES = (".wav", ".flac")
AudioCodec = Literal["aac", "flac", "opus"]  # of the sound in a video
SampleRate = Literal[16_000, 44_100, 48_000]  # that a sound may be written at
Levels = tuple[float, float]  # dB of a new sound and of the video's own where the two are mixed
LEVELS: Levels = (-6.0, 0.0)
OUTPUTS = (*CONTAINERS, *SOUND_FILES)
RECORD_LIMIT = 32 << 20  # bytes; that of a film of six hours has 10 MB, nearly all of it motion


def has_suffix(path: Path, suffixes: Collection[str]) -> bool:
    """Return whether a file's name ends in one of `suffixes`, in upper or lower case."""
    return path.suffix.lower() in suffixes


def is_visible(path: Path, suffixes: Collection[str]) -> bool:
    """Return whether a file has one of `suffixes` and is not hidden, as the "._" files of macOS are."""
    return has_suffix(path, suffixes) and not path.name.startswith(".")


def is_source(path: Path, suffixes: Collection[str] = VIDEOS) -> bool:
    """Return whether a file is an input: it has one of `suffixes` and is not an output of ours, which has a record."""
    return has_suffix(path, suffixes) and path.is_file() and not is_output(path)


def is_output(path: Path) -> bool:
    """Return whether a file has a record of ours beside it; cameras and albums put a .json of their own there."""
    try:
        with record_path(path).open("rb") as file:
            table = json.loads(file.read(RECORD_LIMIT + 1))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(table, dict) and {"wave_sha256", "command"} <= table.keys()


def record_path(output: Path) -> Path:
    """The JSON record beside an output: clip.mp4 -> clip.mp4.json."""
    return output.with_name(f"{output.name}.json")
