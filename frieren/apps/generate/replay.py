"""Replay of a record: the sound is made again and compared with the recorded one, or a stretch of it is made anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from frieren.apps.faults import explained
from frieren.apps.generate import record
from frieren.apps.generate.batch import make
from frieren.apps.generate.options import Options
from frieren.apps.generate.plan import NamingError, is_folder, plan_outputs, wrong_option
from frieren.configs import from_table
from frieren.errors import ConfigError
from frieren.redo import Redo, parse_span

if TYPE_CHECKING:
    from frieren import Sound


def replay(path: Path, out: str | None, overwrite: bool | None = None) -> None:
    """Make the sound of the record `path` again, and print whether it came out the same.

    Raises:
        RecordError: it is not a record.
        typer.BadParameter: the output cannot be what was asked for.
    """
    old = record.read(path)
    sound = _made_again(path, old, read_options(path, old), out, "replay", overwrite)
    changes = list(record.changes(old, sound.record))
    for change in changes:
        typer.echo(f"frieren: warning: {change}", err=True)
    if sound.record["wave_sha256"] == old["wave_sha256"]:
        typer.echo("identical: every sample is the one recorded")
    else:
        remedy = "the lines above say what changed" if changes else "the record was edited, or the model is not exact"
        typer.echo(f"frieren: warning: the sound is not identical to the recorded one; {remedy}", err=True)


def redo_stretch(
    span: str | None, path: Path | None, seed: int | None, out: str | None, overwrite: bool | None = None
) -> None:
    """Make the sound of a record with one more stretch made again; outside of it every sample stays.

    Args:
        span: the stretch, "2.0:3.5".
        seed: of the stretch; None: the first one after those that the record has.

    Raises:
        RecordError: it is not a record.
        typer.BadParameter: no stretch or no record, or the output cannot be what was asked for.
    """
    if span is None or path is None:
        raise typer.BadParameter("--redo FROM:TO and --from RECORD go together")
    old = record.read(path)
    options = read_options(path, old)
    used = max([options.seed, *(each.seed for each in options.redo)])
    with wrong_option(ValueError):
        more = Redo(*parse_span(span), used + 1 if seed is None else seed)
    options = dataclasses.replace(options, redo=(*options.redo, more))
    sound = _made_again(path, old, options, out, "redo", overwrite)
    for change in record.changes({**old, "redo": None}, {**sound.record, "redo": None}):
        typer.echo(f"frieren: warning: {change}; what was kept may differ", err=True)


def _made_again(
    path: Path, old: dict[str, Any], options: Options, out: str | None, suffix: str, overwrite: bool | None
) -> Sound:
    """Generate by a record's options, beside the record unless `out` says where."""
    source, recorded = Path(old["command"]["video"]), Path(old["command"]["output"])
    target = out or str(path.with_name(f"{recorded.stem}_{suffix}{recorded.suffix}"))
    with wrong_option(NamingError):
        if is_folder(target):
            target = str(Path(target) / recorded.name)
        (item,) = plan_outputs(
            [source], target, None, [options.seed], kind=options.kind, needs_video=options.needs_video()
        )
    model = options.load()
    with explained(source):
        ((_, sound),) = make(model, item, options, overwrite=overwrite)
    return sound


def read_options(path: Path, old: dict[str, Any]) -> Options:
    """The options of a record. Where the command left one to the model, the value that was then used.

    Raises:
        RecordError: a value that no option can have; a record is a file, and files are edited and damaged.
    """
    names = {field.name for field in dataclasses.fields(Options)}
    given = {name: value for name, value in old["command"].items() if name in names}
    used = {name: old.get("options", {}).get(name) for name in ("steps", "guidance", "solver")}
    given |= {name: value for name, value in used.items() if value is not None}
    if "cues" in old:  # as they were used: spotted or given, with the sounds that were asked for
        given |= {"cues": old["cues"], "sounds": None}
    try:
        return from_table(Options, given)
    except ConfigError as error:
        raise record.RecordError(f"{path}: {error}; give a record as it was written") from error
