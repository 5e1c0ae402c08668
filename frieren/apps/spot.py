"""Spotting on the command line: a table of what is seen when, or a cue sheet to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from frieren.cues import Cues


def spot(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Videos to look at.")],
    output: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Write the cue sheet of one video.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print cue sheets instead of tables.")] = False,
) -> None:
    """Say what a video shows and when: its cue sheet."""
    from frieren.spotting import spot as spot_video

    if output and len(videos) > 1:
        raise typer.BadParameter("-o takes one video")
    for video in videos:
        cues = spot_video(video)
        if output:
            cues.save(output)
        if as_json:
            typer.echo(cues.to_json(), nl=False)
        else:
            print_table(video, cues)


def print_table(video: Path, cues: Cues) -> None:
    """What is seen, from when to when, and how sure that is."""
    console = Console()
    if not cues.sounds:
        console.print(f"{video}: nothing known", markup=False)
        return
    table = Table("what", "from", "to", "how sure", title=str(video))
    for cue in cues.sounds:
        end = "end" if cue.end is None else f"{cue.end:.1f}"
        table.add_row(cue.category.title, f"{cue.start:.1f}", end, f"{cue.certainty:.2f}")
    console.print(table)
