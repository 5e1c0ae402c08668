"""Spotting on the command line: a table of what is seen when, a cue sheet to edit, or a picture of one.

frieren spot VIDEO -o clip.json --picture clip.png
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frieren.apps.checks import needs_extra, prepare_folder
from frieren.cues import Cues

if TYPE_CHECKING:
    import numpy as np

    from frieren.spotting import Sight

FORMATS = (".png", ".svg", ".pdf")  # of pictures
MOST = 20  # strikes that are printed
GUESSES = 3  # categories that are printed where none is known
COLUMNS, HEIGHT = 12, 120  # frames in a picture, and their height in pixels


def spot(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Videos to look at.")],
    output: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Write the cue sheet of one video.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw one video's: .png, .svg or .pdf. Needs the extra `eval`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print cue sheets instead of tables.")] = False,
) -> None:
    """Say what a video shows and when: its cue sheet."""
    if (output or picture) and len(videos) > 1:
        raise typer.BadParameter("-o and --picture take one video")
    if picture:
        if picture.suffix.lower() not in FORMATS:
            raise typer.BadParameter(f"--picture: {picture} must end in {', '.join(FORMATS)}")
        needs_extra()
    for path in (output, picture):
        if path:
            prepare_folder(path.parent)
    from frieren.spotting import look

    for video in videos:
        sight = look(video)
        cues = sight.cues
        if output:
            cues.save(output)
        if picture:
            draw(picture, video, cues)
        if as_json:
            typer.echo(cues.to_json(), nl=False)
        else:
            print_tables(video, sight)


def draw(picture: Path, video: Path, cues: Cues) -> None:
    """Write a picture of a sheet with frames of its video."""
    from frieren.evaluation.pictures import plot_cues
    from frieren.files import replacing

    with replacing(picture) as part:
        plot_cues(part, thumbnails(video), cues, title=video.name)


def thumbnails(video: Path) -> np.ndarray:
    """Frames at even distances, [F, HEIGHT, W, 3] bytes: COLUMNS, or fewer of a video that has fewer."""
    from frieren.video import probe, stream_frames

    info = probe(video)
    fps = min(COLUMNS / info.seconds, info.fps)
    (block,) = stream_frames(video, fps, HEIGHT, COLUMNS, fit="whole")
    return (block.images * 255).byte().permute(0, 2, 3, 1).numpy()


def print_tables(video: Path, sight: Sight) -> None:
    """What is seen, from when to when, and how sure that is; what strikes when, how hard, and how sure."""
    console, cues = Console(), sight.cues
    if cues.sounds:
        table = Table("what", "from", "to", "how sure", title=Text(str(video)))
        for cue in cues.sounds:
            end = "end" if cue.end is None else f"{cue.end:.1f}"
            table.add_row(cue.category.title, f"{cue.start:.1f}", end, f"{cue.certainty:.2f}")
        console.print(table)
    else:
        guesses = ", ".join(f"{name} {mean:.2f}" for name, mean in sight.likeliest[:GUESSES])
        console.print(f"{video}: nothing known; the likeliest are {guesses}", markup=False, soft_wrap=True)
    if cues.strikes:
        table = Table("strikes at", "strength", "how sure")
        for strike in cues.strikes[:MOST]:
            table.add_row(f"{strike.time:.2f}", f"{strike.strength:.2f}", f"{strike.certainty:.2f}")
        if len(cues.strikes) > MOST:
            table.add_row(f"and {len(cues.strikes) - MOST} more", "", "")
        console.print(table)
