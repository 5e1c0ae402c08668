"""A row of a table, measured: a system's sounds for the clips, and their scores by `frieren evaluate`.

    OUT/cells/3f2a...json     scores and all that they depend on; the name is a digest of the latter
    OUT/sounds/3f2a.../       the sounds, one for each clip and sample
    OUT/features/             what encoders made of the clips

What is there is not made again, so that a run that was killed goes on, and tables share their cells.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import frieren
from frieren import sounds
from frieren.evaluation.intervals import Interval
from frieren.evaluation.protocol import Preset
from frieren.evaluation.run import evaluate
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.features import load_extractor
from frieren.evaluation.scores import Score
from frieren.files import write_json
from frieren.pipeline import Model
from frieren.reproduction.clips import Progress, TestClips
from frieren.world import WORLD_VERSION

PROTOCOL = 1  # any change of how sounds are made or scored that changes a number raises it: no older cell is taken then
BATCH = 8  # clips that are sampled together
DIGITS = 16  # of a cell's digest


@dataclass(frozen=True)
class Sampling:
    """How a system is sampled; None is the model's own.

    Attributes:
        steps, guidance, solver: of the flow, or of whatever the system has in its place.
        vocoder: "model", or "griffin-lim".
    """

    steps: int | None = None
    guidance: float | None = None
    solver: str | None = None
    vocoder: str = "model"

    def options(self) -> dict[str, Any]:
        """Return the keywords of `sample`."""
        chosen = {"steps": self.steps, "guidance": self.guidance, "solver": self.solver}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True)
class Cell:
    """What was measured of one model.

    Attributes:
        key: digest of the settings.
        settings: all that the scores depend on.
        scores: by name, with what a comparison needs.
        seconds: of this process on its processors, and of the clock, by "sample" and "evaluate".
        sounds: folder of the sounds.
    """

    key: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Score]
    seconds: Mapping[str, float]
    sounds: Path

    def score(self, prefix: str) -> Score | None:
        """Return the first score whose name begins so; None if there is none."""
        return next((one for name, one in self.scores.items() if name.startswith(prefix)), None)


class Measurer:
    """Makes cells, and keeps them.

    Args:
        out: folder of cells and sounds.
        clips: what systems are given.
        preset: of the evaluation.
        samples: sounds of each clip.
        precision: arithmetic of the networks, see `frieren.load`.
        kept: take the cells that are there, and make none.
    """

    def __init__(
        self,
        out: Path,
        clips: TestClips,
        preset: Preset,
        *,
        samples: int = 1,
        precision: str = "float32",
        kept: bool = False,
    ) -> None:
        self.out, self.clips, self.preset = out, clips, preset
        self.samples, self.precision, self.kept = samples, precision, kept
        self.load = lru_cache(maxsize=4)(self._load)

    def _load(self, folder: str | Path, vocoder: str) -> Model:
        return frieren.load(folder, vocoder=vocoder, precision=self.precision)

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """All that decides about scores beside the sounds: settings, networks, clips."""
        names = dict.fromkeys((self.preset.tagger, self.preset.texture))
        return {
            "protocol": PROTOCOL,
            "preset": dataclasses.asdict(self.preset),
            "networks": {name: load_extractor(name).digest for name in names},
            "clips": self.clips.digest(),
            "world_version": WORLD_VERSION,
            "samples": self.samples,
            "precision": self.precision,
        }

    def measure(
        self, folder: str | Path, sampling: Sampling, on_progress: Progress = lambda stage, done, total: None
    ) -> Cell | None:
        """Return the cell of a model, from its file or made now; None if it is not there and none are to be made.

        Raises:
            WeightsError: the model cannot be read.
        """
        model = self.load(folder, sampling.vocoder)
        settings = {
            **self.protocol,
            "model": model.config.name,
            "model_sha256": model.digest,
            "sampling": {
                **model.sampling_options(**sampling.options()),
                "vocoder": sampling.vocoder,
                "griffin_lim_iterations": model.config.griffin_lim_iterations,
            },
        }
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]
        path, place = self.out / "cells" / f"{key}.json", self.out / "sounds" / key
        if self.kept and not path.exists():
            return None
        if not path.exists():
            sampled = timed(lambda: self.sample(model, sampling, place, on_progress))
            report, evaluated = self.score(place, on_progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            seconds = {"sample": sampled[0], "evaluate": evaluated[0]}
            seconds |= {"sample, clock": sampled[1], "evaluate, clock": evaluated[1]}
            write_json(path, {"settings": settings, "seconds": seconds, "scores": [*map(dataclasses.asdict, report)]})
        return read_cell(path, place)

    def score(self, folder: Path, on_progress: Progress) -> tuple[tuple[Score, ...], tuple[float, float]]:
        """Return the scores of the sounds in a folder, and the seconds that they took."""
        found: list[Score] = []

        def work() -> None:
            cache = FeatureCache(self.out / "features")
            videos = next(iter(self.clips.videos.values())).parent
            report = evaluate(
                folder,
                self.clips.references,
                self.preset,
                videos=videos,
                cache=cache,
                on_progress=lambda stage, done, total: on_progress(f"evaluate {stage}", done, total),
            )
            found.extend(report.scores)

        spent = timed(work)
        return tuple(found), spent

    def sample(self, model: Model, sampling: Sampling, folder: Path, on_progress: Progress) -> None:
        """Make a model's sounds for all clips: `<clip>.flac`, or `<clip>_<k>.flac` of several samples.

        Sample k of clip i has the seed i + k times the number of clips.
        """
        folder.mkdir(parents=True, exist_ok=True)
        names, done = self.clips.names, 0
        for sample in range(self.samples):
            for start in range(0, len(names), BATCH):
                indices = range(start, min(start + BATCH, len(names)))
                on_progress("sample", done, self.samples * len(names))
                done += len(indices)
                end = f"_{sample}" if self.samples > 1 else ""
                paths = [folder / f"{names[index]}{end}.flac" for index in indices]
                if all(path.exists() for path in paths):
                    continue
                encoded = [self.encoded(model, names[index]) for index in indices]
                seed = start + sample * len(names)
                together = len({(features.shape, seconds) for features, seconds in encoded}) == 1
                groups = [range(len(encoded))] if together else [range(k, k + 1) for k in range(len(encoded))]
                for group in groups:
                    features = torch.stack([encoded[k][0] for k in group])
                    seconds = encoded[group[0]][1]
                    waves = waves_of(model, features, seconds, seed + group[0], sampling)
                    for k, wave in zip(group, waves, strict=True):
                        sounds.write(paths[k], wave, model.clock.sample_rate)

    def encoded(self, model: Model, name: str) -> tuple[Tensor, float]:
        """Return a model's features [F, D] of a clip, and its seconds; kept by the encoder's parameters."""
        cache = FeatureCache(self.out / "features")
        key = FeatureCache.key(encoder=encoder_digest(model), clip=name, clips=self.protocol["clips"])
        kept = cache.get(key)
        if kept is None:
            features, _, seconds = model.encode_video(self.clips.videos[name])
            kept = {"features": features.float().cpu().numpy(), "seconds": np.array(seconds)}
            cache.put(key, kept)
        return torch.from_numpy(kept["features"]), float(kept["seconds"])


def waves_of(model: Model, features: Tensor, seconds: float, seed: int, sampling: Sampling) -> np.ndarray:
    """Return a model's sounds [B, S] for features [B, F, D]; item b has the seed `seed + b`."""
    latent = model.sample(features, seconds=seconds, seed=seed, **sampling.options())
    return model.vocode(model.decode(latent)).numpy()[:, : model.clock.samples(seconds)]


def encoder_digest(model: Model) -> str:
    """Return a digest of a model's encoder, by which its features are kept: several models share one."""
    encoder = model.parts.get("encoder")
    if encoder is None:
        return model.digest
    digest = hashlib.sha256(f"{type(encoder).__name__} {model.precision} {model.clock}".encode())
    for name, value in encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Do some work; return the seconds that it took on the processors, and on the clock."""
    processor, clock = time.process_time(), time.monotonic()
    work()
    return time.process_time() - processor, time.monotonic() - clock


def read_cell(path: Path, place: Path) -> Cell:
    """Return a cell from its file."""
    body = json.loads(path.read_text(encoding="utf-8"))
    scores: dict[str, Score] = {}
    for entry in body["scores"]:
        interval = Interval(*entry["interval"]) if entry["interval"] else None
        terms = tuple((video, numerator, denominator) for video, numerator, denominator in entry["terms"])
        lists = {"interval": interval, "terms": terms}
        lists |= {name: tuple(entry[name]) for name in ("notes", "without")}
        scores[entry["name"]] = Score(**{**entry, **lists})
    return Cell(path.stem, body["settings"], scores, body["seconds"], place)
