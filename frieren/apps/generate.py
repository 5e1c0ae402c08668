"""Give videos their soundtracks.

frieren generate clip.mp4
frieren generate clips/ "more/*.mov" -o out/ --samples 3
frieren generate --features clip.npz --model frieren
frieren generate --replay out/clip_frieren.mp4.json
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from frieren.apps import record
from frieren.apps.checks import UnavailableError, check_device, needs_extra, prepare_folder
from frieren.apps.jobs import Failure, Job, NamingError, find_sources, is_folder, plan
from frieren.apps.progress import Bars
from frieren.apps.weights import fetched
from frieren.errors import FrierenError, OutputError
from frieren.formats import SOUND_FILES, record_path

if TYPE_CHECKING:
    from frieren import Model, Sound

Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5"]
Precision = Literal["float32", "bfloat16", "float16"]
Vocoder = Literal["model", "griffin-lim"]
Format = Literal["mp4", "wav", "flac"]
Refinement = Literal["windows", "regulator", "time"]
Kind = Literal["video", "features", "mel"]
SAMPLING = ("steps", "guidance", "solver", "refine")  # options that a mel has no use for
DEVICE = r"auto|cpu|mps|cuda(:\d+)?"
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
    if not re.fullmatch(DEVICE, text):
        raise typer.BadParameter(f"{text!r} is not auto, cpu, cuda, cuda:N or mps")
    return text


def kind_of(features: bool, mel: bool) -> str:
    """What the files are."""
    if features and mel:
        raise typer.BadParameter("--features and --mel exclude each other; leave one of them out")
    return "features" if features else "mel" if mel else "video"


def refinement_value(text: str) -> str:
    if text not in get_args(Refinement):
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(get_args(Refinement))}")
    return text


class GenerateError(FrierenError):
    """A video gets no soundtrack for a reason that nothing else here has a name for."""


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
    refine: list[str] | None = None
    kind: str = "video"

    def too_coarse(self) -> bool:
        """Whether half precision would have to run on a processor, which has no arithmetic for it."""
        if self.precision != "float16":
            return False
        from frieren.catalogue import choose_device

        return choose_device(self.device) == "cpu"

    def load(self) -> Model:
        import frieren
        from frieren.official.releases import RELEASES

        check_device(self.device)
        if self.too_coarse():
            raise UnavailableError("float16 needs a GPU, and there is none here; replay it where it was made")
        if self.vocoder == "griffin-lim":
            needs_extra("griffin-lim")
        if self.model in RELEASES:
            fetched(self.model)
        wanted = {"device": self.device, "precision": self.precision, "vocoder": self.vocoder, "refine": self.refine}
        return frieren.load(self.model, **wanted)

    def takes(self, model: Model, video: Path, seeds: list[int], on_progress: Bars) -> Iterator[Sound]:
        wanted = {"steps": self.steps, "guidance": self.guidance, "solver": self.solver}
        return model.takes(video, seeds, kind=self.kind, **wanted, on_progress=on_progress)


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
    precision: Annotated[Precision, typer.Option(help="Arithmetic of encoder and field.")] = "float32",
    loudness: Annotated[str, typer.Option(metavar="LUFS|off", help="Loudness of the sound (BS.1770).")] = "-20",
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="Mix the new sound under the video's own.")
    ] = False,
    form: Annotated[
        Format | None, typer.Option("--format", help="What to write into folders.", show_default="mp4")
    ] = None,
    refine: Annotated[
        list[str] | None,
        typer.Option(
            parser=refinement_value,
            metavar="|".join(get_args(Refinement)),
            help="Improve on the sampling of the authors' weights; may be repeated.",
        ),
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="The files are visual features (.npy, .npz), not videos.")
    ] = False,
    mel: Annotated[bool, typer.Option("--mel", help="The files are log10 mels (.npy); only vocode them.")] = False,
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
    kind, lufs = kind_of(features, mel), loudness_value(loudness)
    if mel and (surplus := [name for name in SAMPLING if context.params[name] not in (None, [])]):
        raise typer.BadParameter(f"--mel only vocodes; leave out {', '.join(surplus)}")
    chosen = (model, steps, guidance, solver, seed, vocoder, device, precision, lufs, keep_original)
    options = Options(*chosen, refine, kind)
    if options.too_coarse():
        raise typer.BadParameter("--precision float16 needs a GPU; on a processor take bfloat16 or float32")
    seeds = list(range(seed, seed + samples))
    found, failures = find_sources(videos, kind)
    jobs = name_outputs(found, out, form, options, seeds)
    for failure in failures:
        complain(failure.error)
    run(jobs, failures, options, seeds)


def name_outputs(found: list[Path], out: str | None, form: str | None, options: Options, seeds: list[int]) -> list[Job]:
    """Files for every take, of a kind that can hold it: a video where there is one to put the sound on."""
    with naming():
        if options.kind != "video" and form is None and (out is None or is_folder(out)):
            form = "wav"
        jobs = plan(found, out, form, seeds)
        suffixes = {target.suffix.lower() for job in jobs for target in job.targets}
        if options.kind != "video" and not suffixes <= set(SOUND_FILES):
            raise NamingError(f"--{options.kind}: there is no video to put the sound on; name a .wav or .flac file")
        if options.keep_original and suffixes & set(SOUND_FILES):
            raise NamingError("--keep-original needs a video as output, not a sound file")
    return jobs


@contextmanager
def naming() -> Iterator[None]:
    """Names that cannot be are wrong options: exit code 2; those that the system does not take are failures: 1."""
    try:
        yield
    except NamingError as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise OutputError(f"{error.filename}: {error.strerror}; choose another name with -o") from error


def run(jobs: list[Job], failures: list[Failure], options: Options, seeds: list[int]) -> None:
    """Work through the jobs; one that fails does not stop the others."""
    total = len(jobs) + len(failures)
    model = options.load() if jobs else None
    for job in jobs:
        try:
            with one_line(job.video):
                make(model, job, options, seeds)
        except FrierenError as error:
            complain(error)
            failures.append(Failure(error))
    if failures and total > 1:
        typer.echo(f"frieren: {len(failures)} of {total} failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure.error}", err=True)
    if failures:
        raise typer.Exit(1)


@contextmanager
def one_line(video: Path) -> Iterator[None]:
    """Whatever a library, the system or the device says about one video becomes an error that names it."""
    import av

    try:
        yield
    except (MemoryError, OSError, RuntimeError, ValueError, av.error.FFmpegError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        memory = isinstance(error, MemoryError) or "out of memory" in text.lower()
        remedy = "try --device cpu, or a shorter video" if memory else "convert it to .mp4, or see `frieren doctor`"
        raise GenerateError(f"{video}: {text}; {remedy}") from error


def make(model: Model, job: Job, options: Options, seeds: list[int]) -> list[tuple[Path, Sound]]:
    """Generate, save and report every take of one video."""
    written = []
    prepare_folder(job.targets[0].parent)
    for target in job.targets:
        check_name(target)
    start = time.perf_counter()
    with Bars(job.video.name) as bars:
        takes = options.takes(model, job.video, seeds, bars)
        for seed, target, sound in zip(seeds, job.targets, takes, strict=True):
            output = save(sound, target, job.video, options, seed)
            taken, start = time.perf_counter() - start, time.perf_counter()
            bars.progress.stop()
            report(target, output, sound, taken)
            bars.progress.start()
            written.append((output, sound))
    return written


def save(sound: Sound, target: Path, video: Path, options: Options, seed: int) -> Path:
    """The output and its record: both, or neither."""
    there = {path for path in (target, target.with_suffix(".mkv")) if path.exists()}
    output = sound.save(target, loudness=options.loudness, keep_original=options.keep_original)
    try:
        record.write(output, sound, video, asdict(options) | {"seed": seed})
    except BaseException:
        if output not in there:
            output.unlink(missing_ok=True)
        raise
    return output


def report(target: Path, output: Path, sound: Sound, taken: float) -> None:
    """The last line of a take: file, seconds of sound, seconds taken, real-time factor."""
    if output != target:
        typer.echo(f"{target.name}: {target.suffix} cannot hold the codec of this video; wrote {output.name} instead")
    factor = taken / sound.seconds
    typer.echo(f"{output}  {sound.seconds:.2f} s of sound in {taken:.2f} s, real-time factor {factor:.2f}")


def check_name(target: Path) -> None:
    """See that the system takes a name as long as that of the record."""
    try:
        os.stat(record_path(target))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{target}: cannot be written ({reason}); choose another name with -o") from error


def replay_record(path: Path, out: str | None) -> None:
    """Make the sound of a record again, and say whether it came out the same."""
    old = record.read(path)
    options, video = replayed(path, old), Path(old["command"]["video"])
    recorded = Path(old["command"]["output"])
    target = out or str(path.with_name(f"{recorded.stem}_replay{recorded.suffix}"))
    with naming():
        if is_folder(target):
            target = str(Path(target) / recorded.name)
    (job,) = name_outputs([video], target, None, options, [options.seed])
    model = options.load()
    with one_line(video):
        ((_, sound),) = make(model, job, options, [options.seed])
    changes = list(record.differences(old, sound.record))
    for change in changes:
        typer.echo(f"frieren: warning: {change}", err=True)
    if sound.record["wave_sha256"] == old["wave_sha256"]:
        typer.echo("identical: every sample is the one recorded")
    else:
        remedy = "the lines above say what changed" if changes else "the record was edited, or the model is not exact"
        typer.echo(f"frieren: warning: the sound is not identical to the recorded one; {remedy}", err=True)


def replayed(path: Path, old: dict[str, Any]) -> Options:
    """The options of a record. Where the command left one to the model, the value that was then used.

    Raises:
        RecordError: a value that no option can have.
    """
    names = {field.name for field in fields(Options)}
    given = {name: value for name, value in old["command"].items() if name in names}
    used = {name: old.get("options", {}).get(name) for name in ("steps", "guidance", "solver")}
    given |= {name: value for name, value in used.items() if value is not None}
    for name, value in given.items():
        if not POSSIBLE[name](value):
            raise record.RecordError(
                f"{path}: {name} is {value!r}, which is not possible; give a record as it was written"
            )
    return Options(**given)


def number(value: Any, least: float, most: float = math.inf) -> bool:
    """Whether `value` is a finite number in a range; true and false are none."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return good and math.isfinite(value) and least <= value <= most


def count(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and number(value, least, most)


# What each option of a record may be: a record is a file, and files are edited and damaged.
POSSIBLE: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str),
    "steps": lambda value: value is None or count(value, 1),
    "guidance": lambda value: value is None or number(value, 0),
    "solver": lambda value: value is None or value in get_args(Solver),
    "seed": lambda value: count(value, 0, 2**63 - 1),
    "vocoder": lambda value: value in get_args(Vocoder),
    "device": lambda value: isinstance(value, str) and re.fullmatch(DEVICE, value) is not None,
    "precision": lambda value: value in get_args(Precision),
    "loudness": lambda value: value is None or number(value, -70, 0),
    "keep_original": lambda value: isinstance(value, bool),
    "refine": lambda value: (
        value is None or isinstance(value, list) and all(item in get_args(Refinement) for item in value)
    ),
    "kind": lambda value: value in get_args(Kind),
}


def complain(error: FrierenError) -> None:
    typer.echo(f"frieren: {error}", err=True)
