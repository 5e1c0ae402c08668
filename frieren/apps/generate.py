"""Give videos their soundtracks.

frieren generate clip.mp4
frieren generate clips/ "more/*.mov" -o out/ --samples 3
frieren generate --replay out/clip_frieren.mp4.json
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frieren.apps import record
from frieren.apps.jobs import SOUNDS, Failure, Job, NamingError, find_videos, plan
from frieren.apps.progress import Bars
from frieren.errors import FrierenError, OutputError

if TYPE_CHECKING:
    from frieren import Model, Sound

Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5"]
Precision = Literal["float32", "bfloat16", "float16"]
Vocoder = Literal["model", "griffin-lim"]
Format = Literal["mp4", "wav", "flac"]
OUT = "A file (.mp4, .mov, .mkv, .wav, .flac) or a folder; otherwise beside the input."


def loudness_value(text: str) -> float | None:
    """ "-20" -> -20.0, "off" -> None."""
    if text == "off":
        return None
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number of LUFS such as -20, nor off") from None
    if not -70 <= value <= 0:
        raise typer.BadParameter(f"{text} LUFS is outside -70..0")
    return value


def device_value(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise typer.BadParameter(f"{text!r} is not auto, cpu, cuda, cuda:N or mps")
    return text


class UnavailableError(FrierenError):
    """An option asks for what this machine does not have."""


def check_device(name: str) -> None:
    """One line instead of torch's own words where a device is not there."""
    import torch

    kind, _, index = name.partition(":")
    here = {"cuda": torch.cuda.device_count() > int(index or 0), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, True):
        raise UnavailableError(f"{name}: there is no such device here; leave --device out, or see `frieren doctor`")


@dataclass(frozen=True)
class Options:
    """Everything that decides how one take sounds and is written. Defaults: those of the keywords of the same name."""

    model: str = "mini"
    steps: int | None = None
    guidance: float | None = None
    solver: str | None = None
    seed: int = 0
    vocoder: str = "model"
    device: str = "auto"
    precision: str = "float32"
    loudness: float | None = -20.0
    keep_original: bool = False

    def load(self) -> Model:
        import frieren

        check_device(self.device)
        if self.vocoder == "griffin-lim" and find_spec("librosa") is None:
            raise UnavailableError("griffin-lim needs librosa: pip install 'frieren[griffin-lim]'")
        return frieren.load(self.model, device=self.device, precision=self.precision, vocoder=self.vocoder)

    def takes(self, model: Model, video: Path, seeds: list[int], on_progress: Bars) -> Iterator[Sound]:
        wanted = {"steps": self.steps, "guidance": self.guidance, "solver": self.solver}
        return model.takes(video, seeds, **wanted, on_progress=on_progress)


