"""Inputs and the files made from them: folders and globs opened, names chosen so that nothing overwrites anything."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from frieren.apps.generate.options import Kind
from frieren.errors import FrierenError, OutputError, VideoError, reason
from frieren.formats import ARRAYS, OUTPUTS, ROOMY, SOUND_FILES, VIDEOS, has_suffix, is_source

Format = Literal["mp4", "wav", "flac"]
SUFFIXES: dict[Kind, tuple[str, ...]] = {"video": VIDEOS, "features": ARRAYS, "mel": ARRAYS}  # of inputs in a folder
STEM = 200  # bytes of an input's name that are kept in the names of outputs


class NamingError(ValueError):
    """The output that was asked for cannot hold what was asked for; wrong options, exit code 2."""


@dataclass(frozen=True)
class BatchItem:
    """An input, and the output of each of its takes by seed, or by rank.

    Attributes:
        free: whether we chose the names, and may choose another container where it takes the video as it is.
    """

    source: Path
    targets: Mapping[int, Path]
    free: bool = False


@contextmanager
def wrong_option(kind: type[ValueError]) -> Iterator[None]:
    """Turn an error of this kind into a wrong option, exit code 2; names that the system refuses are failures, 1."""
    try:
        yield
    except kind as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise OutputError(f"{error.filename}: {reason(error)}; choose another name with -o") from error


def find_sources(patterns: Sequence[str], kind: Kind = "video") -> tuple[list[Path], list[FrierenError]]:
    """Files, folders (the inputs in them) and globs -> inputs in the order given, each once; and what was not found.

    Our own outputs, which have a record beside them, are left out of folders and globs: running twice must not put a
    soundtrack on a soundtrack.
    """
    sources: dict[str, Path] = {}
    failures: list[FrierenError] = []
    for pattern in patterns:
        try:
            for source in found_by(pattern, kind):
                sources.setdefault(os.path.realpath(source), source)
        except VideoError as error:
            failures.append(error)
        except (OSError, ValueError) as error:  # a name that is too long, a folder without permission, a NUL
            failures.append(VideoError(f"{pattern}: {reason(error)}; check the name and who may read the folder"))
    return list(sources.values()), failures


def found_by(pattern: str, kind: Kind) -> list[Path]:
    """The files that an argument means; at least one.

    Raises:
        VideoError: there is none.
        OSError, ValueError: the system refuses the name, or access to the folder.
    """
    if not pattern:
        raise VideoError("an empty name; give a file, a folder or a pattern")
    path, suffixes = Path(pattern), SUFFIXES[kind]
    wanted = "video" if kind == "video" else f"file of {kind} ({', '.join(sorted(suffixes))})"
    if path.is_dir():
        # Hidden files are nobody's videos: the "._" files that macOS leaves beside every file, and temporaries.
        found = inputs(pattern, (file for file in path.iterdir() if not file.name.startswith(".")), suffixes)
        missing = f"no {wanted} in this folder; give a file, or another folder"
    elif path.exists() or not glob.has_magic(pattern):
        found, missing = [path] if path.exists() else [], "no such file; check the name and the folder"
    else:
        found = inputs(pattern, map(Path, glob.glob(pattern, recursive=True)), suffixes)
        missing = f"no {wanted} matches this pattern; check the folder and the suffix"
    if not found:
        raise VideoError(f"{pattern}: {missing}")
    return found


def inputs(pattern: str, files: Iterable[Path], suffixes: Collection[str]) -> list[Path]:
    """Those of `files` that are inputs, by name; that our own outputs are left out is said."""
    candidates = [file for file in sorted(files) if has_suffix(file, suffixes) and file.is_file()]
    found = [file for file in candidates if is_source(file, suffixes)]
    if skipped := len(candidates) - len(found):
        typer.echo(f"frieren: {pattern}: {skipped} with a record of frieren beside them: left out", err=True)
    return found


def plan_outputs(
    sources: Sequence[Path],
    out: str | None,
    form: Format | None,
    takes: Sequence[int],
    *,
    label: str = "seed",
    kind: Kind = "video",
    needs_video: bool = False,
) -> list[BatchItem]:
    """Names for every take of every input.

    Args:
        sources: the inputs.
        out: a file (for one input and one take), a folder, or None for "beside the input".
        form: file type where we choose the names; None means mp4 for videos and wav for arrays.
        takes: number of each take.
        label: what the number is, in names: "seed", or "best" for ranks.
        kind: of the inputs; an array has no video that a sound could be put on.
        needs_video: whether the outputs have to be videos.

    Raises:
        NamingError: one file for several results, an unknown suffix, one that contradicts `form`, an input as output,
            a suffix that cannot hold what is asked for.
    """
    folder = None
    if out is not None and is_folder(out):
        folder = Path(out)
    elif out is not None:
        if not sources:
            return []
        target = named(Path(out), sources, form, takes)
        check_suffix(target.suffix.lower(), kind, needs_video)
        return [BatchItem(sources[0], {takes[0]: target})]
    suffix = f".{form or ('mp4' if kind == 'video' else 'wav')}"
    check_suffix(suffix, kind, needs_video)
    taken = {key(source) for source in sources}
    items = []
    for source in sources:
        place = source.parent if folder is None else folder
        targets = {}
        for number in takes:
            stem = f"{short(source.stem)}_frieren" + (f"_{label}{number}" if len(takes) > 1 else "")
            targets[number] = free(place, stem, suffix, taken)
            taken.add(key(targets[number]))
        items.append(BatchItem(source, targets, free=form is None and kind == "video"))
    return items


def is_folder(out: str) -> bool:
    """Return whether OUT means a folder: it is one, ends with a slash, or has no suffix."""
    return Path(out).is_dir() or out.endswith(("/", os.sep)) or not Path(out).suffix


def named(target: Path, sources: Sequence[Path], form: Format | None, takes: Sequence[int]) -> Path:
    """The one file that was named, if it can be the output; see `plan_outputs` for what is raised."""
    suffix = target.suffix.lower()
    if suffix not in OUTPUTS:
        raise NamingError(
            f"{target}: unknown suffix {suffix!r}; expected {', '.join(OUTPUTS)}, or a folder ending in /"
        )
    if len(sources) > 1 or len(takes) > 1:
        count = f"{len(sources)} videos" if len(sources) > 1 else f"{len(takes)} takes"
        raise NamingError(f"{target}: one file cannot hold {count}; give a folder (ending in /)")
    if form is not None and suffix != f".{form}":
        raise NamingError(f"{target}: its suffix contradicts --format {form}; leave one of them out")
    if any(key(target) == key(source) for source in sources):
        raise NamingError(f"{target}: this is the input, which is never overwritten; choose another name")
    return target


def check_suffix(suffix: str, kind: Kind, needs_video: bool) -> None:
    """Raise NamingError if files with this suffix cannot hold what is asked for."""
    is_sound = suffix in SOUND_FILES
    if kind != "video" and not is_sound:
        raise NamingError(f"--{kind}: there is no video to put the sound on; name a .wav or .flac file")
    if needs_video and is_sound:
        raise NamingError("--keep-original, --as-track and --audio-codec need a video as output, not a sound file")


def free(folder: Path, stem: str, suffix: str, taken: set[str]) -> Path:
    """The first of stem, stem_2, stem_3, ... that no input and no other output of this run has.

    The other containers of that name have to be free as well: a codec that this one cannot hold goes there.
    """
    number = 1
    while True:
        target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}_{number}{suffix}")
        if not {key(target.with_suffix(other)) for other in (suffix, *ROOMY)} & taken:
            return target
        number += 1


def short(stem: str) -> str:
    """Shorten a name so that there is room for what is put behind it: a name has at most 255 bytes."""
    encoded = os.fsencode(stem)
    return stem if len(encoded) <= STEM else encoded[:STEM].decode(errors="ignore")


def key(path: Path) -> str:
    """Equal for two names of the same file; also where a file system does not tell upper from lower case."""
    return os.path.realpath(path).casefold()
