"""Run the command line in this process, on short videos and a fake model that is exact and free."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import frieren
from frieren import video
from frieren.apps.cli import main

RATE = 16_000


def make_video(path: Path, seconds: float = 0.4, codec: str = "libx264", sound: bool = False) -> Path:
    """A short clip whose frames differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for index in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * index % 255, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            wave = np.zeros((1, round(seconds * RATE)), np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def run(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@dataclass
class FakeModel:
    """Noise of the video's length that depends on the seed and the steps, as real sounds with a real record's keys."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    loads: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    threads: int = 2
    digest: str = "abc"

    def takes(
        self,
        source: Path,
        seeds: list[int],
        *,
        kind: str = "video",
        cues: Any = None,
        sounds: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        redo: Any = (),
        isolate: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
        unfinished: Any = None,
    ) -> Iterator[frieren.Sound]:
        chosen = {"steps": steps, "guidance": guidance, "solver": solver}
        self.calls.append({"video": source, "seeds": list(seeds), "kind": kind, **chosen})
        seconds = video.probe(source).seconds
        on_progress("encode", 1, 1)
        used = {"steps": steps or 25, "guidance": guidance or 4.5, "solver": solver or "euler"}
        for seed in seeds:
            for stage in ("sample", "decode", "vocode"):
                on_progress(stage, 1, 1)
            generator = torch.Generator().manual_seed(seed * 1000 + used["steps"])
            wave = 0.1 * torch.randn(round(seconds * RATE), generator=generator)
            yield frieren.Sound(wave, RATE, source, self.record(source, kind, {"seed": seed, **used}, wave))

    def record(self, source: Path, kind: str, used: dict[str, Any], wave: torch.Tensor) -> dict[str, Any]:
        sampling = {"windows": "seamless", "regulator": "time", "time": "continuous"}
        return {
            "model": "mini",
            "model_sha256": self.digest,
            "input": {"name": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "kind": kind},
            "options": {**used, "sampling": sampling, "vocoder": "model", "device": "cpu", "precision": "float32"},
            "wave_sha256": hashlib.sha256(wave.numpy().tobytes()).hexdigest(),
            "versions": {"frieren": "1", "torch": "2", "python": "3", "machine": "x", "threads": self.threads},
            "seconds": {
                "sound": len(wave) / RATE,
                "encode": time.perf_counter(),
                "sample": 0,
                "decode": 0,
                "vocode": 0,
            },
        }
