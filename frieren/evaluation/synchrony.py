"""DeSync: by how many seconds picture and sound are apart, as Synchformer hears it (av-benchmark's protocol)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from frieren import video
from frieren.evaluation.extractors import opened
from frieren.evaluation.judges import desync
from frieren.evaluation.spectra import RATE, SEGMENT, SEGMENT_HOP, synchformer_mel
from frieren.nets.synchformer import Synchformer

FPS = 25.0  # frames per second that it was trained with


class Synchrony:
    """Synchformer on the first and on the last 14 segments, 4.8 s each; its verdict is the most probable offset.

    MMAudio is conditioned on it, which flatters MMAudio.

    Args:
        folder: of the converted weights; by default where `frieren weights fetch synchformer` puts them.

    Raises:
        WeightsError: if they are not here.
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

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """The first `seconds` of a video -> "seen" [S, instants, D], a segment every 8 frames; its last frame stays."""
        config, count, blocks = self.network.config, round(seconds * FPS), []
        for block in video.stream_frames(path, FPS, config.image_size, published=True, fit="crop"):
            blocks.append(block.images)
            if sum(map(len, blocks)) >= count:
                break
        images = torch.cat(blocks)[:count]
        images = torch.cat([images, images[-1:].expand(count - len(images), -1, -1, -1)])
        starts = range(0, count - config.frames + 1, config.frames // 2)
        # One after the other: together they would take gigabytes.
        seen = [self.network.see(2 * images[None, start : start + config.frames] - 1) for start in starts]
        return {"seen": torch.cat(seen)}

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "heard" [segments, times, D], a segment every 0.32 s."""
        return {"heard": self.network.hear(synchformer_mel(wave))}

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """Seconds [2] between picture and sound, at the start and at the end."""
        pictures, sounds = seen["seen"], heard["heard"]
        common, window = min(len(pictures), len(sounds)), self.network.config.segments
        ends = (slice(0, window), slice(common - window, common))
        pairs = (torch.stack([part[end] for end in ends]) for part in (pictures, sounds))
        return torch.from_numpy(desync(self.network.compare(*pairs).numpy()))
