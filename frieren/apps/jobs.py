"""Which video becomes which files: folders and globs opened, names chosen so that nothing overwrites anything else."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frieren.errors import FrierenError, VideoError
from frieren.formats import ARRAYS, OUTPUTS, VIDEOS, is_source

SUFFIXES = {"video": VIDEOS, "features": ARRAYS, "mel": ARRAYS}  # of the files that a folder or a glob means, by kind
STEM = 200  # bytes of a video's name that are kept in those made from it


class NamingError(ValueError):
    """The output that was asked for cannot hold what was asked for; wrong options, exit code 2."""


@dataclass(frozen=True)
class Job:
    """One video and the files its takes go to, one per seed."""

    video: Path
    targets: tuple[Path, ...]


@dataclass(frozen=True)
class Failure:
    """Why a file got no soundtrack; the error names it."""

    error: FrierenError


def find_sources(patterns: Sequence[str], kind: str = "video") -> tuple[list[Path], list[Failure]]:
    """Files, folders (the videos in them) and globs -> videos in the order given, each once; and what was not found.

    `kind` is a key of SUFFIXES: arrays of features or mels can stand in for videos.

    Our own outputs, which have a record beside them, are left out of folders and globs: running twice must not put a
    soundtrack on a soundtrack.
    """
    videos: dict[str, Path] = {}
    failures: list[Failure] = []
    for pattern in patterns:
        try:
            for video in found_by(pattern, kind):
                videos.setdefault(os.path.realpath(video), video)
        except VideoError as error:
            failures.append(Failure(error))
        except (OSError, ValueError) as error:  # a name that is too long, a folder that one may not enter
            reason = getattr(error, "strerror", None) or error
            failures.append(Failure(VideoError(f"{pattern}: {reason}; check the name and who may read the folder")))
    return list(videos.values()), failures


def found_by(pattern: str, kind: str) -> list[Path]:
    """The files that one argument means; at least one.

    Raises:
        VideoError: there is none.
        OSError, ValueError: the system does not take the name, or does not let one look.
    """
    path, suffixes = Path(pattern), SUFFIXES[kind]
    wanted = "video" if kind == "video" else f"file of {kind} ({', '.join(sorted(suffixes))})"
    if path.is_dir():
        # Hidden files are nobody's videos: the shadows that some systems leave beside every file, and temporaries.
        found = [file for file in sorted(path.iterdir()) if not file.name.startswith(".") and is_source(file, suffixes)]
        missing = f"no {wanted} in this folder; give a file, or another folder"
    elif path.exists() or not glob.has_magic(pattern):
        found, missing = [path] if path.exists() else [], "no such file; check the name and the folder"
    else:
        found = [file for file in map(Path, sorted(glob.glob(pattern, recursive=True))) if is_source(file, suffixes)]
        missing = f"no {wanted} matches this pattern; check the folder and the suffix"
    if not found:
        raise VideoError(f"{pattern}: {missing}")
    return found


def plan(videos: Sequence[Path], out: str | None, form: str | None, seeds: Sequence[int]) -> list[Job]:
    """Names for every take of every video.

    Args:
        videos: the inputs.
        out: a file (for one video and one take), a folder, or None for "beside the input".
        form: "mp4", "wav" or "flac" where names are made by us; None means mp4.
        seeds: one take each.

    Raises:
        NamingError: one file for several results, an unknown suffix, one that contradicts `form`, an input as output.
    """
    folder = None
    if out is not None and is_folder(out):
        folder = Path(out)
    elif out is not None:
        return [Job(videos[0], (named(Path(out), videos, form, seeds),))] if videos else []
    taken = {key(video) for video in videos}
    jobs = []
    for video in videos:
        place = video.parent if folder is None else folder
        targets = []
        for seed in seeds:
            stem = f"{short(video.stem)}_frieren" + (f"_seed{seed}" if len(seeds) > 1 else "")
            target = free(place, stem, f".{form or 'mp4'}", taken)
            taken.add(key(target))
            targets.append(target)
        jobs.append(Job(video, tuple(targets)))
    return jobs


def is_folder(out: str) -> bool:
    """Whether OUT means a folder: it is one, ends with a slash, or has no suffix."""
    return Path(out).is_dir() or out.endswith(("/", os.sep)) or not Path(out).suffix


def named(target: Path, videos: Sequence[Path], form: str | None, seeds: Sequence[int]) -> Path:
    """The one file that was named, if it can be the output; see `plan` for what is raised."""
    suffix = target.suffix.lower()
    if suffix not in OUTPUTS:
        raise NamingError(
            f"{target}: unknown suffix {suffix!r}; expected {', '.join(OUTPUTS)}, or a folder ending in /"
        )
    if len(videos) > 1 or len(seeds) > 1:
        count = f"{len(videos)} videos" if len(videos) > 1 else f"{len(seeds)} takes"
        raise NamingError(f"{target}: one file cannot hold {count}; give a folder (ending in /)")
    if form is not None and suffix != f".{form}":
        raise NamingError(f"{target}: its suffix contradicts --format {form}; leave one of them out")
    if any(key(target) == key(video) for video in videos):
        raise NamingError(f"{target}: this is the input, which is never overwritten; choose another name")
    return target


def free(folder: Path, stem: str, suffix: str, taken: set[str]) -> Path:
    """The first of stem, stem_2, stem_3, ... that no input and no other output of this run has.

    The .mkv of that name has to be free as well: that is where a codec goes that the container cannot hold.
    """
    number = 1
    while True:
        target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}_{number}{suffix}")
        if not {key(target), key(target.with_suffix(".mkv"))} & taken:
            return target
        number += 1


def short(stem: str) -> str:
    """As much of a name as leaves room for what is put behind it: a name has at most 255 bytes."""
    encoded = os.fsencode(stem)
    return stem if len(encoded) <= STEM else encoded[:STEM].decode(errors="ignore")


def key(path: Path) -> str:
    """Equal for two names of the same file; also where a file system does not tell upper from lower case."""
    return os.path.realpath(path).casefold()
