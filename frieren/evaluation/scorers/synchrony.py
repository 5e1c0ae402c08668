"""DeSync: by how many seconds a sound is early or late for its video, as Synchformer says; av-benchmark's protocol."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren import video
from frieren.evaluation.scorers.extractors import opened
from frieren.evaluation.scorers.scorer import desync
from frieren.evaluation.scorers.spectra import RATE, SEGMENT, SEGMENT_HOP, synchformer_mel
from frieren.nets.synchformer import Synchformer

FPS = 25.0  # frames per second that it was trained with
SLACK = 1e-3  # of a segment, by which a clip may be too short for its last one


class Synchrony:
    """Synchformer on the first and on the last 14 segments, 4.8 s each; its verdict is the most probable offset.

    What lies between them is not looked at. MMAudio is conditioned on it, which flatters MMAudio.

    Args:
        folder: of the converted weights; by default where `frieren weights fetch synchformer` puts them.

    Raises:
        WeightsError: if they are not there.
    """

    name = "synchformer"
    better, share = "lower", False
    sample_rate = RATE

    def __init__(self, folder: Path | None = None) -> None:
        self.network, self.digest = opened("synchformer", Synchformer, folder)

    @property
    def shortest(self) -> float:
        """Seconds that a sound must have."""
        return (SEGMENT + (self.network.config.segments - 1) * SEGMENT_HOP) / RATE

    def segments(self, seconds: float) -> list[int]:
        """Which segments of a clip of this length are looked at: the first and the last 14, each once."""
        count = int((seconds * RATE - SEGMENT) / SEGMENT_HOP + SLACK) + 1
        window = self.network.config.segments
        return sorted({*range(window), *range(count - window, count)})

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """The first `seconds` of a video -> "seen" [N, 8, D], a row per segment; its last frame stays."""
        config, numbers, blocks = self.network.config, self.segments(seconds), []
        needed = (numbers[-1] + 2) * config.frames // 2
        for block in video.stream_frames(path, FPS, config.image_size, published=True, fit="crop"):
            blocks.append(block.images)
            if sum(map(len, blocks)) >= needed:
                break
        images = torch.cat(blocks)
        images = 2 * torch.cat([images, images[-1:].expand(max(0, needed - len(images)), -1, -1, -1)]) - 1
        starts = (number * config.frames // 2 for number in numbers)
        # One after the other: together they would take gigabytes.
        return {"seen": torch.cat([self.network.see(images[None, start : start + config.frames]) for start in starts])}

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S], at least `shortest` seconds -> "heard" [N, 6, D], a row per segment."""
        numbers = self.segments(len(wave) / RATE)
        wave = F.pad(wave, (0, max(0, (numbers[-1] + 2) * SEGMENT_HOP - len(wave))))
        return {"heard": self.network.hear(synchformer_mel(wave)[numbers])}

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """Seconds [2] between video and sound, at the beginning and at the end."""
        window = self.network.config.segments
        ends = (torch.stack([rows[:window], rows[-window:]]) for rows in (seen["seen"], heard["heard"]))
        return torch.from_numpy(desync(self.network.compare(*ends).numpy()))
