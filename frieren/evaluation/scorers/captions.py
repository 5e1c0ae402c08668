"""Captions of videos, with which CLAP compares sounds; they lie in the folder of the videos.

    captions.csv     a header, then one line per video: id,caption (name,caption does as well)
    <id>.json        FoleyWorld's script, as `frieren world render` writes it: its kinds are named
    vggsound.csv     VGGSound's table, without a header: YouTube id, start in seconds, label, split

The first of them that has the video is taken. An id is the name of the video without its suffix.
"""

from __future__ import annotations

import csv
import json
from functools import lru_cache
from pathlib import Path

from frieren.errors import VideoError

TABLE, VGGSOUND = "captions.csv", "vggsound.csv"
IDS = ("id", "name")  # what the first column may be called; av-benchmark calls it name


def caption(video: Path) -> str:
    """Return the caption of a video.

    Raises:
        VideoError: if there is none, or a table or script beside the video cannot be read.
    """
    for known in (table(video.with_name(TABLE)).get(video.stem), kinds(video.with_suffix(".json")), label(video)):
        if known:
            return known
    raise VideoError(f"{video}: has no caption; write one into {video.with_name(TABLE)}, under a header id,caption")


@lru_cache(maxsize=8)
def table(path: Path) -> dict[str, str]:
    """Read captions by id from a table; none where there is no table.

    Raises:
        VideoError: if it cannot be read, has another header, or two captions for one video.
    """
    found: dict[str, str] = {}
    head, *lines = rows(path) or [["id", "caption"]]
    columns = [column.strip().lower() for column in head]
    wanted = next((columns.index(name) for name in IDS if name in columns), None)
    if wanted is None or "caption" not in columns:
        raise VideoError(f"{path}: its header is {','.join(head)}, expected id,caption")
    text = columns.index("caption")
    for row, line in enumerate(lines, 2):
        if len(line) != len(head):
            raise VideoError(f"{path}: line {row} has {len(line)} fields, expected {len(head)}; quote commas")
        if found.setdefault(line[wanted], line[text].strip()) != line[text].strip():
            raise VideoError(f"{path}: line {row} is a second caption of {line[wanted]}; leave one of them")
    return found


def kinds(script: Path) -> str | None:
    """Return "ball, rain" of a script of FoleyWorld, in alphabetical order; None without a script, or of a silent one.

    Raises:
        VideoError: if the file cannot be read as a script.
    """
    if not script.is_file():
        return None
    try:
        body = json.loads(script.read_text(encoding="utf-8"))
        if not isinstance(body, dict) or "world_version" not in body:
            return None
        return ", ".join(sorted({one["kind"] for one in (*body["events"], *body["activities"])}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoError(f"{script}: no script of FoleyWorld ({error}); repair it, or move it away") from error


def label(video: Path) -> str | None:
    """Return VGGSound's label of `<YouTube id>_<start, 6 digits>.mp4`, or of `<YouTube id>.mp4`.

    Raises:
        VideoError: if the table beside it cannot be read.
    """
    return vggsound(video.with_name(VGGSOUND)).get(video.stem)


@lru_cache(maxsize=8)
def vggsound(path: Path) -> dict[str, str]:
    """Read VGGSound's labels by the names of its clips; an uncut video has one only if all its clips agree."""
    found: dict[str, str] = {}
    whole: dict[str, set[str]] = {}
    for row, line in enumerate(rows(path), 1):
        if len(line) != 4 or not line[1].strip().isdecimal():
            raise VideoError(f"{path}: line {row} is {','.join(line)}, expected id,start,label,split")
        found[f"{line[0]}_{int(line[1]):06d}"] = line[2]
        whole.setdefault(line[0], set()).add(line[2])
    return {name: only for name, (only, *others) in whole.items() if not others} | found


def rows(path: Path) -> list[list[str]]:
    """Read the lines of a CSV that are not empty; none where there is no file."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise VideoError(f"{path}: cannot be read as a table ({error}); write it as CSV in UTF-8") from error
