"""Recordings of known things: sound files of a folder with their categories, splits and onsets.

train = [one for one in read_recordings(Path("sounds"), Path("audio")) if one.split == "train"]
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from frieren.categories import recording_labels
from frieren.errors import FrierenError
from frieren.formats import SOUNDS, is_visible

MANIFEST = "manifest.csv"
NEEDED = ("path", "category")  # its columns; split and onsets_s may be there, others are not read


class RecordingsError(FrierenError):
    """A collection of recordings cannot be read: no sound files, a table that is none, a file that is missing."""


@dataclass(frozen=True)
class Recording:
    """A sound file, and what is known of it.

    Attributes:
        path: the file.
        category: name of the category (`categories.Category.name`); "" if its label belongs to none.
        split: "train", "valid" or "test", or whatever the manifest says; "" where it says nothing.
        onsets: instants at which something sounds anew, in seconds and ascending; empty where unknown.
    """

    path: Path
    category: str
    split: str = ""
    onsets: tuple[float, ...] = ()


def read_recordings(*folders: Path) -> list[Recording]:
    """The recordings of one or more folders, in their order.

    A folder has a `manifest.csv` (path, category, and perhaps split and onsets_s: seconds with spaces between them), or
    one folder for each category with sound files at any depth. Labels are names of categories, or one of their
    `recordings`.

    Raises:
        RecordingsError: nothing is there, or a manifest is not what it should be.
    """
    found = [one for folder in folders for one in _read_folder(folder)]
    if not found:
        places = ", ".join(map(str, folders))
        raise RecordingsError(f"{places}: no recordings; give folders with {MANIFEST}, or with a folder per category")
    return found


def _read_folder(folder: Path) -> Iterator[Recording]:
    """The recordings of one folder."""
    labels = recording_labels()
    if (folder / MANIFEST).exists():
        yield from _read_manifest(folder / MANIFEST)
        return
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if len(parts) > 1 and is_visible(path, SOUNDS):
            yield Recording(path, labels.get(parts[0], ""))


def _read_manifest(path: Path) -> Iterator[Recording]:
    """The rows of a manifest, whose paths start at its folder.

    Raises:
        RecordingsError: it cannot be read, lacks a column, names a file that is not there, or an onset is no time.
    """
    labels = recording_labels()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingsError(f"{path}: cannot be read as a table ({error}); give a .csv in UTF-8") from error
    if missing := [name for name in NEEDED if name not in (table.fieldnames or ())]:
        raise RecordingsError(f"{path}: no column {missing[0]!r}; expected {', '.join(NEEDED)} in the first line")
    for row in rows:
        file_path = path.parent / (row["path"] or "")
        if not file_path.is_file():
            raise RecordingsError(f"{file_path}: named by {path.name}, but no such file; correct its row")
        onsets = _onsets(row.get("onsets_s") or "", f"{path}, {row['path']}")
        yield Recording(file_path, labels.get(row["category"] or "", ""), row.get("split") or "", onsets)


def _onsets(text: str, where: str) -> tuple[float, ...]:
    """Times with spaces between them -> seconds, ascending."""
    try:
        onsets = tuple(sorted(map(float, text.split())))
    except ValueError as error:
        raise RecordingsError(f"{where}: onsets_s is {text[:40]!r}; expected seconds, such as 0.5 1.25") from error
    if not all(math.isfinite(time) and time >= 0 for time in onsets):
        raise RecordingsError(f"{where}: onsets_s is {text[:40]!r}; expected times of 0 or later")
    return onsets
