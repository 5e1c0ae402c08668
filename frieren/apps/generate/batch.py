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
from frieren.formats import CONTAINERS, has_suffix, record_path

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
    targets = {seed: choose_output(item, target, options) for seed, target in item.targets.items()}
    start = time.perf_counter()
    with Bars(item.source.name) as bars:
        takes = options.takes(model, item.source, list(targets), bars)
        for (seed, target), sound in zip(targets.items(), takes, strict=True):
            output = save(sound, target, item.source, options, seed)
            taken, start = time.perf_counter() - start, time.perf_counter()
            bars.progress.stop()
            report(output, sound, taken)
            bars.progress.start()
            written.append((output, sound))
    return written


def choose_output(item: BatchItem, target: Path, options: Options) -> Path:
    """The output of a take; whatever would be refused after the work is refused here, and what changes is said.

    Raises:
        OutputError: the folder or the name cannot be.
        VideoError: the video cannot be copied, and must not be encoded.
    """
    prepare_folder(target.parent)
    check_name(target)
    if options.kind == "video" and has_suffix(target, CONTAINERS):
        from frieren import remux

        choice = remux.choose(
            item.source,
            target,
            free=item.free,
            encode=options.encode,
            audio_codec=options.audio_codec,
            keep_sound=options.keep_original or options.as_track,
        )
        if target == next(iter(item.targets.values())):
            for note in choice.notes():
                typer.echo(note)
        target = choice.target
    return target


def save(sound: Sound, target: Path, source: Path, options: Options, seed: int) -> Path:
    """The output and its record: both, or neither."""
    was_there = target.exists()
    output = sound.save(
        target,
        loudness=options.loudness,
        keep_original=options.keep_original,
        as_track=options.as_track,
        audio_codec=options.audio_codec,
        encode=options.encode,
    )
    try:
        record.write(output, sound, source, asdict(options) | {"seed": seed})
    except BaseException:
        if not was_there:
            output.unlink(missing_ok=True)
        raise
    return output


def report(output: Path, sound: Sound, taken: float) -> None:
    """Print the last line of a take: file, seconds of sound, seconds taken, real-time factor."""
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
