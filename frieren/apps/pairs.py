"""Make pairs for reflow and distillation: noise and the latent that the guided flow leads to, for every clip.

frieren pairs runs/mini/model data/vggsound data/pairs
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from frieren.apps.checks import prepare_folder
from frieren.apps.generate.options import Solver
from frieren.apps.prepare import exit_if_incomplete
from frieren.apps.progress import Bars

Precision = Literal["float32", "bfloat16"]


def pairs(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a folder; its field makes the pairs.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Data set of `frieren prepare`, with features.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the pairs.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Splits of DATA; may be repeated.", show_default="train, valid")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Solver steps behind each pair.")] = 25,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance.", show_default="the model's own")] = None,
    solver: Annotated[Solver, typer.Option(help="How to walk the flow.")] = "euler",
    reencode: Annotated[
        bool, typer.Option("--reencode", help="Keep the latent after a way through the spectrogram as well.")
    ] = False,
    draws: Annotated[int, typer.Option(min=1, help="Pairs of each clip, from windows spread over it.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pairs.")] = 0,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the field.")] = "float32",
    batch: Annotated[int, typer.Option(min=1, help="Pairs that are sampled together.")] = 8,
    per_shard: Annotated[int, typer.Option(min=1, help="Clips in one file.")] = 256,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Local processes; 0: none but this one.", show_default="one per GPU, or core"),
    ] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to work on, such as auto.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="Of the Ray cluster, for each process.")] = 0,
) -> None:
    """Sample pairs for every clip of DATA; what was stopped goes on where it was."""
    from frieren.catalogue import find
    from frieren.dataset.pairs import Pairing, make_pairs
    from frieren.dataset.shards import Shards
    from frieren.weights import part_folders, read_model_config

    folder = find(model)
    config = read_model_config(folder)
    parts = part_folders(folder, config)
    plain = config.guidance_rescale or config.guidance  # pairs are not rescaled
    pairing = Pairing(
        data,
        parts["field"],
        parts["autoencoder"],
        config.clock,
        steps=steps,
        guidance=plain if guidance is None else guidance,
        solver=solver,
        reencode=reencode,
        draws=draws,
        seed=seed,
        precision=precision,
        batch=batch,
    )
    splits = tuple(split or ("train", "valid"))
    prepare_folder(out)
    with Bars(str(out)) as bars:
        on_done = partial(bars, "shards")
        failures = make_pairs(
            pairing, out, splits, per_shard=per_shard, workers=workers, ray=ray, gpus=gpus, on_done=on_done
        )
    exit_if_incomplete(failures)
    count = sum(len(Shards(out, name)) for name in splits)
    typer.echo(f"{out}  {count} pairs; use them with: --set shared.pairs={out}")
