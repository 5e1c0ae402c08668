"""Train a model, part after part; a run that was stopped goes on where it was.

frieren train mini
frieren train recipes/tiny/field.toml --set optim.lr=1e-4
torchrun --nproc-per-node 2 -m frieren train mini --board tensorboard
while frieren train mini --minutes 10; [ $? = 143 ]; do :; done
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from frieren.apps.checks import prepare_folder
from frieren.apps.progress import Losses
from frieren.errors import FrierenError


def train(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Names of folders in recipes/, folders, or .toml files.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder.", show_default="runs/NAME")] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of recordings that the autoencoder and the vocoder hear as well.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; may be repeated.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="Also show losses and previews on: none, tensorboard, wandb.", show_default="the recipe's"),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the last checkpoint, if there is one; or delete what is there.")
    ] = True,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so long as SIGTERM would, with 143; the same command goes on."),
    ] = None,
) -> None:
    """Train each RECIPE; the finished parts become a model folder that `frieren generate --model` takes.

    Under torchrun the processes share the work. When told to end (SIGTERM, Ctrl-C) a run finishes its step and saves.
    """
    if minutes is not None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    if out is not None and len(recipes) > 1:
        raise typer.BadParameter(f"-o names one run folder, {len(recipes)} RECIPEs were given; leave it out")
    found = [find_recipe(name) for name in recipes]
    names = (recipe.parent.name if recipe.suffix == ".toml" else recipe.name for recipe in found)
    folders = [out or Path("runs") / name for name in names]
    for folder in folders:
        prepare_folder(folder)
    from frieren.training import machines
    from frieren.training.run import train_all

    settings = [*(changes or []), *([f"board={board}"] if board else [])]
    with machines.connected():
        for recipe, folder in zip(found, folders, strict=True):
            first = machines.rank() == 0
            with Losses(shown=first) as bars:
                model = train_all(recipe, folder, settings, audio, bars.announce, resume=resume)
            if first:
                use = "" if model is None else f"  use it with: frieren generate VIDEO --model {model}"
                typer.echo(f"{model or folder}{use}")


class NoRecipeError(FrierenError):
    """A recipe cannot be found."""


def find_recipe(name: str) -> Path:
    """A recipe folder or file; a bare name means the folder of that name in recipes/.

    Raises:
        NoRecipeError: there is neither.
    """
    for path in (Path(name), Path("recipes") / name):
        if os.path.exists(path):
            return path
    raise NoRecipeError(
        f"{name}: no such recipe; recipes/ is part of the repository, not of the installed package: "
        "run this in a clone of it, or give the path of a recipe"
    )
