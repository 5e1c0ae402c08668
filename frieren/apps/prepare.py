"""Make a data set for training: clips into shards of features, mels, waves or images.

frieren prepare clips data/mine
frieren prepare vggsound.csv data/vggsound --videos clips --split-list Train.txt --split-list Test.txt
frieren prepare foleyworld:train:1500 data/world --fields mel,wave,images
frieren prepare mixtures:train:12000 data/voice --recordings sounds --seconds 8
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frieren.apps.checks import prepare_folder
from frieren.apps.progress import Bars

if TYPE_CHECKING:
    from frieren.dataset.prepare import DatasetSpec, PreparedSummary
    from frieren.dataset.sources import ClipSource

SHOWN = 5  # rejected clips that are printed


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of videos, a CSV (with a header of id, start, label, split; or VGGSound's own), "
            "or foleyworld:SPLIT:COUNT, or foleyworld:SPLIT:FIRST+COUNT, or mixtures:SPLIT:COUNT; SPLIT:COUNT of "
            "several splits with commas.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder for the data set.")],
    videos: Annotated[
        Path | None, typer.Option(help="Folder with the videos of a CSV: ID_START.mp4 or ID.mp4.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name, folder or Hub repository that gives rates and encoder.")] = "mini",
    split_list: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Text file of ids, whose name is their split; may be repeated."),
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Recordings that mixtures are made of, by category; may be repeated."),
    ] = None,
    fields: Annotated[str, typer.Option(help="Some of features,mel,wave,images,mean,log_variance.")] = "features,mel",
    size: Annotated[
        int | None, typer.Option(min=16, max=1024, help="Of images, in pixels.", show_default="the encoder's")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Longest part of a clip that is used.")] = 10.0,
    precision: Annotated[str, typer.Option(help="Of the encoder: float32 or bfloat16.")] = "float32",
    per_shard: Annotated[
        int | None, typer.Option(min=1, help="Clips in one file.", show_default="256, or what has 200 MB of images")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Local processes; 0: none but this one.", show_default="one per core")
    ] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to work on, such as auto.")] = None,
) -> None:
    """Turn SOURCE into a data set; what was stopped goes on where it was."""
    from frieren.dataset import prepare as preparing
    from frieren.dataset.sources import read_source

    found = read_source(source, videos=videos, lists=split_list or [], recordings=recordings or [])
    report_coverage(found, data)
    try:
        spec = spec_from(model, tuple(fields.split(",")), size, seconds, precision)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    prepare_folder(data)
    with Bars(str(data)) as bars:
        summary = preparing.prepare(
            found,
            data,
            spec,
            per_shard=per_shard,
            workers=workers,
            ray=ray,
            on_done=lambda done, total: bars("shards", done, total),
        )
    report(summary, data)


def spec_from(model: str, fields: tuple[str, ...], size: int | None, seconds: float, precision: str) -> DatasetSpec:
    """The specification of a data set at the rates of a model."""
    from frieren.catalogue import find
    from frieren.dataset.prepare import DatasetSpec
    from frieren.weights import part_folders, read_json, read_model_config

    folder = find(model)
    config, parts = read_model_config(folder), part_folders(folder, read_model_config(folder))
    encoder, autoencoder = parts.get("encoder"), parts.get("autoencoder")
    if encoder and not size:
        size = read_json(encoder / "config.json")["image_size"]
    size = size or DatasetSpec.size
    return DatasetSpec(
        fields, encoder, autoencoder, config.condition, size, seconds, config.clock, config.mel, precision
    )


def report_coverage(source: ClipSource, data: Path) -> None:
    """Print how many clips of each list were found."""
    for cover in source.coverage:
        share = 100 * cover.found / cover.listed
        line = f"{cover.split or '(no split)'}: {cover.found} of {cover.listed} clips found ({share:.1f} %)"
        typer.echo(line + (f", {len(cover.missing)} missing: {data / 'missing.csv'}" if cover.missing else ""))
    if source.unlisted:
        typer.echo(f"{source.unlisted} clips are in no list and are left out")


def report(summary: PreparedSummary, data: Path) -> None:
    """Print what was made and what could not be.

    Raises:
        typer.Exit: with code 1 if a shard is missing.
    """
    exit_if_incomplete(summary.failures)
    for id, reason in summary.rejected[:SHOWN]:
        typer.echo(f"rejected {id}: {reason}")
    rejected = f", {len(summary.rejected)} rejected: {data / 'rejected.csv'}" if summary.rejected else ""
    clips, shards = (
        f"{n} {what}{'s' if n != 1 else ''}" for n, what in ((summary.items, "clip"), (summary.shards, "shard"))
    )
    typer.echo(f"{data}  {clips} in {shards}{rejected}")


def exit_if_incomplete(failures: dict[Path, str]) -> None:
    """Print which shards could not be made.

    Raises:
        typer.Exit: with code 1 if there is one.
    """
    for path, reason in failures.items():
        typer.echo(f"frieren: {path}: not made: {reason}", err=True)
    if failures:
        typer.echo(f"frieren: {len(failures)} shards are missing; the same command makes them", err=True)
        raise typer.Exit(1)
