"""Measure sounds and models.

frieren evaluate GENERATED REFERENCE --preset world
frieren evaluate GENERATED REFERENCE --preset paper --out scores/
frieren evaluate timing --model runs/foleyworld/model --out timing/
frieren evaluate sweep --model runs/foleyworld/model --steps 1 --steps 5 --steps 25 -o sweep/
frieren evaluate foleyworld docs/benchmark --model runs/foleyworld/model --recordings audio/
frieren evaluate real clips/ --model mini
frieren evaluate recordings audio/ --model mini
frieren evaluate --listening study mini=out/mini --videos clips/ --references clips/
frieren evaluate --mos answers_*.json --key study.key.json
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer
from typer.core import TyperGroup

from frieren.apps import listening
from frieren.apps.checks import needs_extra, prepare_folder
from frieren.apps.foleyworld import frame_model, impact_clips, plot, steady_clips
from frieren.apps.progress import Bars
from frieren.apps.world import Split

if TYPE_CHECKING:
    import numpy as np

    from frieren.world import Clip

Preset = Literal["world", "paper", "av-bench"]
Over = Literal["softmax", "sigmoid"]
STEPS = (1, 2, 5, 10, 25)
FLAGS = ("--listening", "--mos")  # as the first word: `--scores` is an option of the command `scores`


class Measures(TyperGroup):
    """Two folders instead of a command are scored; two commands may be written as flags: --mos is mos."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in FLAGS:
            args = [args[0][2:], *args[1:]]
        elif args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["scores", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=Measures, no_args_is_help=True)
app.command("listening")(listening.listening)
app.command("mos")(listening.mos)


@app.callback()
def top() -> None:
    """Measure sounds: `frieren evaluate GENERATED REFERENCE` means `frieren evaluate scores GENERATED REFERENCE`.

    A folder that is called like a command is given as ./NAME.
    """


@app.command()
def scores(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED", help="Folder of generated sounds or videos.")],
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="Folder of the reference ones, by the same names.")
    ],
    preset: Annotated[Preset, typer.Option(help="Networks and settings; world needs no download.")] = "world",
    only: Annotated[
        list[str] | None,
        typer.Option("--scores", help="Only this one; may be repeated: fd, fad, is, kl, kid, onsets, ..."),
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, if REFERENCE holds sounds.")] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="generated|none|SECONDS", help="Length of the reference sounds; otherwise the preset's."),
    ] = None,
    kl: Annotated[Over | None, typer.Option(help="What KL is over; otherwise the preset's.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out what is missing or unreadable, and note it.")
    ] = False,
    cache: Annotated[bool, typer.Option(help="Keep features, so that a second run is quick.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for scores.json and scores.md.")] = None,
) -> None:
    """FD, FAD, IS, KL, KID, timing and alignment of generated sounds, with 95 % intervals. Needs the extra `eval`.

    Files are named <id>.wav, <id>_<k>.wav, Y<id>_<k>.wav or as `frieren generate` names them.
    """
    needs_extra()
    from frieren.evaluation.protocol import PRESETS
    from frieren.evaluation.run import evaluate
    from frieren.evaluation.scorers.cache import FeatureCache

    changed: dict[str, Any] = {"crop": crop_value(crop), "kl_over": kl}
    changed = {name: value for name, value in changed.items() if value is not None}
    if out:
        prepare_folder(out)
    with Bars(str(generated)) as bars:
        report = evaluate(
            generated,
            reference,
            dataclasses.replace(PRESETS[preset], **changed),
            scores=only or (),
            videos=videos,
            allow_missing=allow_missing,
            cache=FeatureCache(cache),
            changed=changed,
            on_progress=bars,
        )
    typer.echo(report.markdown())
    if out:
        report.save(out)


def crop_value(text: str | None) -> Any:
    """ "8.192" -> 8.192; "generated" and "none" as they are."""
    if text in (None, "generated", "none"):
        return text
    try:
        seconds = float(text)
    except ValueError:
        raise typer.BadParameter(f"--crop: {text!r} is not generated, none or a number of seconds") from None
    if not 0 < seconds < 3600:
        raise typer.BadParameter(f"--crop: {text} is outside 0..3600 seconds")
    return seconds


