"""The five stages in order: the only place where they meet.

video file -read-> frames -encode-> features -sample-> latent -decode-> mel -vocode-> wave
"""

from __future__ import annotations

import hashlib
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frieren import arrays, video, wave
from frieren import features as seeing
from frieren import latent as flowing
from frieren import mel as spectra
from frieren.clock import Clock
from frieren.errors import WeightsError
from frieren.files import file_hash
from frieren.frames import Frames
from frieren.mel import Count, ignore
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.cavp import VideoTower
from frieren.nets.field import VectorField
from frieren.soundtrack import Sound
from frieren.version import __version__
from frieren.weights import ModelConfig

Progress = Callable[[str, int, int], None]  # stage, done, total
PRECISIONS = ("float32", "bfloat16", "float16")
# Kinds of sources, and the parts that each of them needs.
NEEDED = {
    "video": ("encoder", "field", "autoencoder", "vocoder"),
    "features": ("field", "autoencoder", "vocoder"),
    "mel": ("vocoder",),
}


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
        """parts: networks by name, of `weights.PARTS`; one that is missing is missed only when it is needed."""
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.config, self.device, self.precision, self.digest = config, torch.device(device), precision, digest
        self.parts = {name: part.to(self.device).eval() for name, part in parts.items()}

    def part(self, name: str) -> nn.Module:
        """One of the networks.

        Raises:
            WeightsError: if this model does not have it.
        """
        if name not in self.parts:
            raise WeightsError(f"{self.config.name} has no {name}, only {', '.join(self.parts)}; convert it with one")
        return self.parts[name]

    @property
    def encoder(self) -> VideoTower:
        """Frames -> features."""
        return self.part("encoder")

    @property
    def autoencoder(self) -> MelAutoencoder:
        """Latent <-> mel."""
        return self.part("autoencoder")

    @property
    def field(self) -> VectorField:
        """The velocity from noise to latent, given features."""
        return self.part("field")

    @property
    def vocoder(self) -> nn.Module:
        """Mel -> wave."""
        return self.part("vocoder")

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

    @property
    def published(self) -> bool:
        """Whether the windows of a long sound are solved side by side, as the authors do."""
        return self.config.windows == "published"

    @property
    def by_count(self) -> bool:
        """Whether features are laid out as published: each over so many columns, whatever the time."""
        return self.published and self.field.config.regulator == "repeat"

    def samples(self, features: int) -> int:
        """Samples that belong to so many features: laid out by count, 32 of them make 8.192 s; else 8 s."""
        if self.by_count:
            return features * self.field.config.repeat * self.clock.samples_per_latent
        return self.clock.samples(features / self.clock.fps)

    def columns(self, features: int, seconds: float | None) -> int:
        """Latent columns for so many features, or seconds; whole windows if they are solved as published."""
        samples = self.samples(features) if seconds is None else self.clock.samples(seconds)
        columns = self.clock.columns(samples / self.clock.sample_rate)
        if not self.published:
            return columns
        windows = -(-columns // self.clock.window)
        if self.by_count and windows > 1:
            late = self.clock.window * (1 / self.clock.latent_rate - 1 / (self.field.config.repeat * self.clock.fps))
            warnings.warn(
                f"{windows} windows as published: each begins {late:.2f} s later against its features than the one "
                "before; refine=['windows'] (--refine windows) keeps time",
                stacklevel=4,
            )
        return windows * self.clock.window

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
            seconds: length of the sound; default: until the last frame's end, or, for windows laid out as published,
                as many columns as the features repeat to.
            noise: [C, L] ([B, C, L]) in place of a seed.
            steps, guidance, solver: default to the model's own. A step is two network evaluations unless guidance is 1.
            on_step: called with (steps done, steps) after each.

        Returns:
            [C, L] ([B, C, L]), L latent columns that cover `seconds`: whole windows if they are laid out as published.
        """
        batch = features if features.ndim == 3 else features[None]
        if times is None:
            times = torch.tensor(self.clock.frame_times(batch.shape[1]), dtype=torch.float64)
        columns = self.columns(batch.shape[1], seconds)
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
                guidance_rescale=self.config.guidance_rescale,
                published=self.published,
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
        overlap = 0 if self.published else self.clock.overlap
        mel = spectra.decode(self.autoencoder, batch, self.clock.window, overlap, on_window)
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
        kind: str = "video",
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[Sound]:
        """One soundtrack per seed; the source is read and encoded once.

        Args:
            source: any video that FFmpeg's libraries read, or an array in its place: see `kind`.
            kind: "video"; "features": visual features [F, D] in .npy or .npz; "mel": a log10 mel [M, T] in .npy,
                which is only vocoded.
            steps, guidance, solver: default to the model's own.
            on_progress: called with (stage, done, total); stages are "encode", "sample", "decode", "vocode".

        Raises:
            VideoError, ArrayError: if the file cannot be read.
            WeightsError: if the model lacks a part that this needs.
        """
        if kind not in NEEDED:
            raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(NEEDED)}")
        progress = on_progress or (lambda stage, done, total: None)
        for name in NEEDED[kind]:
            self.part(name)
        spent, path = Stopwatch(), Path(source)
        chosen = self.chosen(kind, steps=steps, guidance=guidance, solver=solver)
        times = seconds = samples = None
        with spent("encode"):
            if kind == "video":
                given, times, seconds = self.watch(path, progress)
                samples = self.clock.samples(seconds)
            elif kind == "features":
                given = arrays.read_features(path, self.field.config.features)
                samples = self.samples(len(given))
            else:
                mel = arrays.read_mel(path, self.config.mel.bins)
        digest = file_hash(path)
        for seed in seeds:
            if kind != "mel":
                with spent("sample"):
                    on_step = partial(progress, "sample")
                    made = self.sample(given, times=times, seconds=seconds, seed=seed, on_step=on_step, **chosen)
                with spent("decode"):
                    mel = self.decode(made, on_window=partial(progress, "decode"))
            with spent("vocode"):
                sound = self.vocode(mel, on_chunk=partial(progress, "vocode"))[:samples]
            origin = {"name": path.name, "sha256": digest, "kind": kind}
            record = self.record(origin, sound, {"seed": seed, **chosen}, spent)
            yield Sound(sound, self.clock.sample_rate, path if kind == "video" else None, record)

    def chosen(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """Options of the sampling, from the model where they were left to it; a mel is not sampled."""
        if kind == "mel":
            return {}
        return {name: getattr(self.config, name) if value is None else value for name, value in wanted.items()}

    @torch.inference_mode()
    def watch(self, source: str | Path, progress: Progress) -> tuple[Tensor, Tensor, float]:
        """Reads and encodes a video in blocks: features [F, D], times [F], seconds."""
        times: list[Tensor] = []
        length = 0.0

        def blocks() -> Iterator[Tensor]:
            nonlocal length
            fps, published = self.clock.fps, self.clock.published_frames
            for frames in video.stream_frames(source, fps, self.image_size, published=published):
                times.append(frames.times)
                length = frames.seconds
                yield frames.images[None]
                progress("encode", sum(map(len, times)), self.clock.frames(length))

        with self.precise:
            encoded = torch.cat(list(seeing.encode(self.encoder, blocks())), dim=1)[0].float()
        return encoded, torch.cat(times), length

    def record(
        self, origin: dict[str, str], sound: Tensor, options: dict[str, Any], spent: Stopwatch
    ) -> dict[str, Any]:
        """What made a sound, enough to make it again."""
        return {
            "model": self.config.name,
            "model_sha256": self.digest,
            "input": origin,
            "options": {
                **options,
                **({} if origin["kind"] == "mel" else {"sampling": self.sampling()}),
                "vocoder": "griffin-lim" if isinstance(self.vocoder, wave.GriffinLim) else "model",
                "device": self.device.type,
                "precision": self.precision,
            },
            "wave_sha256": hashlib.sha256(sound.numpy().tobytes()).hexdigest(),
            "versions": {
                "frieren": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
                "threads": torch.get_num_threads(),
            },
            "seconds": {"sound": len(sound) / self.clock.sample_rate, **spent.seconds},
        }

    def sampling(self) -> dict[str, str]:
        """How windows, features, time and strong guidance are treated: as published, or refined."""
        field, rescale = self.field.config, self.config.guidance_rescale
        return {
            "windows": self.config.windows,
            "regulator": field.regulator,
            "time": "continuous" if field.time_steps is None else f"truncated to 1/{field.time_steps}",
            **({"guidance_rescale": f"as guided by {rescale:g}"} if rescale else {}),
        }


class Stopwatch:
    """Seconds spent in each stage, the latest take only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started, 3)
