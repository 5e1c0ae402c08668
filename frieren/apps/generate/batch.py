"""A batch: every take of every input generated, saved with its record and reported; failures do not stop the others."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from frieren.apps.checks import prepare_folder
from frieren.apps.faults import complain, explained
from frieren.apps.generate import record
from frieren.apps.generate.options import Options
from frieren.apps.generate.plan import BatchItem
from frieren.apps.progress import Bars
from frieren.errors import FrierenError, OutputError, reason
from frieren.formats import record_path

if TYPE_CHECKING:
    from frieren import Model, Sound


def run(items: Sequence[BatchItem], missing: Sequence[FrierenError], options: Options) -> None:
    """Work through the items; one that fails does not stop the others.

    Args:
        items: the inputs and their outputs.
        missing: inputs that were not found, which have been reported; they count as failures.
        options: those of every take, except the seed.

    Raises:
        typer.Exit: with code 1 if anything failed.
    """
    total, failures = len(items) + len(missing), list(missing)
    if items:
        model = options.load()
        for item in items:
            try:
                with explained(item.source):
                    make(model, item, options)
            except FrierenError as error:
                complain(error)
                failures.append(error)
    if failures and total > 1:
        typer.echo(f"frieren: {len(failures)} of {total} failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def make(model: Model, item: BatchItem, options: Options) -> list[tuple[Path, Sound]]:
    """Generate, save and report every take of one input."""
    written = []
    for target in item.targets.values():
        prepare_folder(target.parent)
        check_name(target)
    start = time.perf_counter()
    with Bars(item.source.name) as bars:
        takes = options.takes(model, item.source, list(item.targets), bars)
        for (seed, target), sound in zip(item.targets.items(), takes, strict=True):
            output = save(sound, target, item.source, options, seed)
            taken, start = time.perf_counter() - start, time.perf_counter()
            bars.progress.stop()
            report(target, output, sound, taken)
            bars.progress.start()
            written.append((output, sound))
    return written


def save(sound: Sound, target: Path, source: Path, options: Options, seed: int) -> Path:
    """The output and its record: both, or neither."""
    there = {path for path in (target, target.with_suffix(".mkv")) if path.exists()}
    output = sound.save(target, loudness=options.loudness, keep_original=options.keep_original)
    try:
        record.write(output, sound, source, asdict(options) | {"seed": seed})
    except BaseException:
        if output not in there:
            output.unlink(missing_ok=True)
        raise
    return output


def report(target: Path, output: Path, sound: Sound, taken: float) -> None:
    """Print the last line of a take: file, seconds of sound, seconds taken, real-time factor."""
    if output != target:
        typer.echo(f"{target.name}: {target.suffix} cannot hold the codec of this video; wrote {output.name} instead")
    factor = taken / sound.seconds
    typer.echo(f"{output}  {sound.seconds:.2f} s of sound in {taken:.2f} s, real-time factor {factor:.2f}")


def check_name(target: Path) -> None:
    """Check that the system takes a name as long as that of the record."""
    try:
        os.stat(record_path(target))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: cannot be written ({reason(error)}); choose another name with -o") from error
