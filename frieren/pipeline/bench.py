"""Speed of generation, stage by stage, against this machine's fastest matmul and against the plain networks.

frieren bench generate

Rounds of all stages and of matmuls take turns in one process, so that ratios hold even where other processes come and
go. FLOPs are those of matmuls and convolutions as the plain networks do them, whatever a faster way needs; what windows
and chunks see twice counts once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from frieren.conditioning import cue_features
from frieren.frames import Frames
from frieren.latent import latent_columns, window_layout
from frieren.limits import Matmul, StepTimer, device_name, peak_memory, without_tf32
from frieren.nets.field import VectorField
from frieren.pipeline import Model
from frieren.soundtrack import Sound
from frieren.video import read_frames
from frieren.wave import GriffinLim, GriffinLimRefinement

Which = Literal["fast", "plain"]


@dataclass
class TimedClip:
    """A clip on its way through the stages, `batch` of it side by side; every stage fills in what the next one takes.

    Attributes:
        seconds: of the sound.
        folder: where the sound is written.
    """

    video: Path
    folder: Path
    batch: int
    steps: int
    guidance: float
    seconds: float = 0.0
    frames: Frames | None = None
    features: Tensor = torch.empty(0)
    latent: Tensor = torch.empty(0)
    mel: Tensor = torch.empty(0)
    wave: Tensor = torch.empty(0)

    def read(self, model: Model) -> None:
        self.frames = read_frames(self.video, model.clock, model.image_size)
        self.seconds = self.frames.seconds

    def encode(self, model: Model) -> None:
        assert self.frames is not None
        images = self.frames.images
        self.features = model.encode(images.expand(self.batch, *images.shape))

    def spot(self, model: Model) -> None:
        for _ in range(self.batch):
            sheet = model.spot(self.video)
        assert sheet.seconds is not None
        self.seconds = sheet.seconds
        features = cue_features(sheet, self.seconds, model.clock, model.config.strike_delay, decided=True)
        self.features = features.expand(self.batch, *features.shape)

    def sample(self, model: Model) -> None:
        self.latent = model.sample(
            self.features, seconds=self.seconds, steps=self.steps, guidance=self.guidance, solver="euler"
        )

    def decode(self, model: Model) -> None:
        self.mel = model.decode(self.latent)

    def vocode(self, model: Model) -> None:
        self.wave = model.vocode(self.mel)[:, : model.clock.samples(self.seconds)]

    def write(self, model: Model) -> None:
        for item, wave in enumerate(self.wave):
            sound = Sound(wave, model.clock.sample_rate, self.video)
            sound.save(self.folder / f"{item}.mp4")

    def prolong(self, seconds: float, model: Model) -> None:
        """Become a clip of this length, its features over and over; for all stages from `sample` on."""
        index = torch.arange(model.clock.frames(seconds)) % self.features.shape[1]
        self.seconds, self.features = seconds, self.features[:, index]


@dataclass(frozen=True)
class StageTime:
    """Every measured round of a stage.

    Attributes:
        seconds: of wall time.
        cpu_seconds: of all cores; where other processes run, these tell what one thread works.
        flops: of matmuls and convolutions.
    """

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    flops: int = 0

    @property
    def median(self) -> float:
        """Median seconds of wall time."""
        return statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        """Median seconds of all cores."""
        return statistics.median(self.cpu_seconds)

    @property
    def flops_per_second(self) -> float:
        """FLOPs over the median time."""
        return self.flops / self.median


@dataclass(frozen=True)
class GenerationBenchmark:
    """Result of a measurement.

    Attributes:
        sound_seconds: of the sounds of one round, all items together.
        stages: times by networks ("fast" or "plain") and stage, "all" last.
        matmul: FLOP/s by dtype and implementation, medians; on a CPU in seconds of one core.
        memory: largest amount so far, bytes: of the GPU, or of the process.
    """

    model: str
    parameters: int
    batch: int
    steps: int
    guidance: float
    sound_seconds: float
    device: str
    on_cpu: bool
    threads: int
    torch: str
    precision: dict[Which, str]
    stages: dict[Which, dict[str, StageTime]]
    matmul: dict[str, dict[str, float]]
    memory: int

    def share(self, which: Which, stage: str) -> float:
        """Share of the fastest matmul in the precision of these networks that a stage reaches.

        On a CPU both count seconds of a core, which other processes do not take away.
        """
        limit, time = max(self.matmul[self.precision[which]].values()), self.stages[which][stage]
        return time.flops / (time.cpu_median if self.on_cpu else time.median) / limit


def measure(
    models: Mapping[Which, Model],
    plain: Mapping[str, nn.Module],
    video: Path,
    folder: Path,
    *,
    batch: int = 1,
    steps: int | None = None,
    seconds: Sequence[float] = (),
    rounds: int = 3,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[GenerationBenchmark]:
    """Measures a video, or for every length its features over and over, with all models in turn.

    Args:
        models: that take turns; all are given what the first of them makes.
        plain: the plain networks, whose FLOPs count.
        folder: for what is written.
        batch: clips side by side.
        steps: of Euler's method; default: the model's own number.
        seconds: lengths; only `sample`, `decode` and `vocode` are then measured.
        rounds: that are measured, after one that is not.
        on_progress: called with (stages done, stages in all).
    """
    first = next(iter(models.values()))
    clip = TimedClip(video, folder, batch, steps or first.config.steps, first.config.guidance)
    seeing = ("spot",) if first.config.condition == "cues" else ("read", "encode")
    if seconds:
        for stage in seeing:
            getattr(clip, stage)(first)
    total = (rounds + 1) * len(models) * max(1, len(seconds)) * (3 if seconds else len(seeing) + 4)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    for length in seconds or (0.0,):
        if length:
            clip.prolong(length, first)
        stages = ("sample", "decode", "vocode") if seconds else (*seeing, "sample", "decode", "vocode", "write")
        yield _measured(models, plain, clip, stages, rounds, count)


def _measured(
    models: Mapping[Which, Model],
    plain: Mapping[str, nn.Module],
    clip: TimedClip,
    stages: Sequence[str],
    rounds: int,
    on_stage: Callable[[], None],
) -> GenerationBenchmark:
    """One clip, stage by stage, by every model and beside matmuls."""
    first = next(iter(models.values()))
    on_cpu = first.device.type == "cpu"
    precisions = {which: model.precision for which, model in models.items()}
    with without_tf32(first.device):
        matmuls = {name: Matmul(getattr(torch, name), first.device) for name in sorted(set(precisions.values()))}
        rates: dict[str, dict[str, list[float]]] = {name: {way: [] for way in of.ways} for name, of in matmuls.items()}
        timers = {which: {stage: StepTimer(first.device) for stage in stages} for which in models}
        for turn in range(rounds + 1):
            for stage in stages:
                for which, model in reversed([*models.items()]):  # what the first one makes is what stays
                    with timers[which][stage].timing(counted=turn > 0):
                        getattr(clip, stage)(model)
                    on_stage()
            for name, matmul in matmuls.items():
                for way, rate, cpu_rate in matmul.rates():
                    rates[name][way].append(cpu_rate if on_cpu else rate)
    flops = stage_flops(first, plain, clip)
    times = {which: _times(of, flops) for which, of in timers.items()}
    return GenerationBenchmark(
        model=first.config.name,
        parameters=sum(p.numel() for part in plain.values() for p in part.parameters()),
        batch=clip.batch,
        steps=clip.steps,
        guidance=clip.guidance,
        sound_seconds=clip.batch * clip.seconds,
        device=device_name(first.device),
        on_cpu=on_cpu,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        precision=precisions,
        stages=times,
        matmul={name: {way: statistics.median(found) for way, found in of.items()} for name, of in rates.items()},
        memory=peak_memory(first.device),
    )


def _times(timers: Mapping[str, StepTimer], flops: Mapping[str, int]) -> dict[str, StageTime]:
    """What timers found, and the sums of each round."""
    times = {
        stage: StageTime(tuple(timer.seconds), tuple(timer.cpu_seconds), flops.get(stage, 0))
        for stage, timer in timers.items()
    }
    whole = zip(*(time.seconds for time in times.values()), strict=True)
    cpu = zip(*(time.cpu_seconds for time in times.values()), strict=True)
    return times | {
        "all": StageTime(tuple(map(sum, whole)), tuple(map(sum, cpu)), sum(time.flops for time in times.values()))
    }


def stage_flops(model: Model, plain: Mapping[str, nn.Module], clip: TimedClip) -> dict[str, int]:
    """FLOPs of the stages, counted by torch on tensors that hold nothing."""
    config, batch = model.field.config, clip.batch
    columns = latent_columns(
        clip.features.shape[1], model.clock.samples(clip.seconds), model.clock, config, model.published
    )
    starts, size = window_layout(max(columns, model.clock.window), model.clock, model.published)
    halves = 1 if clip.guidance == 1 else 2
    rows = batch * len(starts)

    def evaluate(field: VectorField) -> None:
        latent, condition = torch.empty(halves, config.latent, size), torch.empty(halves, size, config.width // 2)
        field(latent, torch.empty(halves), condition)

    flops = {"sample": rows * clip.steps * counted(plain["field"], evaluate)}
    latent, mel = torch.empty(1, config.latent, size, device="meta"), (1, model.config.mel.bins, 2 * size)
    flops["decode"] = rows * counted(plain["autoencoder"], lambda part: part.decode(latent))
    vocoder = plain["vocoder"]
    if isinstance(vocoder, GriffinLimRefinement):
        vocoder = cast(nn.Module, vocoder.vocoder)
    if not isinstance(vocoder, GriffinLim):
        one = counted(vocoder, lambda part: part(torch.empty(mel)))
        flops["vocode"] = batch * one * columns // size
    if clip.frames is not None:
        images = clip.frames.images
        flops["encode"] = batch * counted(plain["encoder"], lambda part: part(torch.empty(1, *images.shape)))
    return flops


def counted(network: nn.Module, call: Callable[[Any], Any]) -> int:
    """FLOPs of a call of a network like this one that holds nothing."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call(type(network)(network.config).to("meta"))
    return counter.get_total_flops()
