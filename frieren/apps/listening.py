"""Listening tests: the page for the raters, and what their answers say.

frieren evaluate --listening study mini=out/mini base=out/base --videos clips/ --references clips/
frieren evaluate --mos answers_*.json --key study.key.json --drop
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frieren.apps.checks import needs_extra, prepare_folder
from frieren.apps.progress import Bars


def listening(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="New folder for the page; OUT.key.json names the systems.")
    ],
    systems: Annotated[list[str], typer.Argument(metavar="NAME=FOLDER...", help="Each system's sounds or videos.")],
    videos: Annotated[Path, typer.Option(help="Folder of the videos; sounds are named like them.")],
    references: Annotated[
        Path | None, typer.Option(help="Folder of true sounds, or of videos with them: gives the hidden anchors.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Videos to draw.")] = 20,
    per_rater: Annotated[int | None, typer.Option(min=1, help="How many of them each rater gets; else all.")] = None,
    anchors: Annotated[int, typer.Option(min=0, help="At how many of them the low anchor occurs.")] = 5,
    question: Annotated[
        list[str] | None, typer.Option(help="Ask only this, quality or alignment; may be repeated.")
    ] = None,
    loudness: Annotated[float, typer.Option(min=-40, max=-10, help="Of every sound, in LUFS.")] = -23.0,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Listening test",
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
) -> None:
    """A listening test (MOS-Q, MOS-A) as a web page that needs no network and no server."""
    from frieren.evaluation.listening.page import QUESTIONS, make

    with Bars(str(out)) as bars:
        study = make(
            out,
            named(systems),
            videos,
            references=references,
            questions=question or tuple(QUESTIONS),
            items=items,
            per_rater=per_rater,
            anchors=anchors,
            target=loudness,
            title=title,
            seed=seed,
            on_item=lambda done: bars("items", done, items),
        )
    typer.echo(f"{study.page}: {study.trials} sounds of {len(study.items)} videos; give this folder to the raters")
    typer.echo(f"{study.key}: which system made which sound; keep it, and to yourself")


def named(systems: list[str]) -> dict[str, Path]:
    """ "mini=out/mini" -> {"mini": out/mini}."""
    found: dict[str, Path] = {}
    for text in systems:
        name, sign, folder = text.partition("=")
        if not (name and sign and folder):
            raise typer.BadParameter(f"{text!r} is not NAME=FOLDER, such as mini=out/mini")
        if name in found:
            raise typer.BadParameter(f"{name!r} is given twice; each system has its own name")
        found[name] = Path(folder)
    return found


def mos(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="Files that raters have saved.")],
    key: Annotated[Path, typer.Option(help="The key that was written beside the page.")],
    drop: Annotated[bool, typer.Option("--drop", help="Leave out raters who fail the hidden anchors.")] = False,
    draws: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for mos.json and mos.md.")] = None,
) -> None:
    """Mean opinion scores: means, t-intervals, cluster bootstrap, hidden anchors. Needs the extra `eval`."""
    from frieren.evaluation.listening import mos as opinions

    needs_extra()
    if out:
        prepare_folder(out)
    report = opinions.mos(opinions.read_answers(answers, key), drop=drop, draws=draws, seed=seed)
    typer.echo(report.markdown())
    if out:
        report.save(out / "mos.json")
        (out / "mos.md").write_text(report.markdown(), encoding="utf-8")
