"""Where models come from: the authors' weights fetched, or files of theirs converted.

frieren weights list
frieren weights fetch frieren-reflow
frieren weights convert --flow F.ckpt --vocoder DIR --cavp C.ckpt OUT
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

app = typer.Typer(help="The authors' weights: fetch, convert, list.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """The names that --model takes, and whether the published ones are here."""
    import frieren
    from frieren.official.fetch import is_fetched
    from frieren.official.releases import RELEASES

    for name, description in frieren.models().items():
        state = "" if name not in RELEASES else "  (here)" if is_fetched(name) else "  (not fetched)"
        typer.echo(f"{name:<18} {description}{state}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="frieren, frieren-reflow or frieren-distilled.")],
) -> None:
    """Download a published model and convert it; it stays in the cache, and `--model NAME` finds it."""
    folder = fetched(name)
    typer.echo(f"{folder}  use it with: frieren generate VIDEO --model {name}")


def fetched(name: str) -> Path:
    """The folder of a published model, with a bar while it is downloaded."""
    from frieren.official.fetch import fetch

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def on_progress(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        return fetch(name, say=lambda line: typer.echo(line, err=True), on_progress=on_progress)


@app.command()
def convert(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new model folder.")],
    flow: Annotated[Path | None, typer.Option(help="Checkpoint of the flow; it holds the autoencoder.")] = None,
    vae: Annotated[Path | None, typer.Option(help="Checkpoint of the mel autoencoder alone.")] = None,
    vocoder: Annotated[Path | None, typer.Option(help="Folder with best_netG.pt and args.yml.")] = None,
    cavp: Annotated[Path | None, typer.Option(help="Diff-Foley's CAVP checkpoint.")] = None,
    init: Annotated[Path | None, typer.Option(help="Make-An-Audio 2's checkpoint, to start a training from.")] = None,
    heads: Annotated[int, typer.Option(min=1, help="Heads of the flow's attentions; shapes do not tell.")] = 8,
    fps: Annotated[float, typer.Option(min=0.5, help="Features per second: 4 for CAVP, 2 for MAViL.")] = 4.0,
    steps: Annotated[int, typer.Option(min=1, help="The model's default; 1 for the distilled one.")] = 25,
) -> None:
    """Make a model folder of published files; any part may be left out. Nothing in them is ever run."""
    from frieren.official.convert import Files
    from frieren.official.convert import convert as convert_files
    from frieren.weights import PARTS

    files = Files(flow, vae, vocoder, cavp, init)
    folder = convert_files(files, out, heads=heads, fps=fps, steps=steps, say=typer.echo)
    parts = [part for part in PARTS if (folder / part).exists()]
    name = folder if len(folder.parts) > 1 else f"./{folder}"  # a bare name may be a known model's
    whole = parts == list(PARTS)
    typer.echo(
        f"{folder}  " + (f"use it with: frieren generate VIDEO --model {name}" if whole else f"has {', '.join(parts)}")
    )