def generate(
    context: typer.Context,
    videos: Annotated[list[str] | None, typer.Argument(metavar="VIDEO...", help="Files, folders or globs.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help=OUT)] = None,
    model: Annotated[str, typer.Option(help="A name, a folder, or a Hub repository.")] = "mini",
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps; otherwise the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance; otherwise the model's own.")] = None,
    solver: Annotated[Solver | None, typer.Option(help="How to walk the flow; otherwise the model's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="The same seed gives the same sound.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Takes per video, with seeds counting up from --seed.")] = 1,
    vocoder: Annotated[Vocoder, typer.Option(help="The model's own, or one without learning.")] = "model",
    device: Annotated[str, typer.Option(parser=device_value, metavar="DEVICE", help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks.")] = "float32",
    loudness: Annotated[str, typer.Option(metavar="LUFS|off", help="Loudness of the sound (BS.1770).")] = "-20",
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="Mix the new sound under the video's own.")
    ] = False,
    form: Annotated[
        Format | None, typer.Option("--format", help="What to write into folders.", show_default="mp4")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Make the sound of this record again; only -o goes with it.")
    ] = None,
) -> None:
    """Give each VIDEO a soundtrack, and write it beside a JSON record of how it was made."""
    if replay is not None:
        given = [name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"]
        if surplus := sorted(set(given) - {"replay", "out"}):
            raise typer.BadParameter(f"--replay takes every option from the record; leave out {', '.join(surplus)}")
        return replay_record(replay, out)
    if guidance is not None and not math.isfinite(guidance):
        raise typer.BadParameter(f"--guidance must be a finite number, got {guidance}")
    if not videos:
        raise typer.BadParameter("give at least one VIDEO, or --replay RECORD")
    options = Options(
        model, steps, guidance, solver, seed, vocoder, device, precision, loudness_value(loudness), keep_original
    )
    seeds = list(range(seed, seed + samples))
    found, failures = find_videos(videos)
    with naming():
        jobs = plan(found, out, form, seeds)
        if keep_original and any(target.suffix.lower() in SOUNDS for job in jobs for target in job.targets):
            raise NamingError("--keep-original needs a video as output, not a sound file")
    for failure in failures:
        complain(failure.error)
    run(jobs, failures, options, seeds)


@contextmanager
def naming() -> Iterator[None]:
    """Names that cannot be are wrong options: exit code 2."""
    try:
        yield
    except NamingError as error:
        raise typer.BadParameter(str(error)) from error


def run(jobs: list[Job], failures: list[Failure], options: Options, seeds: list[int]) -> None:
    """Work through the jobs; one that fails does not stop the others."""
    total = len(jobs) + len(failures)
    model = options.load() if jobs else None
    for job in jobs:
        try:
            make(model, job, options, seeds)
        except FrierenError as error:
            complain(error)
            failures.append(Failure(str(job.video), error))
    if failures and total > 1:
        typer.echo(f"frieren: {len(failures)} of {total} failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure.error}", err=True)
    if failures:
        raise typer.Exit(1)


def make(model: Model, job: Job, options: Options, seeds: list[int]) -> list[tuple[Path, Sound]]:
    """Generate, save and report every take of one video."""
    written = []
    prepare_folder(job.targets[0].parent)
    start = time.perf_counter()
    with Bars(job.video.name) as bars:
        takes = options.takes(model, job.video, seeds, bars)
        for seed, target, sound in zip(seeds, job.targets, takes, strict=True):
            output = sound.save(target, loudness=options.loudness, keep_original=options.keep_original)
            record.write(output, sound, job.video, asdict(options) | {"seed": seed})
            taken, start = time.perf_counter() - start, time.perf_counter()
            bars.progress.stop()
            report(target, output, sound, taken)
            bars.progress.start()
            written.append((output, sound))
    return written


def report(target: Path, output: Path, sound: Sound, taken: float) -> None:
    """The last line of a take: file, seconds of sound, seconds taken, real-time factor."""
    if output != target:
        typer.echo(f"{target.name}: {target.suffix} cannot hold the codec of this video; wrote {output.name} instead")
    factor = taken / sound.seconds
    typer.echo(f"{output}  {sound.seconds:.2f} s of sound in {taken:.2f} s, real-time factor {factor:.2f}")


def prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder ({error.strerror}); choose another with -o") from error


def replay_record(path: Path, out: str | None) -> None:
    """Make the sound of a record again, and say whether it came out the same."""
    old = record.read(path)
    options, video = replayed(old), Path(old["command"]["video"])
    recorded = Path(old["command"]["output"])
    target = out or str(path.with_name(f"{recorded.stem}_replay{recorded.suffix}"))
    with naming():
        if Path(target).is_dir() or target.endswith("/"):
            target = str(Path(target) / recorded.name)
        (job,) = plan([video], target, None, [options.seed])
    ((_, sound),) = make(options.load(), job, options, [options.seed])
    changes = list(record.differences(old, sound.record))
    for change in changes:
        typer.echo(f"frieren: warning: {change}", err=True)
    if sound.record["wave_sha256"] == old["wave_sha256"]:
        typer.echo("identical: every sample is the one recorded")
    else:
        remedy = "the lines above say what changed" if changes else "the record was edited, or the model is not exact"
        typer.echo(f"frieren: warning: the sound is not identical to the recorded one; {remedy}", err=True)


def replayed(old: dict[str, Any]) -> Options:
    """The options of a record. Where the command left one to the model, the value that was then used."""
    names = {field.name for field in fields(Options)}
    given = {name: value for name, value in old["command"].items() if name in names}
    used = {name: old.get("options", {}).get(name) for name in ("steps", "guidance", "solver")}
    return Options(**given | {name: value for name, value in used.items() if value is not None})


def complain(error: FrierenError) -> None:
    typer.echo(f"frieren: {error}", err=True)
