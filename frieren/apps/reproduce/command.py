"""The paper's tables and figures, measured on the data that is here.

frieren reproduce table2 --quick
frieren reproduce table2 --model foleyworld=runs/foleyworld/model -o out/results/
frieren reproduce all --data data/vggsound --videos clips/ --preset paper -o out/vggsound/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frieren.apps.checks import needs_extra, prepare_folder
from frieren.apps.evaluate import Preset
from frieren.apps.listening import named
from frieren.apps.progress import Losses
from frieren.apps.world import Split, write_clip

if TYPE_CHECKING:
    from frieren.reproduction.clips import TestClips
    from frieren.reproduction.results import Results

EVERYTHING = "all"
QUICK_CLIPS = 4


Given = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FOLDER", help="A system's model, which is then not trained; may be repeated."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for results.md, plots, sounds and runs.")]
Data = Annotated[Path | None, typer.Option(help="Data set of `frieren prepare` to train on in the recipes' place.")]
Videos = Annotated[
    Path | None, typer.Option(help="Folder of the data set's videos, by their ids: compare by them, not FoleyWorld.")
]
Precision = Annotated[Literal["float32", "bfloat16", "auto"], typer.Option(help="Arithmetic of the systems' networks.")]
Train = Annotated[
    bool, typer.Option(help="Train systems that have no model; or list what trains them, and how long that takes.")
]
Quick = Annotated[bool, typer.Option("--quick", help="The smallest networks and four clips: does the command work?")]


def reproduce(
    what: Annotated[list[str], typer.Argument(metavar="WHAT...", help="table2, figure4, ..., or all.")],
    out: Out = Path("out/results"),
    model: Given = None,
    data: Data = None,
    videos: Videos = None,
    split: Annotated[Split, typer.Option(help="Whose clips systems are compared by.")] = "test",
    clips: Annotated[int, typer.Option(min=4, help="How many clips, the first ones.")] = 64,
    samples: Annotated[int, typer.Option(min=1, help="Sounds of each clip; the paper has 10.")] = 1,
    preset: Annotated[Preset, typer.Option(help="Networks and settings of the evaluation.")] = "world",
    precision: Precision = "float32",
    train: Train = True,
    kept: Annotated[bool, typer.Option("--kept", help="Only write the page of what is finished.")] = False,
    recipes: Annotated[Path, typer.Option(help="Folder of recipes.")] = Path("recipes"),
    quick: Quick = False,
) -> None:
    """Train, sample, evaluate, and write tables, plots and the paper's claims as checks. Needs the extra `eval`.

    What is finished is kept in OUT: a run that was stopped goes on. `frieren evaluate` computes all scores.
    """
    needs_extra()
    from frieren.evaluation.protocol import PRESETS
    from frieren.reproduction import page
    from frieren.reproduction.cells import Measurer
    from frieren.reproduction.results import NAMES, measure
    from frieren.reproduction.systems import Workshop

    if unknown := sorted({*what} - {*NAMES, EVERYTHING}):
        raise typer.BadParameter(f"{unknown[0]}: choose among {', '.join((*NAMES, EVERYTHING))}")
    names = NAMES if EVERYTHING in what else tuple(name for name in NAMES if name in what)
    prepare_folder(out)
    with Losses() as losses:
        given = named(model or [])
        workshop = Workshop(
            out, recipes, losses.announce, given=given, data=data, train=train and not kept, quick=quick
        )
        chosen = choose_clips(out, data, videos, split, QUICK_CLIPS if quick else clips)
        measurer = Measurer(out, chosen, PRESETS[preset], samples=samples, precision=precision, kept=kept)
        results = measure(names, workshop, measurer)
    about: dict[str, Any] = {
        "clips": f"the first {len(chosen.names)} of {chosen.about}, {samples} sample{'s' * (samples > 1)} each",
        "evaluation": f"preset {preset} of `frieren evaluate`",
        "precision": precision,
    }
    written = page.save(out, names, results, about)
    if "table1" in names and not kept:
        listen(out, results, chosen)
    typer.echo(written.read_text(encoding="utf-8"))


def choose_clips(out: Path, data: Path | None, videos: Path | None, split: str, count: int) -> TestClips:
    """Return the clips that systems are compared by: FoleyWorld's, rendered now, or those of a data set."""
    from frieren.reproduction.clips import prepared_clips, world_clips

    if data is None or videos is None:
        return world_clips(out / "clips", split, count, write_clip)
    return prepared_clips(out / "clips", data, split, count, videos)


def listen(out: Path, results: Results, clips: TestClips) -> None:
    """Make the listening page of table 1, for its columns of opinions, unless it is there."""
    from frieren.evaluation.listening.page import make
    from frieren.reproduction.tables import TABLES

    page = out / "listening"
    systems = {name: results.cells[name][0].sounds for name in TABLES["table1"].rows if name in results.cells}
    if systems and not page.exists():
        folder = next(iter(clips.videos.values())).parent
        study = make(page, systems, folder, references=clips.references, items=min(20, len(clips.names)))
        typer.echo(f"{study.page}: the listening page of table 1; its raters fill the columns MOS", err=True)
