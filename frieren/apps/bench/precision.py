"""What a faster arithmetic costs in sound.

frieren bench precision --model mini-1step
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from frieren.apps.checks import needs_extra
from frieren.apps.progress import Bars


def precision(
    model: Annotated[str, typer.Option(help="A model that takes cue sheets: a name, a folder, a repository.")] = "mini",
    precision: Annotated[Literal["bfloat16", "float16"], typer.Option(help="That is compared.")] = "bfloat16",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    sheets: Annotated[int, typer.Option(min=1, max=83, help="Categories, each with a cue sheet.")] = 21,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write everything found to a JSON file.")
    ] = None,
) -> None:
    """Compare sounds of another precision with those of float32, by mel, classifier and onsets."""
    needs_extra()
    from frieren.apps.bench.loss import measure, written_sheets
    from frieren.catalogue import load
    from frieren.files import write_json

    exact, other = (load(model, device=device, precision=name) for name in ("float32", precision))
    if exact.config.condition != "cues":
        raise typer.BadParameter(f"--model {model}: it sees frames; name one that takes cue sheets, such as mini")
    with Bars(model) as bars:
        found = measure(exact, other, written_sheets(sheets), partial(bars, "sounds"))
    table = Table(title=f"{model}, {precision} beside float32, {sheets} cue sheets of 8 s")
    table.add_column("")
    table.add_column(precision, justify="right")
    for name, value in found.rows().items():
        table.add_row(name, value)
    Console().print(table)
    if json_file:
        write_json(json_file, dataclasses.asdict(found))
