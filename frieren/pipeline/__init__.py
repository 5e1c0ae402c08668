"""The five stages in order: the only place where they meet.

video file -read-> frames -encode-> features -sample-> latent -decode-> mel -vocode-> wave

A model whose `condition` is "cues" has features of a cue sheet, which is spotted in the video or given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from frieren.clock import Clock
from frieren.cues import Cues, SoundCue, parse_sounds
from frieren.errors import ConfigError, WeightsError
from frieren.features import as_batch, encode_frames
from frieren.frames import Frames
from frieren.isolation import Limits
from frieren.latent import initial_noise, latent_columns, sample_latent
from frieren.mel import Count, decode_latent, encode_mel, ignore
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.fast import hastened
from frieren.nets.field import VectorField
from frieren.pipeline.takes import end_of, held, see, take, take_again
from frieren.record import Stopwatch, make_record, settings
from frieren.redo import Redo
from frieren.seen import kept as kept_before
from frieren.soundtrack import Sound
from frieren.unfinished import Unfinished
from frieren.video import probe, stream_frames
from frieren.wave import Vocoder, vocode
from frieren.weights import ModelConfig

if TYPE_CHECKING:
    from frieren.nets.cavp import VideoTower

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
        fast: bool = True,
    ) -> None:
        """The networks on their device.

        Args:
            parts: networks by name, of `weights.PARTS`; one that is missing is an error only where it is needed.
            fast: on a CPU, compute by networks that do the same faster, made of `parts` when they are first needed.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.config, self.device, self.precision, self.digest = config, torch.device(device), precision, digest
        self.fast = fast and self.device.type == "cpu" and precision != "float16"
        self.parts = {name: part.to(self.device).eval() for name, part in parts.items()}
        self._hastened: dict[str, tuple[nn.Module, nn.Module]] = {}  # plain and fast, as far as they were asked for

    @torch.inference_mode()
    def encode(self, frames: Frames | Tensor) -> Tensor:
        """Frames -> features [F, D].

        Args:
            frames: `Frames`, or images [F, 3, H, W] ([B, F, 3, H, W]) in 0..1 at the clock's own rate. Images of
                another size than `image_size` are resized.
        """
        with self.autocast():
            batch = as_batch(frames, self.image_size)
            features = torch.cat(list(encode_frames(self.encoder, [batch])), dim=1).float()
        return features if isinstance(frames, Tensor) and frames.ndim == 5 else features[0]

    @torch.inference_mode()
    def encode_video(
        self, source: str | Path, *, on_frame: Count = ignore, isolate: bool | Limits = False
    ) -> tuple[Tensor, Tensor, float]:
        """Video file -> features [F, D], times of the frames [F] and length in seconds; read in blocks.

        Args:
            isolate: read the file in a process of its own, with limits.

        Raises:
            VideoError: if the file cannot be read.
        """
        seconds, seen, clock = 0.0, 0, self.clock

        def blocks() -> Iterator[Tensor]:
            nonlocal seconds, seen
            published = clock.published_frames
            for frames in stream_frames(source, clock.fps, self.image_size, published=published, isolate=isolate):
                seconds, seen = frames.seconds, seen + len(frames.times)
                yield frames.images[None]
                on_frame(seen, clock.frames(seconds))

        # In one piece from the start: small tensors that stay, between large ones that go, would take 5 kB a frame.
        features, done = torch.empty(0), 0
        with self.autocast():
            for part in encode_frames(self.encoder, blocks()):
                if not done:
                    features = torch.empty(clock.frames(seconds), part.shape[-1], device=part.device)
                features[done : done + part.shape[1]] = part[0]
                done += part.shape[1]
        return features[:done], torch.tensor(clock.frame_times(done), dtype=torch.float64), seconds

    def spot(
        self,
        source: str | Path,
        *,
        cues: Cues | None = None,
        sounds: str | Sequence[SoundCue] | None = None,
        on_frame: Count = ignore,
        isolate: bool | Limits = False,
    ) -> Cues:
        """The cue sheet of a video file, as `generate` uses it.

        Args:
            cues: the sheet, if there is one already; the video is then not looked at, only measured.
            sounds: take the place of what the sheet says is there, such as "dog" or "rain, dog@2-4"; when things
                strike and how much moves stays.
            isolate: read the file in a process of its own, with limits.

        Raises:
            VideoError: if the file cannot be read.
            ConfigError: an unknown sound; the nearest names are listed.
        """
        from frieren.spotting import spot  # here, so that a model without eyes does not import them

        if isinstance(sounds, str):
            sounds = parse_sounds(sounds)
        if cues is None:
            sheet = spot(source, on_frame, isolate=isolate)
        else:
            sheet = replace(cues, seconds=probe(source, isolate=isolate).seconds)
        return sheet if sounds is None else replace(sheet, sounds=tuple(sounds))

    @torch.inference_mode()
    def sample(
        self,
        features: Tensor,
        *,
        times: Tensor | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        noise: Tensor | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        on_step: Count = ignore,
        unfinished: Unfinished | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Features -> latent, along the guided flow.

        Args:
            features: [F, D], or [B, F, D]; item b of a batch has the seed `seed + b`.
            times: [F] seconds at which the frames are displayed; default: the clock's grid.
            seconds: length of the sound; default: until the last frame's end, or, for windows laid out as published,
                as many columns as the features repeat to.
            seed: of the noise that the flow starts from; 0 by default.
            noise: that noise itself, [C, W] ([B, C, W]), in place of a seed. W is L, but at least a window: a shorter
                sound is solved over a whole window, the length of the field's training, and cut.
            steps, guidance, solver: default to the model's own. A step is two network evaluations unless guidance is 1.
            on_step: called with (steps done, steps) after each.
            unfinished: has what is finished already, and keeps what is finished now.
            kept: [C, L] ([B, C, L]) a latent that this one has to be equal to, but where it is NaN.

        Returns:
            [C, L] ([B, C, L]), L latent columns that cover `seconds`: whole windows if they are laid out as published.

        Raises:
            ValueError: if both seed and noise are given, or noise has another shape.
        """
        batch = features if features.ndim == 3 else features[None]
        samples = None if seconds is None else self.clock.samples(seconds)
        columns = latent_columns(batch.shape[1], samples, self.clock, self.field.config, self.published)
        if times is None:
            times = torch.tensor(self.clock.frame_times(batch.shape[1]), dtype=torch.float64)
        channels, width = self.field.config.latent, max(columns, self.clock.window)
        start = initial_noise(len(batch), channels, width, seed=seed, noise=noise)
        chosen = self.sampling_options(steps=steps, guidance=guidance, solver=solver)
        with self.autocast():
            path = sample_latent(
                self.field,
                batch.to(self.device),
                times,
                start.to(self.device),
                self.clock,
                **chosen,
                guidance_rescale=self.config.guidance_rescale,
                published=self.published,
                unfinished=unfinished,
                kept=None if kept is None else held(kept, start).to(self.device),
            )
            latent = end_of(path, chosen["steps"], on_step)[..., :columns].float()
        latent = latent if kept is None else torch.where(kept.isnan(), latent, kept)  # but for rounding it is there
        return latent if features.ndim == 3 else latent[0]

    @torch.inference_mode()
    def decode(self, latent: Tensor, *, on_window: Count = ignore) -> Tensor:
        """Latent [C, L] ([B, ...]) -> log10 mel [M, T]; `on_window` is called with (windows done, windows)."""
        batch = (latent if latent.ndim == 3 else latent[None]).to(self.device)
        overlap = 0 if self.published else self.clock.overlap
        mel = decode_latent(self.autoencoder, batch, self.clock.window, overlap, on_window)
        return mel if latent.ndim == 3 else mel[0]

    @torch.inference_mode()
    def vocode(self, mel: Tensor, *, on_chunk: Count = ignore) -> Tensor:
        """log10 mel [M, T] ([B, ...]) -> wave [S] on the CPU, -1..1; `on_chunk`: (columns done, columns)."""
        batch = mel if mel.ndim == 3 else mel[None]
        wave = vocode(self.vocoder, batch.to(self.device), self.clock.hop, on_chunk).float().cpu()
        return wave if mel.ndim == 3 else wave[0]

    @torch.inference_mode()
    def encode_mel(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """log10 mel [M, T] ([B, ...]), T even -> mean and log-variance [C, L] of the latent that `decode` takes."""
        batch = mel if mel.ndim == 3 else mel[None]
        mean, log_variance = encode_mel(self.autoencoder, batch.to(self.device))
        return (mean, log_variance) if mel.ndim == 3 else (mean[0], log_variance[0])

    def generate(
        self,
        source: str | Path,
        *,
        seed: int = 0,
        kind: str = "video",
        cues: Cues | None = None,
        sounds: str | Sequence[SoundCue] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        redo: Sequence[Redo] = (),
        isolate: bool | Limits = False,
        on_progress: Progress | None = None,
    ) -> Sound:
        """The soundtrack of a video file, as long as the video; arguments and errors are those of `takes`."""
        options: dict[str, Any] = {"steps": steps, "guidance": guidance, "solver": solver}
        options |= {"cues": cues, "sounds": sounds, "redo": redo, "isolate": isolate}
        return next(self.takes(source, [seed], kind=kind, **options, on_progress=on_progress))

    def takes(
        self,
        source: str | Path,
        seeds: Sequence[int],
        *,
        kind: str = "video",
        cues: Cues | None = None,
        sounds: str | Sequence[SoundCue] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        redo: Sequence[Redo] = (),
        isolate: bool | Limits = False,
        on_progress: Progress | None = None,
        unfinished: Mapping[int, Unfinished] | None = None,
    ) -> Iterator[Sound]:
        """One soundtrack per seed; the source is read and encoded once.

        Args:
            source: any video that FFmpeg's libraries read, or an array in its place: see `kind`.
            kind: "video"; "features": visual features [F, D] in .npy or .npz; "mel": a log10 mel [M, T] in .npy,
                which is only vocoded.
            cues, sounds: see `spot`; for models whose `condition` is "cues".
            steps, guidance, solver: default to the model's own.
            redo: stretches that are made again afterwards, one after the other, each with a seed of its own; outside of
                them every sample stays.
            isolate: read the video in a process of its own, with limits.
            on_progress: called with (stage, done, total); stages are "encode", "sample", "decode", "vocode".
            unfinished: for every seed where its finished pieces are kept, so that a run that was stopped goes on from
                there, and a wave of hours is never held as a whole. The sounds are good until they are removed.

        Raises:
            OutputError: pieces that are to be used are of other work.
            ValueError: for an unknown kind.
            VideoError, ArrayError: if the file cannot be read.
            WeightsError: if the model lacks a part that this needs.
            ConfigError: cues or sounds for a model that sees frames, an unknown sound, or a stretch beyond the end.
        """
        by_cues = self._takes_cues(kind, told=not (cues is None and sounds is None))
        progress = on_progress or (lambda stage, done, total: None)
        spent, path, places = Stopwatch(), Path(source), unfinished or {}
        chosen = {} if kind == "mel" else self.sampling_options(steps=steps, guidance=guidance, solver=solver)
        made_by = settings(self, path, kind, chosen)
        asked = {"cues": None if cues is None else cues.to_json(), "sounds": None if sounds is None else str(sounds)}
        for seed, place in places.items():
            place.begin({**made_by, **asked, "seed": seed, "redo": [each.table() for each in redo]})
        with spent("encode"):
            seen = kept_before(places.values()) or see(
                self, path, kind, by_cues, cues, sounds, partial(progress, "encode"), isolate
            )
        for seed in seeds:
            if redo:
                wave, first = take_again(self, seen, seed, redo, chosen, spent, progress)
            else:
                wave, first = take(self, seen, seed, chosen, places.get(seed), spent, progress), None
            record = make_record(made_by, seed, wave, self.clock.sample_rate, spent.seconds, seen.cues, redo)
            yield Sound(wave, self.clock.sample_rate, path if kind == "video" else None, record, level_of=first)

    def _takes_cues(self, kind: str, told: bool) -> bool:
        """Whether features are made of cues; raises as `takes` if that cannot be, or if cues are `told` in vain."""
        if kind not in NEEDED:
            raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(NEEDED)}")
        by_cues = kind == "video" and self.config.condition == "cues"
        if told and not by_cues:
            raise ConfigError(f"{self.config.name} takes no cues with {kind}; cues are for videos and models like mini")
        for name in NEEDED["features" if by_cues else kind]:
            self.part(name)
        return by_cues

    def sampling_options(
        self, *, steps: int | None = None, guidance: float | None = None, solver: str | None = None
    ) -> dict[str, Any]:
        """Steps, guidance and solver by name; those that are None are the model's own."""
        asked = {"steps": steps, "guidance": guidance, "solver": solver}
        return {name: getattr(self.config, name) if value is None else value for name, value in asked.items()}

    def part(self, name: str) -> nn.Module:
        """One of the plain networks.

        Raises:
            WeightsError: if this model does not have it.
        """
        if name not in self.parts:
            raise WeightsError(f"{self.config.name} has no {name}, only {', '.join(self.parts)}; convert it with one")
        return self.parts[name]

    def _working(self, name: str) -> nn.Module:
        """One of the networks, as it computes here."""
        plain = self.part(name)
        if not self.fast:
            return plain
        if name not in self._hastened or self._hastened[name][0] is not plain:
            self._hastened[name] = plain, hastened(plain, getattr(torch, self.precision))
        return self._hastened[name][1]

    @property
    def encoder(self) -> VideoTower:
        """Frames -> features."""
        return cast("VideoTower", self._working("encoder"))

    @property
    def field(self) -> VectorField:
        """The velocity from noise to latent, given features."""
        return cast(VectorField, self._working("field"))

    @property
    def autoencoder(self) -> MelAutoencoder:
        """Latent <-> mel."""
        return cast(MelAutoencoder, self._working("autoencoder"))

    @property
    def vocoder(self) -> Vocoder:
        """Mel -> wave."""
        return cast(Vocoder, self._working("vocoder"))

    @property
    def clock(self) -> Clock:
        """The model's rates."""
        return self.config.clock

    @property
    def image_size(self) -> int:
        """Height and width of the frames that the encoder takes, pixels."""
        return self.encoder.config.image_size

    @property
    def published(self) -> bool:
        """True if the windows of a long sound are solved side by side, as the authors do."""
        return self.config.windows == "published"

    def autocast(self) -> AbstractContextManager[Any]:
        """The arithmetic of plain encoders and fields; fast networks hold theirs, other plain ones are float32."""
        if self.fast or self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))
