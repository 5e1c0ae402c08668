"""The five stages in order: the only place where they meet.

video file -read-> frames -encode-> features -sample-> latent -decode-> mel -vocode-> wave
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import frieren
from frieren import features as seeing
from frieren import latent as flowing
from frieren import loudness as level
from frieren import mel as spectra
from frieren import sounds, video, wave
from frieren.clock import Clock
from frieren.errors import OutputError, VideoError
from frieren.frames import Frames
from frieren.mel import Count, ignore
from frieren.weights import PARTS, ModelConfig, find, fingerprint, load_part, read_model_config, tiny_model

Progress = Callable[[str, int, int], None]  # stage, done, total
PRECISIONS = ("float32", "bfloat16", "float16")
VOCODERS = ("model", "griffin-lim")


@dataclass(frozen=True)
class Sound:
    """A generated soundtrack.

    Attributes:
        wave: [S] float32 on the CPU, -1..1, as the vocoder made it (before loudness).
        sample_rate: samples per second.
        source: the video it belongs to, or None.
        record: what made it: model, hash, options, input, versions, seconds per stage. JSON types only.
    """

    wave: Tensor
    sample_rate: int
    source: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.wave) / self.sample_rate

    def save(self, target: str | Path, *, loudness: float | None = -20.0, keep_original: bool = False) -> Path:
        """Writes a sound file (.wav, .flac), or the video with this sound (.mp4, .mov, .mkv, ...).

        Args:
            loudness: target in LUFS (BS.1770), reached with at most 12 dB of gain and a true peak of -1 dBTP; sounds
                under -50 LUFS are left alone. None leaves every sound alone.
            keep_original: mix under the video's own sound instead of replacing it; for videos only.

        Returns:
            The file written: .mkv instead of .mp4 if the video's codec needs it.

        Raises:
            OutputError: if the file cannot be written, or a video is asked for and there is no source.
        """
        target = Path(target)
        made = self.wave if loudness is None else level.normalise(self.wave, self.sample_rate, loudness)[0]
        if target.suffix.lower() in sounds.SUFFIXES:
            return sounds.write(target, made, self.sample_rate)
        if self.source is None:
            raise OutputError(f"{target}: this sound has no video; save it as .wav or .flac")
        return video.write(self.source, made, target, self.sample_rate, keep_original=keep_original)


class Model:
    """The networks of one model and the stages that use them. Every stage takes an optional leading batch axis."""

    def __init__(
        self,
        config: ModelConfig,
        parts: dict[str, nn.Module],
        *,
        device: str = "cpu",
        precision: str = "float32",
        digest: str = "",
    ) -> None:
        """parts: a network for each name in `weights.PARTS`."""
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.config, self.device, self.precision, self.digest = config, torch.device(device), precision, digest
        parts = {name: part.to(self.device).eval() for name, part in parts.items()}
        self.encoder, self.autoencoder, self.field, self.vocoder = (parts[name] for name in PARTS)

    @property
    def clock(self) -> Clock:
        """The model's rates."""
        return self.config.clock

    @property
    def image_size(self) -> int:
        """Height and width of the frames that the encoder takes, pixels."""
        return self.encoder.config.image_size

    @property
    def precise(self) -> AbstractContextManager[Any]:
        """The arithmetic of encoder and field; autoencoder and vocoder are always float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    @torch.inference_mode()
    def encode(self, frames: Frames | Tensor) -> Tensor:
        """Frames -> features [F, D].

        Args:
            frames: `Frames`, or images [F, 3, H, W] ([B, F, 3, H, W]) in 0..1 at the clock's own rate. Images of
                another size than `image_size` are resized.
        """
        with self.precise:
            batch = seeing.as_batch(frames, self.image_size)
            encoded = torch.cat(list(seeing.encode(self.encoder, [batch])), dim=1).float()
        batched = isinstance(frames, Tensor) and frames.ndim == 5
        return encoded if batched else encoded[0]

    @torch.inference_mode()
    def sample(
        self,
        features: Tensor,
        *,
        times: Tensor | None = None,
        seconds: float | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        on_step: Count = ignore,
    ) -> Tensor:
        """Features -> latent, along the guided flow.

        Args:
            features: [F, D], or [B, F, D]; item b of a batch has the seed `seed + b`.
            times: [F] seconds at which the frames come on screen; default: the clock's grid.
            seconds: length of the sound; default: until the last frame's end.
            noise: [C, L] ([B, C, L]) in place of a seed.
            steps, guidance, solver: default to the model's own. A step is two network evaluations unless guidance is 1.
            on_step: called with (steps done, steps) after each.

        Returns:
            [C, L] ([B, C, L]), L latent columns that cover `seconds`.
        """
        batch = features if features.ndim == 3 else features[None]
        count = batch.shape[1]
        if times is None:
            times = torch.tensor(self.clock.frame_times(count), dtype=torch.float64)
        columns = self.clock.columns(count / self.clock.fps if seconds is None else seconds)
        # A sound shorter than a window is solved over a whole one, where the field is at home, and cut.
        width, channels = max(columns, self.clock.window), self.field.config.latent
        drawn = torch.stack([flowing.draw_noise(channels, width, seed + item) for item in range(len(batch))])
        if noise is not None:
            given = noise if noise.ndim == 3 else noise[None]
            if given.shape != (len(batch), channels, columns):
                raise ValueError(f"noise must be {(len(batch), channels, columns)}, got {tuple(given.shape)}")
            drawn[..., :columns] = given
        steps = self.config.steps if steps is None else steps
        with self.precise:
            path = flowing.sample(
                self.field,
                batch.to(self.device),
                times,
                drawn.to(self.device),
                self.clock,
                steps=steps,
                guidance=self.config.guidance if guidance is None else guidance,
                solver=self.config.solver if solver is None else solver,
            )
            for t, x in path:
                made = x
                on_step(round(t * steps), steps)  # by time, since dopri5 chooses its own steps
        made = made[..., :columns].float()
        return made if features.ndim == 3 else made[0]

    @torch.inference_mode()
    def decode(self, latent: Tensor, *, on_window: Count = ignore) -> Tensor:
        """Latent [C, L] ([B, ...]) -> log10 mel [M, T]; `on_window` is called with (windows done, windows)."""
        batch = (latent if latent.ndim == 3 else latent[None]).to(self.device)
        mel = spectra.decode(self.autoencoder, batch, self.clock.window, self.clock.overlap, on_window)
        return mel if latent.ndim == 3 else mel[0]

    @torch.inference_mode()
    def vocode(self, mel: Tensor, *, on_chunk: Count = ignore) -> Tensor:
        """log10 mel [M, T] ([B, ...]) -> wave [S] on the CPU, -1..1; `on_chunk` hears of (columns done, columns)."""
        batch = mel if mel.ndim == 3 else mel[None]
        made = wave.vocode(self.vocoder, batch.to(self.device), self.clock.hop, on_chunk).float().cpu()
        return made if mel.ndim == 3 else made[0]

    @torch.inference_mode()
    def encode_mel(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """log10 mel [M, T] ([B, ...]), T even -> mean and log-variance [C, L] of the latent that `decode` takes."""
        batch = mel if mel.ndim == 3 else mel[None]
        mean, log_variance = spectra.encode(self.autoencoder, batch.to(self.device))
        return (mean, log_variance) if mel.ndim == 3 else (mean[0], log_variance[0])

    def generate(self, source: str | Path, *, seed: int = 0, **options: Any) -> Sound:
        """The soundtrack of a video file, as long as the video; `options` as in `takes`."""
        return next(self.takes(source, [seed], **options))

    def takes(
        self,
        source: str | Path,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[Sound]:
        """One soundtrack per seed; the video is read and encoded once.

        Args:
            source: any file that FFmpeg's libraries read.
            steps, guidance, solver: default to the model's own.
            on_progress: called with (stage, done, total); stages are "encode", "sample", "decode", "vocode".

        Raises:
            VideoError: if the file cannot be read.
        """
        progress = on_progress or (lambda stage, done, total: None)
        spent = Stopwatch()
        digest = hash_of(Path(source))
        with spent("encode"):
            encoded, times, seconds = self.watch(source, progress)
        chosen = {
            "steps": self.config.steps if steps is None else steps,
            "guidance": self.config.guidance if guidance is None else guidance,
            "solver": self.config.solver if solver is None else solver,
        }
        for seed in seeds:
            with spent("sample"):
                made = self.sample(
                    encoded,
                    times=times,
                    seconds=seconds,
                    seed=seed,
                    on_step=partial(progress, "sample"),
                    **chosen,
                )
            with spent("decode"):
                mel = self.decode(made, on_window=partial(progress, "decode"))
            with spent("vocode"):
                sound = self.vocode(mel, on_chunk=partial(progress, "vocode"))[: self.clock.samples(seconds)]
            record = self.record(source, digest, sound, {"seed": seed, **chosen}, spent)
            yield Sound(sound, self.clock.sample_rate, Path(source), record)

    @torch.inference_mode()
    def watch(self, source: str | Path, progress: Progress) -> tuple[Tensor, Tensor, float]:
        """Reads and encodes a video in blocks: features [F, D], times [F], seconds."""
        times: list[Tensor] = []
        length = 0.0

        def blocks() -> Iterator[Tensor]:
            nonlocal length
            for frames in video.stream_frames(source, self.clock.fps, self.image_size):
                times.append(frames.times)
                length = frames.seconds
                yield frames.images[None]
                progress("encode", sum(map(len, times)), self.clock.frames(length))

        with self.precise:
            encoded = torch.cat(list(seeing.encode(self.encoder, blocks())), dim=1)[0].float()
        return encoded, torch.cat(times), length

    def record(
        self, source: str | Path, digest: str, sound: Tensor, options: dict[str, Any], spent: Stopwatch
    ) -> dict[str, Any]:
        """What made a sound, enough to make it again."""
        return {
            "model": self.config.name,
            "model_sha256": self.digest,
            "input": {"name": Path(source).name, "sha256": digest},
            "options": {
                **options,
                "vocoder": "griffin-lim" if isinstance(self.vocoder, wave.GriffinLim) else "model",
                "device": self.device.type,
                "precision": self.precision,
            },
            "wave_sha256": hashlib.sha256(sound.numpy().tobytes()).hexdigest(),
            "versions": {
                "frieren": frieren.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
                "threads": torch.get_num_threads(),
            },
            "seconds": {"sound": len(sound) / self.clock.sample_rate, **spent.seconds},
        }


def hash_of(path: Path) -> str:
    """SHA-256 of a video file.

    Raises:
        VideoError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check the name and who may read it") from error


class Stopwatch:
    """Seconds spent in each stage, the latest take only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started, 3)


def choose_device(name: str) -> str:
    """ "auto" -> cuda, mps or cpu, whichever is there; any other name as it is."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load(
    name: str | Path = "mini", *, device: str = "auto", precision: str = "float32", vocoder: str = "model"
) -> Model:
    """A model by name (see `frieren.models()`), folder, or Hub repository.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "float32", "bfloat16" or "float16", for encoder and field.
        vocoder: "model" for its own, or "griffin-lim" (needs the extra of that name).

    Raises:
        WeightsError: if the model cannot be found, or its files are not what they should be.
        ValueError: for an unknown precision or vocoder.
    """
    if vocoder not in VOCODERS:
        raise ValueError(f"unknown vocoder {vocoder!r}; choose one of {', '.join(VOCODERS)}")
    if name == "tiny":
        config, parts = tiny_model()
        digest = "random"
    else:
        folder = find(name)
        config, digest = read_model_config(folder), fingerprint(folder)
        parts = {part: load_part(folder / part) for part in PARTS}
    if vocoder == "griffin-lim":
        parts["vocoder"] = wave.GriffinLim(config.mel)
    return Model(config, parts, device=choose_device(device), precision=precision, digest=digest)
