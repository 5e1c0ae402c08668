"""Records of generated sounds: model, input, options, versions, hash and timings; enough to make a sound again."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from frieren.cues import Cues
from frieren.files import file_hash
from frieren.longwave import LongWave
from frieren.redo import Redo
from frieren.version import __version__
from frieren.wave import GriffinLim

if TYPE_CHECKING:
    from frieren.pipeline import Model

T = TypeVar("T")


class Stopwatch:
    """Seconds spent in each stage; of a stage that is timed again, the last time. A stage within another is not its."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0  # seconds of the stages within the present one

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        with self._added(stage, 0.0):
            yield

    def over(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The items; the time in which they are made is that of `stage`."""
        ahead, before = iter(items), 0.0
        while True:
            with self._added(stage, before):
                item = next(ahead, None)
            if item is None:
                return
            before = self.seconds[stage]
            yield item

    @contextmanager
    def _added(self, stage: str, so_far: float) -> Iterator[None]:
        started, outside, self._within = time.perf_counter(), self._within, 0.0
        yield
        taken = time.perf_counter() - started
        self.seconds[stage] = round(so_far + taken - self._within, 3)
        self._within = outside + taken


def settings(model: Model, source: Path, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides about the samples of a sound but its seed and its cues; JSON types only.

    Args:
        source, kind: the input file, and "video", "features" or "mel".
        options: steps, guidance and solver, as far as they are used.
    """
    return {
        "model": model.config.name,
        "model_sha256": model.digest,
        "input": {"name": source.name, "sha256": file_hash(source), "kind": kind},
        "options": {
            **options,
            **({} if kind == "mel" else {"sampling": sampling_settings(model)}),
            "vocoder": "griffin-lim" if isinstance(model.vocoder, GriffinLim) else "model",
            "device": model.device.type,
            "precision": model.precision,
        },
        "versions": {
            "frieren": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            "threads": torch.get_num_threads(),
        },
    }


def make_record(
    settings: Mapping[str, Any],
    seed: int,
    wave: Tensor | LongWave,
    sample_rate: int,
    seconds: Mapping[str, float],
    cues: Cues | None = None,
    redo: Sequence[Redo] = (),
) -> dict[str, Any]:
    """The record of one sound, JSON types only.

    Args:
        settings: see the function of that name.
        wave: [S], before loudness.
        seconds: spent in each stage.
        cues: the sheet that the sound was made of, if it was.
        redo: stretches that were made again.
    """
    digest = hashlib.sha256()
    for piece in wave if isinstance(wave, LongWave) else [wave.numpy()]:
        digest.update(np.ascontiguousarray(piece).data)
    return {
        **settings,
        "options": {"seed": seed, **settings["options"]},
        **({} if cues is None else {"cues": json.loads(cues.to_json())}),
        **({"redo": [each.table() for each in redo]} if redo else {}),
        "wave_sha256": digest.hexdigest(),
        "seconds": {"sound": len(wave) / sample_rate, **seconds},
    }


def sampling_settings(model: Model) -> dict[str, str]:
    """Treatment of windows, features, time and strong guidance: as published, or refined."""
    field, rescale = model.field.config, model.config.guidance_rescale
    return {
        "windows": model.config.windows,
        "regulator": field.regulator,
        "time": "continuous" if field.time_steps is None else f"truncated to 1/{field.time_steps}",
        **({"guidance_rescale": f"as guided by {rescale:g}"} if rescale else {}),
    }
