"""Sources of a data set: the clips of a folder, of a CSV or of FoleyWorld, or mixtures of recordings.

source = read_source("vggsound.csv", videos=Path("clips"), lists=[Path("Train.txt"), Path("Test.txt")])
source = read_source("mixtures:train:12000", recordings=[Path("sounds")])
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from frieren import world
from frieren.errors import FrierenError
from frieren.formats import VIDEOS, has_suffix, is_output, is_source

COLUMNS = ("id", "start", "label", "split")
WORLD, MIXTURES = "foleyworld", "mixtures"


class SourceError(FrierenError):
    """A source of clips cannot be read: no such folder, a table that is none, two files of one name."""


@dataclass(frozen=True)
class SourceItem:
    """A clip to be prepared.

    Attributes:
        id: its name, `<id>_<start, 6 digits>` where the table gives a start.
        label, split: "" where unknown.
        video: its file.
        index: its index in FoleyWorld, or among the mixtures of `recordings`; of `video` and `index` one is None.
        recordings: folders of the recordings that a mixture is made of.
    """

    id: str
    label: str = ""
    split: str = ""
    video: Path | None = None
    index: int | None = None
    recordings: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SplitCoverage:
    """Coverage of a split's list by the files that are there.

    Attributes:
        split: its name.
        listed: how many ids the list has.
        missing: those without a file, in the order of the list.
    """

    split: str
    listed: int
    missing: tuple[str, ...]

    @property
    def found(self) -> int:
        """Number of ids with a file."""
        return self.listed - len(self.missing)


@dataclass(frozen=True)
class ClipSource:
    """The items to be prepared, in the order in which they go into shards, and the coverage of the lists behind them.

    Attributes:
        name: as it was asked for.
        unlisted: files, or rows of the table, that no split list names and that are left out.
    """

    name: str
    items: tuple[SourceItem, ...]
    coverage: tuple[SplitCoverage, ...] = ()
    unlisted: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 over ids, labels and splits in their order."""
        lines = (f"{item.id}\t{item.label}\t{item.split}\n" for item in self.items)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_source(
    name: str,
    *,
    videos: Path | None = None,
    lists: Sequence[Path] = (),
    recordings: Sequence[Path] = (),
) -> ClipSource:
    """The items behind a name.

    Args:
        name: a folder of videos; a CSV with a header (id and, if known, start, label, split) or VGGSound's without one
            (YouTube id, start in seconds, label, split); or "foleyworld:SPLIT:COUNT",
            or "foleyworld:SPLIT:FIRST+COUNT"; or "mixtures:SPLIT:COUNT" of recordings; both of several splits as
            "foleyworld:SPLIT:COUNT,SPLIT:COUNT".
        videos: the folder with the files of a CSV: `<id>_<start, 6 digits>.mp4`, or `<id>.mp4`, or any other suffix.
            A file is the clip itself; nothing is cut out of it at `start`.
        lists: text files with an id per line; a list's name, in small letters, is the split of what it names, and what
            none names is left out.
        recordings: folders that mixtures are made of, see `recordings.read_recordings`.

    Raises:
        SourceError: it cannot be understood, or nothing of it is there.
    """
    if name.startswith(f"{MIXTURES}:") or recordings:
        return mixtures_source(name, tuple(recordings))
    if name.startswith(f"{WORLD}:"):
        if videos or lists:
            raise SourceError(f"{name}: FoleyWorld has its own splits and needs no videos; leave out the lists")
        return world_source(name)
    if Path(name).is_dir():
        files = files_in(Path(name))
        rows = {id: SourceItem(id) for id in files}
    elif Path(name).is_file():
        if videos is None or not videos.is_dir():
            raise SourceError(f"{name}: a table needs the folder with its videos, got {videos}; give --videos DIR")
        files = files_in(videos)
        rows = {item.id: item for item in read_table(Path(name))}
    else:
        raise SourceError(f"{name}: no such folder or table; give a folder of videos, a .csv or {WORLD}:train:1500")
    wanted = rows
    if lists:
        listed = read_lists(lists, files)
        wanted = {id: replace(rows.get(id, SourceItem(id)), split=split) for id, split in listed.items()}
    items = [replace(item, video=found) for item in wanted.values() if (found := file_of(item.id, files))]
    if not items:
        raise SourceError(f"{name}: none of {len(wanted)} clips has a video file; check the folder and the names")
    check_files(items)
    # Tables and folders are often sorted by class. Items stand in shards in an order that has nothing to do with what
    # they are, since a run shuffles only within a few shards at a time; splits are kept apart.
    items.sort(key=lambda item: (item.split, hashlib.sha256(item.id.encode()).digest()))
    coverage = cover(wanted, items) if lists or Path(name).is_file() else ()
    return ClipSource(os.path.normpath(name), tuple(items), coverage, len(rows.keys() - wanted.keys()))


def check_files(items: list[SourceItem]) -> None:
    """Raises SourceError if two items mean the same file, as two parts of one uncut video do."""
    owners: dict[Path | None, str] = {}
    for item in items:
        if (other := owners.setdefault(item.video, item.id)) != item.id:
            raise SourceError(
                f"{item.video}: {other} and {item.id} mean the same file; cut it into clips named {item.id}.mp4"
            )