@app.command()
def timing(
    model: Annotated[str, typer.Option(help="Folder of a model that sees frames.", show_default="none")] = "",
    split: Annotated[Split, typer.Option(help="FoleyWorld split.")] = "test",
    clips: Annotated[int, typer.Option(min=2, help="Clips whose only sounds are visible impacts.")] = 64,
    steady: Annotated[int, typer.Option(min=0, help="Clips whose only sounds are visible rain, engines, wind.")] = 24,
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps; otherwise the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance; otherwise the model's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The clip with index i is generated with seed + i.")] = 0,
    pictures: Annotated[int, typer.Option(min=0, help="How many clips to plot, spread over the kinds.")] = 7,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and plots.")] = None,
) -> None:
    """Onsets and levels of a model's sounds on FoleyWorld, by its scripts. Needs the extra `eval`."""
    needs_extra()
    from frieren.evaluation.foleyworld.takes import features_of, sound_of
    from frieren.evaluation.timing import impacts
    from frieren.evaluation.timing import steady as sustained

    if out:
        prepare_folder(out)
    loaded = frame_model(model)
    chosen = impact_clips(split, clips, loaded)
    others = steady_clips(split, steady, loaded)
    plotted = {round(index * (clips - 1) / max(1, pictures - 1)) for index in range(pictures)} if out else set()
    with Bars(f"{clips + steady} clips") as bars:

        def generate(clip: Clip) -> np.ndarray:
            return sound_of(loaded, features_of(loaded, clip), clip.seconds, seed + clip.index, steps, guidance)

        def on_impacts(index: int, clip: Clip, wave: np.ndarray) -> None:
            bars("sample", index + 1, clips + steady)
            if out and index in plotted:
                plot(out, loaded, clip, wave)

        def on_steady(index: int, clip: Clip, wave: np.ndarray) -> None:
            bars("sample", clips + index + 1, clips + steady)

        rate, sampled = loaded.clock.sample_rate, steps or loaded.config.steps
        impact_report = impacts.measure(generate, chosen, rate, model=model, steps=sampled, on_clip=on_impacts)
        show(impact_report, out, "timing")
        if steady:
            show(sustained.measure(generate, others, rate, on_clip=on_steady), out, "steady")


@app.command()
def scorers(
    split: Annotated[Split, typer.Option(help="FoleyWorld split.")] = "test",
    clips: Annotated[int, typer.Option(min=8, help="How many clips, the first ones.")] = 512,
    tagger: Annotated[Path | None, typer.Option(help="Folder of another tagger than the one that ships.")] = None,
    alignment: Annotated[Path | None, typer.Option(help="Folder of another alignment classifier.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for scorers.json and scorers.md.")] = None,
) -> None:
    """How good the scorers of the preset world are, on reference sounds. Needs the extra `eval`."""
    needs_extra()
    from frieren.evaluation.foleyworld.quality import measure
    from frieren.evaluation.scorers.alignment import WORLD, WorldAlignment
    from frieren.evaluation.scorers.extractors import load_world

    if out:
        prepare_folder(out)
    networks = load_world(tagger), WorldAlignment(alignment or WORLD)
    with Bars(f"{clips} clips") as bars:
        report = measure(split, clips, *networks, on_clip=lambda done: bars("score", done, clips))
    show(report, out, "scorers")


@app.command()
def recordings(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of recordings, by manifest.csv or by category.")
    ],
    model: Annotated[str, typer.Option(help="A name, a folder, or a Hub repository.")] = "mini",
    split: Annotated[str, typer.Option(help="Split of the manifest; empty for folders without one.")] = "test",
    most: Annotated[int, typer.Option(min=1, help="Largest number, spread over categories.")] = 300,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for recordings.json and .md.")] = None,
) -> None:
    """Are recordings still named right behind a model's vocoder and autoencoder? Needs the extra `eval`."""
    needs_extra()
    import frieren
    from frieren.evaluation.recordings import choose, measure

    if out:
        prepare_folder(out)
    chosen, loaded = choose(folders, split, most), frieren.load(model)
    with Bars(f"{len(chosen)} recordings") as bars:
        report = measure(loaded, chosen, on_sound=lambda done: bars("name", done, len(chosen)))
    show(report, out, "recordings")


