"""The JSON record beside every output: written, read and compared.

A record holds that of the sound (model and hash, options, input, versions, timings, hash of the samples) and the
options of the command, so that `frieren generate --replay RECORD` can make the sound again and compare.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from frieren.configs import differences
from frieren.errors import FrierenError, reason
from frieren.files import write_json
from frieren.formats import OUTPUTS, RECORD_LIMIT, record_path

if TYPE_CHECKING:
    from frieren import Sound

# Entries that differ without a warning: the file's name, measured times, the sound itself and what was heard in it.
EXPECTED = ("command", "input.name", "seconds", "wave_sha256", "scores", "unasked")


class RecordError(FrierenError):
    """A record cannot be replayed: missing, not JSON, not ours."""


def write(output: Path, sound: Sound, video: Path, command: dict[str, Any]) -> Path:
    """Write the record of `output` beside it, whole or not at all.

    Args:
        output: the file that was written.
        sound: what is in it.
        video: the input; stored relative to the record, so that a folder with both can move.
        command: the options of this take.
    """
    path = record_path(output)
    where = relative(video, path.parent)
    write_json(path, {**sound.record, "command": {"video": where, "output": output.name, **command}})
    return path


def relative(video: Path, folder: Path) -> str:
    """Path of `video` as seen from `folder`; absolute where there is none (another drive)."""
    try:
        return Path(os.path.relpath(video.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return video.resolve().as_posix()


def read(path: Path) -> dict[str, Any]:
    """A record as it was written; `command.video` becomes a path from here.

    Raises:
        RecordError: missing, not JSON, or not a record.
    """
    try:
        with path.open("rb") as file:
            text = file.read(RECORD_LIMIT + 1)
        if len(text) > RECORD_LIMIT:
            raise RecordError(f"{path}: larger than any record; give the .json beside an output")
        record: Any = json.loads(text)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({reason(error)}); give the .json beside an output") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not a record ({reason(error)}); give the .json beside an output") from error
    if not is_record(record):
        raise RecordError(f"{path}: not a record of frieren generate; give the .json beside an output")
    command = record["command"]
    video, output = command["video"], command["output"]
    names = isinstance(video, str) and isinstance(output, str) and "\0" not in f"{video}{output}"
    if not names or Path(output).suffix.lower() not in OUTPUTS:
        raise RecordError(f"{path}: video or output in it is not a name; give a record as it was written")
    command["video"] = str(path.parent / video)
    sampling = record.get("options", {}).get("sampling")
    if isinstance(sampling, dict) and "spread" in sampling:  # its name in older records
        sampling["guidance_rescale"] = sampling.pop("spread")
    return record


def is_record(table: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a JSON value has what a replay needs."""
    if not isinstance(table, dict) or "wave_sha256" not in table or not isinstance(table.get("options", {}), dict):
        return False
    command = table.get("command")
    return isinstance(command, dict) and {"video", "output", "model", "seed"} <= command.keys()


def changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Lines that name everything that may make a replay sound different: versions, threads, machine, model, input."""
    for name, before, after in differences(old, new, "not recorded"):
        if not any(name == skip or name.startswith(f"{skip}.") for skip in EXPECTED):
            yield f"{name} was {before}, is {after}"
