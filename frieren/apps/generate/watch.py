"""A folder that is watched: every video that appears there gets its soundtrack once its size stands still.

frieren generate --watch incoming/ -o out/

The folder is listed once a second. That costs next to nothing, and unlike the events of a file system it also sees
what arrives over a network.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import typer

from frieren.apps.faults import complain, explained
from frieren.apps.generate.batch import loaded
from frieren.apps.generate.outputs import Outputs
from frieren.apps.generate.plan import BatchItem, is_folder
from frieren.errors import FrierenError
from frieren.files import file_hash
from frieren.formats import ROOMY, VIDEOS, is_output, is_visible, record_path

EVERY = 1.0  # seconds between two looks; a size that is the same in two of them stands still


def watch(folder: Path, outputs: Outputs) -> None:
    """Give every video in a folder its soundtrack, those that are there and those that come, until interrupted.

    One that fails is reported, and tried again when it changes. One that has its outputs already, from an earlier run,
    is left alone.

    Raises:
        typer.BadParameter: there is no such folder, or the output is no folder.
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: there is no such folder to watch; make it first")
    if outputs.out is not None and not is_folder(outputs.out):
        raise typer.BadParameter(f"{outputs.out}: one file cannot hold what comes; give a folder (ending in /)")
    outputs.plan([folder / "any.mp4"])  # what cannot be is said now, not to the first video
    make_one, arrivals = loaded(outputs.options, outputs.maker()), Arrivals(folder)
    typer.echo(f"frieren: {folder} is watched; Ctrl-C ends it", err=True)
    while True:
        for source in arrivals.look():
            try:
                with explained(source):
                    item = outputs.plan(arrivals.order)[arrivals.order.index(source)]
                    is_new = not is_made(item)
            except FrierenError as error:
                complain(error)
                continue
            if is_new:
                make_one(item)
        time.sleep(EVERY)


class Arrivals:
    """The videos of a folder as they come.

    Attributes:
        order: all that have been given, the first first: names of outputs depend on it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.order = folder, list[Path]()
        self._before: dict[Path, tuple[int, int]] = {}  # size and time of change at the look before
        self._given: dict[Path, tuple[int, int]] = {}

    def look(self) -> list[Path]:
        """Videos that stand still since the look before and are new or changed since they were given, by name.

        Our own outputs, hidden files and empty ones are none.
        """
        before, self._before = self._before, self._listed()
        still = {path: state for path, state in self._before.items() if before.get(path) == state and state[0]}
        new = sorted(path for path in still if self._given.get(path) != still[path])
        self._given |= {path: still[path] for path in new}
        found = [path for path in new if not is_output(path)]
        self.order += [path for path in found if path not in self.order]
        return found

    def _listed(self) -> dict[Path, tuple[int, int]]:
        """Size and time of change of every video; nothing while the folder cannot be read."""
        found = {}
        try:
            for path in self.folder.iterdir():
                if is_visible(path, VIDEOS) and path.is_file():
                    state = path.stat()
                    found[path] = (state.st_size, state.st_mtime_ns)
        except OSError:  # a file went away between two lines, or a network did: the next look will see
            return {}
        return found


def is_made(item: BatchItem) -> bool:
    """Return whether all outputs of an input are there, made of the file as it is now."""
    digest = file_hash(item.source)

    def is_of_it(path: Path) -> bool:
        record = json.loads(record_path(path).read_bytes()) if path.exists() and is_output(path) else {}
        return bool(record.get("input", {}).get("sha256") == digest)

    return all(
        any(is_of_it(target.with_suffix(suffix)) for suffix in {target.suffix, *ROOMY})
        for target in item.targets.values()
    )