@app.command()
def sweep(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for sweep.json, sweep.md and the plots.")],
    model: Annotated[str, typer.Option(help="Folder of a model that sees frames.", show_default="none")] = "",
    steps: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Solver steps to measure at; may be repeated.", show_default="1, 2, 5, 10, 25"),
    ] = None,
    guidance: Annotated[
        list[float] | None, typer.Option(min=0, help="Guidance to measure at; may be repeated.", show_default="none")
    ] = None,
    split: Annotated[Split, typer.Option(help="FoleyWorld split.")] = "valid",
    clips: Annotated[int, typer.Option(min=2, help="Clips whose only sounds are visible impacts.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The clip with index i has seed + i, at every setting.")] = 0,
) -> None:
    """Onset F1 against solver steps, and against guidance: tables and plots. Needs the extra `eval`.

    Where one is swept the other is the model's own.
    """
    needs_extra()
    from frieren.evaluation.foleyworld import sweep as sweeps
    from frieren.evaluation.foleyworld.takes import features_of, sound_of

    prepare_folder(out)
    loaded = frame_model(model)
    chosen = impact_clips(split, clips, loaded)
    settings = {"steps": steps or (() if guidance else STEPS), "guidance": guidance or ()}
    features = {clip.index: features_of(loaded, clip) for clip in chosen}
    with Bars(f"{clips} clips") as bars:

        def generate(clip: Clip, at: Mapping[str, float]) -> np.ndarray:
            chosen_steps, strength = int(at["steps"]), at["guidance"]
            return sound_of(
                loaded, features[clip.index], clip.seconds, seed + clip.index, chosen_steps, strength
            )  # fmt: skip

        def on_setting(at: Mapping[str, float], done: int) -> None:
            bars(f"{at['steps']:g} steps, guidance {at['guidance']:g}", done, clips)

        report = sweeps.measure(
            generate,
            chosen,
            loaded.clock.sample_rate,
            settings,
            model=model,
            own={"steps": loaded.config.steps, "guidance": loaded.config.guidance},
            about={"split": split, "seed": seed},
            on_clip=on_setting,
        )
    report.save(out)
    typer.echo(report.markdown())


@app.command()
def foleyworld(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for tables, plots and the models' sounds.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Folder of a model that sees frames; may be repeated.", show_default="none"),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Folder of recordings for the vocoder; the test split, if it has a manifest.csv."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="How many clips, the first ones.", show_default="512")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 if an aim is missed.")] = False,
) -> None:
    """All scores by which models of FoleyWorld are compared. Needs the extra `eval`.

    Sounds are kept in OUT/sounds: a run that was interrupted goes on where it stopped.
    """
    needs_extra()
    from frieren.evaluation.foleyworld import benchmark, report
    from frieren.evaluation.scorers.alignment import WorldAlignment
    from frieren.evaluation.scorers.extractors import load_world

    prepare_folder(out)
    models = {loaded.config.name: loaded for loaded in map(frame_model, dict.fromkeys(model or [""]))}
    with Bars("foleyworld") as bars:
        found = benchmark.measure(
            models,
            out,
            load_world(),
            WorldAlignment(),
            count=limit or benchmark.CLIPS,
            recordings=recordings,
            on_progress=bars,
        )
    report.save(found, out)
    typer.echo(report.markdown(found))
    if check and not all(aim.met for aim in found.aims()):
        raise typer.Exit(1)


@app.command()
def real(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of real clips with a manifest.json.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Also its sounds: a name, a folder, or a Hub repository; may be repeated."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many sounds of a model for each clip, of seeds from 0 on.")
    ] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps; otherwise the model's own.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for real.json and real.md.")] = None,
) -> None:
    """What cue sheets and models make of real clips of yours, beside chance. Needs the extra `eval`."""
    needs_extra()
    import frieren
    from frieren.evaluation.real.clips import read_clips
    from frieren.evaluation.real.measure import measure
    from frieren.evaluation.real.report import RealReport

    if out:
        prepare_folder(out)
    clips = read_clips(folder)
    models = {Path(name).name: frieren.load(name) for name in dict.fromkeys(model or ())}
    with Bars(f"{len(clips)} clips") as bars:
        report = RealReport(measure(clips, models, seeds=seeds, steps=steps, on_progress=bars))
    show(report, out, "real")


class Showable(Protocol):
    """A report that can be shown and saved."""

    def markdown(self) -> str:
        """Return its tables."""
        ...

    def to_json(self) -> str:
        """Return all of it."""
        ...


def show(report: Showable, out: Path | None, name: str) -> None:
    """Print a report, and write it to a folder if there is one, as JSON and Markdown."""
    typer.echo(report.markdown())
    if out:
        (out / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
        (out / f"{name}.md").write_text(report.markdown(), encoding="utf-8")
