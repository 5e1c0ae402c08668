"""Published weights, of models and of the scorers of an evaluation: listed, fetched, converted.

frieren weights list
frieren weights fetch frieren-reflow
frieren weights fetch panns
frieren weights convert --flow F.ckpt --vocoder DIR --cavp C.ckpt OUT
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

app = typer.Typer(help="Published weights: fetch, convert, list.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """List the names that --model takes, then the scorers of an evaluation, and which published ones are here."""
    import frieren
    from frieren.official import scorers
    from frieren.official.fetch import is_fetched
    from frieren.official.releases import RELEASES

    for name, description in frieren.models().items():
        state = "" if name not in RELEASES else "  (here)" if is_fetched(name) else "  (not fetched)"
        typer.echo(f"{name:<18} {description}{state}")
    for name, scorer in scorers.REFERENCE_MODELS.items():
        typer.echo(f"{name:<18} {scorer.description}  ({'here' if scorers.is_fetched(name) else 'not fetched'})")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A published model or scorer; see `weights list`.")],
) -> None:
    """Download what is published and convert it; it stays in the cache, and its name finds it."""
    from frieren.official.releases import RELEASES
    from frieren.official.scorers import REFERENCE_MODELS

    if name not in RELEASES and name not in REFERENCE_MODELS:
        raise typer.BadParameter(f"{name}: not published; choose one of {', '.join([*RELEASES, *REFERENCE_MODELS])}")
    folder = fetched(name)
    use = "frieren evaluate finds it"
    if name in RELEASES:
        use = f"use it with: frieren generate VIDEO --model {name}"
    typer.echo(f"{folder}  {use}")


def fetched(name: str) -> Path:
    """The folder of a published model or scorer, with a bar while it is downloaded."""
    from frieren.official import fetch as models
    from frieren.official import scorers

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        source = scorers if name in scorers.REFERENCE_MODELS else models
        folder: Path = source.fetch(name, say=lambda line: typer.echo(line, err=True), on_progress=on_progress)
        return folder


@app.command()
def convert(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder.")],
    flow: Annotated[Path | None, typer.Option(help="Checkpoint of the flow; it holds the autoencoder.")] = None,
    vae: Annotated[Path | None, typer.Option(help="Checkpoint of the mel autoencoder alone.")] = None,
    vocoder: Annotated[Path | None, typer.Option(help="Folder with best_netG.pt and args.yml.")] = None,
    cavp: Annotated[Path | None, typer.Option(help="Diff-Foley's CAVP checkpoint.")] = None,
    init: Annotated[Path | None, typer.Option(help="Make-An-Audio 2's checkpoint, to start a training from.")] = None,
    panns: Annotated[Path | None, typer.Option(help="Checkpoint of PANNs' Cnn14; alone.")] = None,
    vggish: Annotated[Path | None, typer.Option(help="Checkpoint of VGGish; alone.")] = None,
    alignment: Annotated[Path | None, typer.Option(help="Diff-Foley's alignment classifier; alone.")] = None,
    synchformer: Annotated[Path | None, typer.Option(help="Checkpoint of Synchformer; alone.")] = None,
    heads: Annotated[int, typer.Option(min=1, help="Heads of the flow's attentions; shapes do not tell.")] = 8,
    fps: Annotated[float, typer.Option(min=0.5, help="Features per second: 4 for CAVP, 2 for MAViL.")] = 4.0,
    steps: Annotated[int, typer.Option(min=1, help="The model's default; 1 for the distilled one.")] = 25,
) -> None:
    """Make a model folder of published files, or a scorer's of its one. Nothing in them is ever run.

    Any part of a model may be left out.
    """
    from frieren.official import scorers
    from frieren.official.convert import Files
    from frieren.official.convert import convert as convert_files
    from frieren.weights import PARTS

    files = Files(flow, vae, vocoder, cavp, init)
    named = {"panns": panns, "vggish": vggish, "alignment": alignment, "synchformer": synchformer}
    given = {name: path for name, path in named.items() if path}
    if given:
        if len(given) > 1 or any(vars(files).values()):
            raise typer.BadParameter(f"--{next(iter(given))} stands alone: a scorer has a folder of its own")
        for name, path in given.items():
            typer.echo(f"{scorers.convert(name, path, out, say=typer.echo)}  is the scorer {name}")
        return
    folder = convert_files(files, out, heads=heads, fps=fps, steps=steps, say=typer.echo)
    parts = [part for part in PARTS if (folder / part).exists()]
    use = f"has {', '.join(parts)}"
    if parts == list(PARTS):  # "./": a bare name may be a known model's
        use = f"use it with: frieren generate VIDEO --model {folder if len(folder.parts) > 1 else f'./{folder}'}"
    typer.echo(f"{folder}  {use}")


@app.command("convert-eyes")
def convert_eyes(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="efficientnet-lite0-57934424.pth.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder.")],
) -> None:
    """Convert EfficientNet-Lite0 into the classifier of photographs that ships. Nothing in the file is ever run."""
    from frieren.official.efficientnet import convert_eyes as convert_classifier

    typer.echo(f"{convert_classifier(checkpoint, out, say=typer.echo)}  is the classifier")
