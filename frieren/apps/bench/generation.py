"""Speed of generation, stage by stage, in absolute terms, of what this machine could do, and of the plain networks.

frieren bench generate
frieren bench generate --model published --steps 25 --against eager
frieren bench generate --model mini-1step --precision bfloat16 --cold --json bench.json
frieren bench generate --seconds 8,60,300 --picture cost.svg
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from frieren.apps.bench.picture import draw
from frieren.apps.checks import needs_extra
from frieren.apps.progress import Bars

if TYPE_CHECKING:
    from torch import nn

    from frieren.pipeline import Model
    from frieren.pipeline.bench import GenerationBenchmark, Which

DEMO = Path(__file__).parents[2] / "assets" / "demo.mp4"
MODEL = "A name, a folder, or a Hub repository; published: the published sizes with random weights."

Precision = Literal["float32", "bfloat16", "float16", "auto"]


def generate(
    video: Annotated[Path, typer.Argument(help="What gets a soundtrack.", show_default="the bundled clip")] = DEMO,
    model: Annotated[str, typer.Option(help=MODEL)] = "mini",
    steps: Annotated[int | None, typer.Option(min=1, help="Of Euler's method; otherwise the model's own.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Clips side by side.")] = 1,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks.")] = "float32",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    against: Annotated[
        Literal["eager"] | None, typer.Option(help="Let the plain networks in float32 take turns, and print ratios.")
    ] = None,
    seconds: Annotated[str | None, typer.Option(metavar="S,S,...", help="Lengths; only from features to wave.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="That are measured, after one that is not.")] = 3,
    cold: Annotated[bool, typer.Option("--cold", help="Also time frieren generate in new processes.")] = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw cost and memory against --seconds (extra eval).")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write everything found to a JSON file.")
    ] = None,
) -> None:
    """Time every stage from the file to the file.

    Wall times are medians. CPU seconds count all cores: where other processes run, they are what one thread works
    (OMP_NUM_THREADS=1). The published sizes take minutes.
    """
    lengths = parse_seconds(seconds, picture)
    if cold and model == "published":
        raise typer.BadParameter("--cold: published is in no folder that a new process could load; name another model")
    models, plain = loaded(model, device, precision, against is not None)
    from frieren.pipeline.bench import measure

    console = Console()
    with TemporaryDirectory() as folder, Bars(model) as bars:
        found = measure(
            models,
            plain,
            video,
            Path(folder),
            batch=batch,
            steps=steps,
            seconds=lengths,
            rounds=rounds,
            on_progress=partial(bars, "stages"),
        )
        reports = list(found)
    for report in reports:
        console.print(table_of(report))
    if picture is not None:
        draw(reports, picture)
    table: dict[str, Any] = {"runs": [to_json(report) for report in reports]}
    if cold:
        table["cold_seconds"] = cold_starts(video, model, steps, precision, device, rounds)
        console.print(f"frieren generate in a new process: {statistics.median(table['cold_seconds']):.2f} s")
    if json_file:
        from frieren.files import write_json

        write_json(json_file, table)


def loaded(
    model: str, device: str, precision: Precision, against: bool
) -> tuple[dict[Which, Model], dict[str, nn.Module]]:
    """The models that take turns, and the plain networks of which they are."""
    import torch

    from frieren.catalogue import choose_device, choose_precision, networks, with_griffin_lim
    from frieren.pipeline import Model
    from frieren.tiny import published_model

    device = choose_device(device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter(f"--device {device}: torch sees no GPU here; leave it out")
    config, plain = published_model() if model == "published" else networks(model)[:2]
    parts = with_griffin_lim(config, plain)
    models: dict[Which, Model] = {
        "fast": Model(config, parts, device=device, precision=choose_precision(precision, device))
    }
    if against:
        models["plain"] = Model(config, parts, device=device, fast=False)
    return models, plain


def parse_seconds(text: str | None, picture: Path | None) -> list[float]:
    """ "8,60" -> [8.0, 60.0], in order, since memory only grows; None: []. A picture needs two."""
    try:
        lengths = sorted(float(part) for part in text.split(",")) if text else []
    except ValueError:
        raise typer.BadParameter(f"--seconds must be numbers such as 8,60,300, got {text!r}") from None
    if lengths and not 0 < lengths[0] <= lengths[-1] <= 86_400:
        raise typer.BadParameter(f"--seconds must lie in 0..86400, got {text!r}")
    if picture is not None:
        needs_extra()
        if len(lengths) < 2:
            raise typer.BadParameter("--picture shows lengths; give --seconds two of them at least")
    return lengths


def cold_starts(video: Path, model: str, steps: int | None, precision: str, device: str, rounds: int) -> list[float]:
    """Seconds of `frieren generate`, file to file, each time in a new process."""
    taken = []
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "frieren", "generate", str(video), "-o", f"{folder}/out.mp4", "--overwrite"]
        command += ["--model", model, "--precision", precision, "--device", device]
        command += [] if steps is None else ["--steps", str(steps)]
        for _ in range(rounds):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
            taken.append(time.perf_counter() - began)
    return taken


def table_of(report: GenerationBenchmark) -> Table:
    """One column per stage."""
    limits = {name: max(ways.values()) for name, ways in report.matmul.items()}
    title = f"{report.model}, {report.parameters / 1e6:.1f} M parameters, {report.sound_seconds:.2f} s of sound"
    title += f" ({report.batch} at once), {report.steps} steps, guidance {report.guidance:g}"
    caption = f"{report.device}, {report.threads} threads, torch {report.torch}; fastest matmul"
    caption += " of one core: " if report.on_cpu else ": "
    caption += ", ".join(f"{name} {limit / 1e9:.0f} GFLOP/s" for name, limit in limits.items())
    table = Table(title=title, caption=f"{caption}; memory {report.memory / 2**30:.1f} GiB")
    table.add_column("")
    fast = report.stages["fast"]
    for stage in fast:
        table.add_column(stage, justify="right")

    def row(name: str, values: Iterable[str]) -> None:
        table.add_row(name, *values)

    row(f"s, {report.precision['fast']}", (f"{time.median:.3g}" for time in fast.values()))
    row("CPU s", (f"{time.cpu_median:.3g}" for time in fast.values()))
    row("x real time", (f"{report.sound_seconds / time.median:.1f}" for time in fast.values()))
    row("GFLOP", (f"{time.flops / 1e9:.3g}" if time.flops else "" for time in fast.values()))
    row("GFLOP/s", (f"{time.flops_per_second / 1e9:.3g}" if time.flops else "" for time in fast.values()))
    row("of the limit", (f"{report.share('fast', name):.0%}" if fast[name].flops else "" for name in fast))
    if "plain" in report.stages:
        plain = report.stages["plain"]
        row("plain: s, float32", (f"{time.median:.3g}" for time in plain.values()))
        row("CPU s", (f"{time.cpu_median:.3g}" for time in plain.values()))
        row("times faster", (f"{plain[name].median / fast[name].median:.2f}" for name in fast))
        row("in CPU s", (f"{plain[name].cpu_median / fast[name].cpu_median:.2f}" for name in fast))
    return table


def to_json(report: GenerationBenchmark) -> dict[str, Any]:
    """Everything found, with the share of the limit of each stage."""
    table = dataclasses.asdict(report)
    for which, stages in report.stages.items():
        for stage in stages:
            table["stages"][which][stage]["share_of_limit"] = report.share(which, stage)
    return json.loads(json.dumps(table))
