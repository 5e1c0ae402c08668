"""Give videos their soundtracks.

frieren generate clip.mp4
frieren generate clips/ "more/*.mov" -o out/ --samples 3
frieren generate clip.mp4 --sound "rain, dog@2-4"
frieren generate clip.mp4 --cues clip.json
frieren generate clip.mp4 --samples 8 --best 3
frieren generate --watch incoming/ -o out/
frieren generate --features clip.npz --model frieren
frieren generate --replay out/clip_frieren.mp4.json
frieren generate --redo 2.0:3.5 --from out/clip_frieren.mp4.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from frieren.apps.faults import Debug, complain
from frieren.apps.generate.batch import run
from frieren.apps.generate.options import (
    Kind,
    Options,
    Precision,
    Refinement,
    Solver,
    Vocoder,
    parse_levels,
    parse_loudness,
    parse_refinements,
    parse_sample_rate,
)
from frieren.apps.generate.outputs import Outputs
from frieren.apps.generate.plan import Format, find_sources, wrong_option
from frieren.apps.generate.replay import redo_stretch
from frieren.apps.generate.replay import replay as replay_record
from frieren.apps.generate.watch import watch as watch_folder
from frieren.cues import read as read_cues
from frieren.formats import AudioCodec

# Options, those that have no meaning beside them, and why.
TOGETHER = {
    "mel": ({"steps", "guidance", "solver", "refine", "sound", "cues"}, "--mel only vocodes"),
    "features": ({"sound", "cues"}, "cues are for videos"),
    "best": ({"features", "mel", "resume"}, "--best makes all takes of a video, and then chooses"),
    "watch": ({"videos", "cues", "features", "mel"}, "--watch takes the videos that appear in its folder"),
}
REDO = {"redo", "before", "seed", "out", "overwrite", "debug"}  # options of --redo
RATES = "16000|44100|48000"
OUT = "A file (.mp4, .mov, .mkv, .wav, .flac) or a folder; otherwise beside the input."


def generate(
    context: typer.Context,
    videos: Annotated[list[str] | None, typer.Argument(metavar="VIDEO...", help="Files, folders or globs.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help=OUT)] = None,
    model: Annotated[str, typer.Option(help="A name, a folder, or a Hub repository.")] = "mini",
    sound: Annotated[
        str | None, typer.Option(metavar="NAMES", help='What is to be heard, such as "dog" or "rain, dog@2-4".')
    ] = None,
    cues: Annotated[Path | None, typer.Option(metavar="FILE", help="Cue sheet of the video, see frieren spot.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps; otherwise the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance; otherwise the model's own.")] = None,
    solver: Annotated[Solver | None, typer.Option(help="Solver of the flow; otherwise the model's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="The same seed gives the same sound.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Takes per video, with seeds counting up from --seed.")] = 1,
    best: Annotated[int | None, typer.Option(min=1, help="Keep only the best of --samples, by scores.")] = None,
    vocoder: Annotated[Vocoder, typer.Option(help="The model's own, or one without learning.")] = "model",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks; auto: the fastest.")] = "float32",
    loudness: Annotated[str, typer.Option(metavar="LUFS|off", help="Loudness of the sound (BS.1770).")] = "-20",
    keep_original: Annotated[bool, typer.Option("--keep-original", help="Mix the new sound under the old.")] = False,
    levels: Annotated[str, typer.Option(metavar="DB,DB", help="Of the new and the old sound then.")] = "-6,0",
    as_track: Annotated[bool, typer.Option("--as-track", help="Keep the old sounds as tracks of their own.")] = False,
    audio_codec: Annotated[AudioCodec | None, typer.Option(help="Codec of the sound in a video.")] = None,
    sample_rate: Annotated[str | None, typer.Option(metavar=RATES, help="Samples per second of the output.")] = None,
    encode: Annotated[bool, typer.Option(help="Encode a video that the container cannot hold (H.264).")] = True,
    isolate: Annotated[bool, typer.Option("--isolate", help="Read videos in processes with limits.")] = False,
    max_length: Annotated[float, typer.Option(metavar="MINUTES", help="Refuse longer videos.")] = 360.0,
    overwrite: Annotated[bool | None, typer.Option(help="Replace files; by default those with a record.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what a stopped run has finished.")] = False,
    form: Annotated[Format | None, typer.Option("--format", help="File type in folders.", show_default="mp4")] = None,
    refine: Annotated[
        list[str] | None,
        typer.Option(metavar="|".join(get_args(Refinement)), help="Refine the authors' sampling; may be repeated."),
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="The files are visual features (.npy, .npz).")] = False,
    mel: Annotated[bool, typer.Option("--mel", help="The files are log10 mels (.npy); only vocode them.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Make the sound of this record again; takes only -o.")] = None,
    watch: Annotated[Path | None, typer.Option(metavar="DIR", help="Take new videos of a folder until Ctrl-C.")] = None,
    redo: Annotated[str | None, typer.Option(metavar="FROM:TO", help="Make these seconds of --from again.")] = None,
    before: Annotated[Path | None, typer.Option("--from", metavar="RECORD", help="Keep the rest of it.")] = None,
    debug: Debug = False,
) -> None:
    """Give each VIDEO a soundtrack, and write it beside a JSON record of how it was made."""
    given = {name for name in context.params if is_given(context, name)}
    check_together(given)
    if redo is not None or before is not None:
        return redo_stretch(redo, before, seed if "seed" in given else None, out, overwrite)
    if replay is not None:
        return replay_record(replay, out, overwrite)
    with wrong_option(ValueError):
        options = Options(
            model=model, steps=steps, guidance=guidance, solver=solver, seed=seed, vocoder=vocoder, device=device,
            precision=precision, loudness=parse_loudness(loudness), keep_original=keep_original,
            levels=parse_levels(levels), as_track=as_track, audio_codec=audio_codec, encode=encode, isolate=isolate,
            max_length=max_length, sample_rate=parse_sample_rate(sample_rate), refine=parse_refinements(refine or []),
            kind=kind_of(features, mel), cues=None if cues is None else read_cues(cues), sounds=sound,
        )  # fmt: skip
    outputs = Outputs(out, form, options, samples, best, overwrite, resume)
    generate_all(videos or [], outputs) if watch is None else watch_folder(watch, outputs)


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter stands on the command line, rather than being left to its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_together(given: set[str]) -> None:
    """Refuse options that have no meaning beside others."""
    if given & {"redo", "before"}:
        refuse(given - REDO, "--redo takes all else from the record")
    if "replay" in given:
        refuse(given - {"replay", "out", "overwrite", "debug"}, "--replay takes every option from the record")
    for name, (others, why) in TOGETHER.items():
        if name in given:
            refuse(given & others, why)


def refuse(given: set[str], why: str) -> None:
    """Refuse options that have no meaning here."""
    if given:
        raise typer.BadParameter(f"{why}; leave out {', '.join(sorted(given))}")


def kind_of(features: bool, mel: bool) -> Kind:
    """The kind of the input files by the two flags."""
    if features and mel:
        raise typer.BadParameter("--features and --mel exclude each other; leave one of them out")
    return "features" if features else "mel" if mel else "video"


def generate_all(patterns: list[str], outputs: Outputs) -> None:
    """Find the inputs, name the outputs and work through them.

    Raises:
        typer.BadParameter: nothing is given, or an output cannot be what was asked for.
        typer.Exit: with code 1 if an input failed.
    """
    if not patterns:
        raise typer.BadParameter("give at least one VIDEO, or --replay RECORD")
    found, failures = find_sources(patterns, outputs.options.kind)
    if outputs.options.cues and len(found) > 1:
        raise typer.BadParameter("--cues is the sheet of one video; give one VIDEO")
    items = outputs.plan(found)
    for failure in failures:
        complain(failure)
    run(items, failures, outputs.options, outputs.maker())
