"""What every reference model of sound and video does, and how its scores are kept on disk."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from frieren.evaluation.protocol import FrontEnd
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.features import FeatureExtractor

Better = Literal["lower", "higher", "nearer 0"]
SHIFT = 1.0  # seconds by which the control shifts a reference sound, circularly


class Scorer(Protocol):
    """A network that scores how well a sound fits a video; a file's scores are averaged.

    Video and sound are encoded apart, so that a sound can be scored with its own and with other videos at little cost.

    A scorer that knows a video by something else than its file has a method `video_key(path) -> str`: everything that
    `encode_video` depends on.
    """

    @property
    def name(self) -> str:
        """The name in reports."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of sizes and weights."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that waves must have."""
        ...

    @property
    def better(self) -> Better:
        """Which direction is better."""
        ...

    @property
    def share(self) -> bool:
        """True if it gives probabilities; the score is then the share of those that round to 1."""
        ...

    @property
    def shortest(self) -> float:
        """Seconds of the shortest sound that can be scored."""
        ...

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """Features of the first `seconds` of a video."""
        ...

    def encode_sound(self, wave: Tensor) -> Tensor:
        """Features of a wave [S]."""
        ...

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """Scores [W] of the features of a video and of a sound: one, or one per window."""
        ...


class CachedScorer:
    """A scorer whose scores of pairs are kept on disk, and whose latest features are kept in memory.

    Args:
        scorer: the network.
        extractor: where files are read and scores are kept; all channels count, whatever its front end.
    """

    def __init__(self, scorer: Scorer, extractor: FeatureExtractor) -> None:
        self.scorer, self.extractor = scorer, extractor.with_front(FrontEnd())
        self._video = lru_cache(maxsize=8)(scorer.encode_video)
        self._sound = lru_cache(maxsize=16)(self._encode_sound)

    def scores(self, video: Path, sound: Path, seconds: float, shift: float = 0.0) -> np.ndarray:
        """Scores [W] of a video with the first `seconds` of a sound, circularly shifted by `shift` seconds.

        Raises:
            VideoError: if a file cannot be read.
        """
        network = (self.scorer.name, self.scorer.digest)
        settings = self.extractor.settings(sound, seconds, shift)
        about = getattr(self.scorer, "video_key", self.extractor.hash)(video)
        key = FeatureCache.key(network=network, video=about, **settings)
        kept = self.extractor.cache.get(key)
        if kept is None:
            with torch.inference_mode():
                scores = self.scorer.score(self._video(video, seconds), self._sound(sound, seconds, shift))
            kept = {"values": scores.numpy()}
            self.extractor.cache.put(key, kept)
        return kept["values"]

    def _encode_sound(self, sound: Path, seconds: float, shift: float) -> Tensor:
        wave = self.extractor.wave(sound, self.scorer.sample_rate, seconds, shift)
        # Another video's sound may be shorter than the one that it replaces: silence follows.
        missing = max(0, round(seconds * self.scorer.sample_rate) - len(wave))
        return self.scorer.encode_sound(pad(wave, (0, missing)))
