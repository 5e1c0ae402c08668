"""DeSync: by how many seconds a sound is early or late for its video, by Synchformer; av-benchmark's protocol."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.evaluation.scorers.extractors import load_network
from frieren.evaluation.scorers.scorer import Better
from frieren.evaluation.scorers.spectra import RATE, SEGMENT, SEGMENT_HOP, synchformer_mel
from frieren.nets.scorers.synchformer import Synchformer
from frieren.video import stream_frames

FPS = 25.0  # frames per second that it was trained with
SLACK = 1e-3  # of a segment, by which a clip may be too short for its last one
GRID = torch.linspace(-2, 2, 21, dtype=torch.float64)  # seconds: the offsets that Synchformer tells apart


def desync(logits: Tensor) -> Tensor:
    """Absolute offsets [W] in seconds of logits [W, 21]: of the most probable offset, the first of equals."""
    return GRID[logits.argmax(dim=1)].abs()


class Synchrony:
    """Synchformer on the first and on the last 14 segments, 4.8 s each; a score is the most probable offset.

    What lies between them is not used. MMAudio is conditioned on it, which flatters MMAudio.

    Args:
        folder: of the converted weights; by default where `frieren weights fetch synchformer` puts them.

    Raises:
        WeightsError: if they are not there.
    """

    name = "synchformer"
    better: Better = "lower"
    share = False
    sample_rate = RATE

    def __init__(self, folder: Path | None = None) -> None:
        self.network, self.digest = load_network("synchformer", Synchformer, folder)

    @property
    def shortest(self) -> float:
        """Seconds that a sound must have."""
        return (SEGMENT + (self.network.config.segments - 1) * SEGMENT_HOP) / RATE

    def segments(self, seconds: float) -> list[int]:
        """Return the indices of the segments that are used of a clip: the first and the last 14, each once."""
        count = int((seconds * RATE - SEGMENT) / SEGMENT_HOP + SLACK) + 1
        window = self.network.config.segments
        return sorted({*range(window), *range(count - window, count)})

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """The first `seconds` of a video -> [N, 8, D], a row per segment; its last frame stays."""
        config, segments = self.network.config, self.segments(seconds)
        blocks: list[Tensor] = []
        needed = (segments[-1] + 2) * config.frames // 2
        for block in stream_frames(path, FPS, config.image_size, published=True, fit="crop"):
            blocks.append(block.images)
            if sum(map(len, blocks)) >= needed:
                break
        images = torch.cat(blocks)
        images = 2 * torch.cat([images, images[-1:].expand(max(0, needed - len(images)), -1, -1, -1)]) - 1
        starts = (segment * config.frames // 2 for segment in segments)
        # One after the other: together they would take gigabytes.
        return torch.cat([self.network.encode_video(images[None, start : start + config.frames]) for start in starts])

    def encode_sound(self, wave: Tensor) -> Tensor:
        """wave [S], at least `shortest` seconds -> [N, 6, D], a row per segment."""
        segments = self.segments(len(wave) / RATE)
        wave = F.pad(wave, (0, max(0, (segments[-1] + 2) * SEGMENT_HOP - len(wave))))
        return self.network.encode_sound(synchformer_mel(wave)[segments])

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """Seconds [2] between video and sound, at the beginning and at the end."""
        window = self.network.config.segments
        ends = (torch.stack([rows[:window], rows[-window:]]) for rows in (video, sound))
        return desync(self.network.compare(*ends))