def cover(wanted: dict[str, SourceItem], items: list[SourceItem]) -> tuple[SplitCoverage, ...]:
    """Coverage of the wanted items by those that are there, split by split."""
    there = {item.id for item in items}
    splits: dict[str, list[str]] = {}
    for item in wanted.values():
        splits.setdefault(item.split, []).append(item.id)
    return tuple(
        SplitCoverage(split, len(ids), tuple(id for id in ids if id not in there)) for split, ids in splits.items()
    )


def world_source(name: str) -> ClipSource:
    """Clips of one or more of FoleyWorld's splits, each in its own order, which goes through levels and kinds.

    "foleyworld:train:500": the first 500; "foleyworld:train:500+200": the 200 that follow;
    "foleyworld:train:500,test:8": of two splits.
    """
    clip = rf"({'|'.join(world.SPLITS)}):(?:(\d+)\+)?([1-9]\d*)"
    if not re.fullmatch(rf"{WORLD}:{clip}(?:,{clip})*", name, re.ASCII):
        splits = ", ".join(world.SPLITS)
        raise SourceError(f"{name}: expected {WORLD}:SPLIT:COUNT or :FIRST+COUNT with SPLIT one of {splits}")
    items = (
        SourceItem(f"{split}-{i:06d}", split=split, index=i)
        for split, first, count in re.findall(clip, name, re.ASCII)
        for i in range(int(first or 0), int(first or 0) + int(count))
    )
    return ClipSource(name, tuple(items))


def mixtures_source(name: str, recordings: tuple[Path, ...]) -> ClipSource:
    """Mixtures of the recordings of one or more splits, such as "mixtures:train:12000,valid:256"."""
    counts = re.findall(r"(\w+):([1-9]\d*)", name.removeprefix(f"{MIXTURES}:"), re.ASCII)
    if name != f"{MIXTURES}:" + ",".join(map(":".join, counts)) or not counts:
        raise SourceError(f"{name}: recordings are mixed into {MIXTURES}:SPLIT:COUNT, such as {MIXTURES}:train:12000")
    if not recordings:
        raise SourceError(f"{name}: mixed of what? Give the folder of the recordings with --recordings DIR")
    items = (
        SourceItem(f"{split}-{i:06d}", split=split, index=i, recordings=recordings)
        for split, count in counts
        for i in range(int(count))
    )
    return ClipSource(name, tuple(items))


def files_in(folder: Path) -> dict[str, Path]:
    """The videos below a folder by name without suffix, in order of name.

    Raises:
        SourceError: two have the same name.
    """
    files: dict[str, Path] = {}
    skipped = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            if is_source(path):
                if path.stem in files:
                    raise SourceError(f"{path}: another file has this name, {files[path.stem]}; rename one of them")
                files[path.stem] = path
            else:
                skipped += has_suffix(path, VIDEOS) and is_output(path)
    if skipped:
        warnings.warn(f"{folder}: {skipped} with a record of frieren beside them: left out", stacklevel=2)
    return files


def file_of(id: str, files: dict[str, Path]) -> Path | None:
    """The file of a clip: by its whole name, or without the start."""
    bare, _, start = id.rpartition("_")
    if id in files or len(start) != 6 or not start.isdecimal():
        return files.get(id)
    return files.get(bare)


def read_table(path: Path) -> Iterator[SourceItem]:
    """The rows of a CSV, with or without a header.

    Raises:
        SourceError: an unknown column, a row of another length, a start that is no number, an id that comes twice.
    """
    seen: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read as a table ({error}); give a .csv in UTF-8") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = header if "id" in header else list(COLUMNS)
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise SourceError(f"{path}: unknown column {unknown[0]!r}; expected some of {', '.join(COLUMNS)}")
    for number, row in enumerate(rows, 1):
        if not row or number == 1 and columns is header:
            continue
        if len(row) != len(columns):
            raise SourceError(f"{path} line {number}: {len(row)} cells, expected {len(columns)} ({', '.join(columns)})")
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=True))
        id = cells["id"] + clip_start(cells.get("start", ""), f"{path} line {number}")
        if id in seen:
            raise SourceError(f"{path} line {number}: {id} stands in line {seen[id]} already; leave one out")
        seen[id] = number
        yield SourceItem(id, cells.get("label", ""), cells.get("split", ""))


def clip_start(text: str, where: str) -> str:
    """The end of a clip's name: an underscore and the start in whole seconds as six digits, or nothing."""
    if not text:
        return ""
    try:
        return f"_{int(float(text)):06d}"
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{where}: start is {text!r}; expected seconds, such as 30") from error


def read_lists(paths: Sequence[Path], files: dict[str, Path]) -> dict[str, str]:
    """Lists of ids, one per line and perhaps with a suffix -> id and split, which is the name of its list.

    Raises:
        SourceError: a list cannot be read, an id stands in two of them.
    """
    splits: dict[str, str] = {}
    for path in paths:
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: cannot be read as a list ({error}); give a text file of ids") from error
        split = path.stem.lower()
        for line in filter(None, lines):
            id = line if file_of(line, files) else Path(line).stem
            if splits.setdefault(id, split) != split:
                raise SourceError(f"{path}: {id} is in the list {splits[id]!r} already; an item has one split")
    return splits
