"""Speed of training, in absolute terms and of what this machine could do, and of rendering FoleyWorld.

`frieren bench generate` is in `generation`, `frieren bench precision` in `precision`.

frieren bench train
frieren bench world
frieren bench train --precision bfloat16 --compile --json bench.json
"""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from frieren.apps.bench.generation import generate
from frieren.apps.bench.precision import precision
from frieren.apps.progress import Bars

if TYPE_CHECKING:
    from frieren.training.bench import TrainingBenchmark

Size = Literal["small", "base", "large"]
Precision = Literal["float32", "bfloat16", "both"]
Device = Literal["auto", "cpu", "cuda"]

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Measure this machine."""


app.command("generate")(generate)
app.command("precision")(precision)


@app.command()
def train(
    model_size: Annotated[Size, typer.Option(help="Of the vector field: 71, 159 or 421 M parameters.")] = "base",
    batch: Annotated[int, typer.Option(min=1, help="Clips per step.")] = 8,
    precision: Annotated[Precision, typer.Option(help="Of the matmuls.")] = "both",
    device: Annotated[Device, typer.Option(help="auto: the GPU if there is one.")] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="With torch.compile.")] = False,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Compute the blocks again in the backward pass.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps that are measured.", show_default="5, on a GPU 30")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write everything found to a JSON file.")
    ] = None,
) -> None:
    """Train the vector field on random data, and compare with this machine's fastest matmul.

    A published step is 2 TFLOP: 10 to 30 seconds on two CPU cores.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    from frieren.training import bench

    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter(
            "--device cuda: torch sees no GPU here; leave it out, or install a CUDA build of torch"
        )
    reports = []
    with Bars(f"{model_size} field") as bars:
        for chosen in ("float32", "bfloat16") if precision == "both" else (precision,):
            report = bench.measure(
                model_size,
                batch=batch,
                precision=chosen,
                compile=compile,
                gradient_checkpointing=gradient_checkpointing,
                steps=steps,
                on_progress=partial(bars, chosen),
            )
            reports.append(report)
    show(reports)
    if json_file:
        write(reports, json_file)


@app.command()
def world(
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 136,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Height and width in pixels.")] = 64,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one per core")] = None,
    device: Annotated[Device, typer.Option(help="Draws the pictures; auto: the GPU if there is one.")] = "auto",
) -> None:
    """Draw and sound clips of FoleyWorld, 8 s at 25 frames per second each."""
    import numpy as np
    import torch

    from frieren.world import bench

    drawn_on = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    with Bars("FoleyWorld") as bars:
        report = partial(bars, "render")
        pace = bench.measure(clips, workers=workers or os.cpu_count() or 1, size=size, device=drawn_on, on_clip=report)
    table = Table(title=f"FoleyWorld, {clips} clips of {size} x {size} pixels, drawn on {drawn_on}")
    table.add_column("")
    table.add_column("mean", justify="right")
    table.add_column("5 % take less, 5 % more than", justify="right")
    for name, seconds in (("picture", pace.picture), ("sound", pace.sound)):
        low, high = np.quantile(seconds, (0.05, 0.95))
        table.add_row(f"{name}, seconds of a process", f"{seconds.mean():.3f}", f"{low:.3f} and {high:.3f}")
    table.add_row("clips per minute", f"{pace.per_minute:.0f}")
    Console().print(table)


def show(reports: list[TrainingBenchmark]) -> None:
    """Print a table with one column per dtype."""
    one = reports[0]
    table = Table(title=f"{one.model_size} field, {one.parameters / 1e6:.0f} M parameters, batch {one.batch}")
    table.add_column(one.device)
    rows: dict[str, list[str]] = {}
    for report in reports:
        table.add_column(report.precision, justify="right")
        best = max(report.matmul, key=report.matmul.__getitem__)
        low, high = min(report.step_seconds), max(report.step_seconds)
        for name, value in {
            f"step, median of {len(report.step_seconds)}": f"{report.batch / report.samples_per_second:.3g} s",
            "fastest and slowest": f"{low:.3g} to {high:.3g} s",
            "clips per second": f"{report.samples_per_second:.3g}",
            "FLOP per step": f"{report.flops_per_step:.3g}",
            "FLOP/s": f"{report.flops_per_second:.3g}",
            "matmul, FLOP/s": f"{report.matmul[best]:.3g}",
            "  by": best,
            "MFU (of this matmul)": f"{100 * report.mfu:.0f} %",
            "MFU (of the fastest single one)": f"{100 * report.mfu_at_least:.0f} %",
            "CPU utilisation, both": " and ".join(f"{cores:.1f}" for cores in report.cpu_utilisation)
            + f" of {report.threads}",
            "memory": f"{report.memory / 2**30:.1f} GiB",
        }.items():
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        table.add_row(name, *values)
    Console().print(table)


def write(reports: list[TrainingBenchmark], path: Path) -> None:
    from frieren.files import replacing

    with replacing(path) as part:
        part.write_text(json.dumps([dataclasses.asdict(report) for report in reports], indent=1) + "\n")
