"""Records of generated sounds: model, input, options, versions, hash and timings; enough to make a sound again."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frieren.cues import Cues
from frieren.files import file_hash
from frieren.version import __version__
from frieren.wave import GriffinLim

if TYPE_CHECKING:
    from frieren.pipeline import Model


class Stopwatch:
    """Seconds spent in each stage; of a stage that is timed again, the last time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started, 3)


def make_record(
    model: Model,
    source: Path,
    kind: str,
    wave: Tensor,
    options: Mapping[str, Any],
    seconds: Mapping[str, float],
    cues: Cues | None = None,
) -> dict[str, Any]:
    """The record of one sound, JSON types only.

    Args:
        source, kind: the input file, and "video", "features" or "mel".
        wave: [S], before loudness.
        options: seed, steps, guidance and solver, as far as they were used.
        seconds: spent in each stage.
        cues: the sheet that the sound was made of, if it was.
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
        **({} if cues is None else {"cues": json.loads(cues.to_json())}),
        "wave_sha256": hashlib.sha256(wave.numpy().tobytes()).hexdigest(),
        "versions": {
            "frieren": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            "threads": torch.get_num_threads(),
        },
        "seconds": {"sound": len(wave) / model.clock.sample_rate, **seconds},
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
