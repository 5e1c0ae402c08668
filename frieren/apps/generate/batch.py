"""A batch: every take of every input generated, saved with its record and reported; failures do not stop the others."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from frieren.apps import STARTED
from frieren.apps.checks import prepare_folder
from frieren.apps.faults import complain, explained
from frieren.apps.generate import record
from frieren.apps.generate.options import Options
from frieren.apps.generate.plan import BatchItem
from frieren.apps.progress import Bars
from frieren.errors import FrierenError, OutputError, VideoError, reason
from frieren.formats import CONTAINERS, has_suffix, is_output, record_path

if TYPE_CHECKING:
    from frieren import Model, Sound
    from frieren.unfinished import Unfinished

WORTH_KEEPING = 60.0  # seconds of film from which on the pieces of a run that is stopped stay
TOLERATED = 0.5  # LU by which a level may be missed without a word
# Generates and saves what an item is to become, by model, item, options and the seconds that loading took.
Make = Callable[["Model", BatchItem, Options, float], list[tuple[Path, "Sound"]]]


def run(
    items: Sequence[BatchItem],
    missing: Sequence[FrierenError],
    options: Options,
    make: Make,
) -> None:
    """Work through the items; one that fails does not stop the others.

    Args:
        items: the inputs and their outputs.
        missing: inputs that were not found, which have been reported; they count as failures.
        options: those of every take, except the seed.
        make: generates and saves the outputs of one item.

    Raises:
        typer.Exit: with code 1 if anything failed.
    """
    total, failures = len(items) + len(missing), list(missing)
    if items:
        make_one = loaded(options, make)
        for item in items:
            if (error := make_one(item)) is not None:
                failures.append(error)
    if failures and total > 1:
        typer.echo(f"frieren: {len(failures)} of {total} failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def loaded(options: Options, make: Make) -> Callable[[BatchItem], FrierenError | None]:
    """Load the model, and return what makes an item with it: an error is printed and given back, not raised."""
    options = options.settled()
    model, lead = options.load(), time.perf_counter() - STARTED

    def make_one(item: BatchItem) -> FrierenError | None:
        nonlocal lead
        try:
            with explained(item.source):
                make(model, item, options, lead)
                lead = 0.0
        except FrierenError as error:
            complain(error)
            return error
        return None

    return make_one


def make(
    model: Model,
    item: BatchItem,
    options: Options,
    lead: float = 0.0,
    *,
    overwrite: bool | None = None,
    resume: bool = False,
) -> list[tuple[Path, Sound]]:
    """Generate, save and report every take of one input.

    Args:
        lead: seconds that imports and loading took before.
        overwrite: whether existing files are replaced; None: those that have a record of ours.
        resume: go on from what an earlier run has finished.
    """
    written = []
    is_long = resume or seconds_of(item.source, options) > WORTH_KEEPING
    targets = {seed: choose_output(item, target, options) for seed, target in item.targets.items()}
    if resume:
        targets = {
            seed: target for seed, target in targets.items() if not is_finished(target, item, options, seed, model)
        }
        if not targets:
            return []
    for target in targets.values():
        check_free(target, item.source, overwrite)
    start = time.perf_counter()
    with Bars(item.source.name) as bars, keeping(targets, resume, is_long) as unfinished:
        takes = options.takes(model, item.source, list(targets), bars, unfinished)
        for (seed, target), sound in zip(targets.items(), takes, strict=True):
            output = save(sound, target, item.source, options, seed)
            unfinished[seed].discard()
            taken, start = time.perf_counter() - start, time.perf_counter()
            bars.progress.stop()
            report(output, sound, taken, lead)
            lead = 0.0
            bars.progress.start()
            written.append((output, sound))
    return written


@contextmanager
def keeping(targets: Mapping[int, Path], resume: bool, is_long: bool) -> Iterator[dict[int, Unfinished]]:
    """What is finished of each take, beside its output; of a run that is stopped it stays if it is worth it."""
    from frieren.unfinished import Unfinished

    places = {seed: Unfinished(target, resume=resume) for seed, target in targets.items()}
    try:
        yield places
    except BaseException:
        for seed, place in places.items():
            if is_long and place.stop():
                typer.echo(f"frieren: {targets[seed]}: --resume goes on from what is finished", err=True)
            place.discard()
        raise


def is_finished(target: Path, item: BatchItem, options: Options, seed: int, model: Model) -> bool:
    """Return whether an output of the same input, model and options is there already, and say so."""
    from frieren.files import file_hash
    from frieren.unfinished import Unfinished

    if options.cues is not None or not (target.exists() and is_output(target)):
        return False
    try:
        old = record.read(record_path(target))
    except record.RecordError:
        return False
    asked = recorded(options, seed)
    same = {name: old["command"].get(name) for name in asked} == json.loads(json.dumps(asked))
    made = (old.get("model_sha256"), old.get("input", {}).get("sha256")) == (model.digest, file_hash(item.source))
    if same and made:
        Unfinished(target).tidy()
        typer.echo(f"{target}  is there already")
    return same and made


def recorded(options: Options, seed: int) -> dict[str, Any]:
    """The options of a take as its record has them."""
    redo = {"redo": [each.table() for each in options.redo]} if options.redo else {}
    table = asdict(replace(options, cues=None)) | {"seed": seed}
    del table["redo"]  # as records call its keys, and only where there is one
    return table | redo


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
            mixed=options.keep_original,
            as_track=options.as_track,
            isolate=options.isolate,
        )
        if target == next(iter(item.targets.values())):
            if choice.target != target:
                kept = f"its video ({choice.codec}) is copied into {choice.target.suffix}, not encoded for"
                typer.echo(f"{item.source.name}: {kept} {target.suffix}")
            for note in choice.notes():
                typer.echo(note)
        target = choice.target
    return target


def seconds_of(source: Path, options: Options) -> float:
    """Length of a video in seconds, 0 for other inputs; a damaged file may claim days.

    Raises:
        VideoError: it is longer than asked for, or cannot be read.
    """
    if options.kind != "video":
        return 0.0
    from frieren.video import probe

    seconds = probe(source, isolate=options.isolate).seconds
    if seconds / 60 > options.max_length:
        raise VideoError(
            f"{source}: {seconds / 60:.0f} minutes long by its timestamps, more than {options.max_length:g}; "
            f"is that right? then --max-length {math.ceil(seconds / 60)}"
        )
    return seconds


def check_free(target: Path, source: Path, overwrite: bool | None) -> None:
    """Check that nothing is lost where an output and its record will be.

    Raises:
        OutputError: a file is there that must not be replaced.
    """
    record_file = record_path(target)
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"{target}: this is the input under another name; choose another with -o")
    if overwrite or overwrite is None and is_output(target):
        return
    for path in (target, record_file):
        if path.exists():
            whose = "exists" if overwrite is False else "exists, and was not made by frieren"
            raise OutputError(f"{path}: {whose}; choose another name with -o, or --overwrite")


def save(sound: Sound, target: Path, source: Path, options: Options, seed: int) -> Path:
    """The output and its record: both, or neither."""
    was_there = target.exists()
    sound = with_unasked(sound, target)
    if options.loudness is not None:
        from frieren.loudness import normalise

        before = sound.loudness
        samples, gain = normalise(sound.samples, sound.sample_rate, options.loudness, loudness=before)
        sound = replace(sound, samples=samples)
    output = sound.save(
        target,
        loudness=None,
        keep_original=options.keep_original,
        levels=options.levels,
        as_track=options.as_track,
        audio_codec=options.audio_codec,
        encode=options.encode,
        sample_rate=options.sample_rate,
        isolate=options.isolate,
    )
    try:
        record.write(output, sound, source, recorded(options, seed))
    except BaseException:
        if not was_there:
            output.unlink(missing_ok=True)
        raise
    if options.loudness is not None:
        say_level(output, before, gain, options.loudness)
    return output


def with_unasked(sound: Sound, target: Path) -> Sound:
    """The sound, with music and voices in its record that its cue sheet does not name; each is said in a line."""
    if "cues" not in sound.record:
        return sound
    from frieren.sound_recognition import find_unasked

    found = find_unasked(sound.samples, sound.sample_rate, (cue["name"] for cue in sound.record["cues"]["sounds"]))
    for one in found:
        typer.echo(f"frieren: warning: {target}: the sound {one}", err=True)
    more = {"unasked": [one.table() for one in found]} if found else {}
    return replace(sound, record={**sound.record, **more})


def report(output: Path, sound: Sound, taken: float, lead: float = 0.0) -> None:
    """Print the last line of a take: file, seconds of sound, seconds taken, real-time factor.

    Args:
        lead: seconds that imports and loading took before the first take.
    """
    line = f"{output}  {sound.seconds:.2f} s of sound in {taken:.2f} s, real-time factor {taken / sound.seconds:.2f}"
    typer.echo(line + (f" ({(taken + lead) / sound.seconds:.2f} with loading)" if lead else ""))


def say_level(output: Path, before: float, gain: float, wanted: float) -> None:
    """Say where the level that was asked for is not reached, and why."""
    from frieren.loudness import FLOOR, MAX_GAIN

    if before + gain > wanted - TOLERATED:
        return
    if gain == 0.0 and before < FLOOR:
        level = "silent" if before == -math.inf else f"nearly silent ({before:.0f} LUFS)"
        line = f"{level}, and left as it is; another --seed may help"
    else:
        why = (
            f"{MAX_GAIN:g} dB of gain are the most"
            if gain > MAX_GAIN - 0.01
            else "its peaks would clip, and are not lowered further"
        )
        line = f"{before + gain:.1f} LUFS, not {wanted:g}: {why}"
    typer.echo(f"frieren: {output}: {line}", err=True)


def check_name(target: Path) -> None:
    """Check that the system takes a name as long as that of the record."""
    try:
        os.stat(record_path(target))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: cannot be written ({reason(error)}); choose another name with -o") from error
