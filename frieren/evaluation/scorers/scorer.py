"""Judges of picture and sound together, by name: ours, and whatever networks others have.

Another package names a function that loads its network, and `frieren evaluate ... --scores in_time` uses it:

    [project.entry-points."frieren.judges"]
    in_time = "my_package:load"             # () -> Judge

A name of ours may be taken: the package's network then stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from frieren.evaluation.protocol import FrontEnd
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.features import Listener

PLUGINS = "frieren.judges"  # the group of entry points
SHIFT = 1.0  # seconds by which the control rolls a true sound around


class Judge(Protocol):
    """A network that says how well a sound fits a video; the score is the mean of what it says.

    Video and sound are looked at apart, so that a sound can be held against its own video and others at little cost.

    Attributes:
        name, digest, sample_rate: as of an `Extractor`.
        better: "higher" or "lower".
        share: True if it says probabilities and the score is the share of those that round to 1.
        shortest: seconds of the shortest sound that it can judge.

    One that knows a video by something else than its file has a method `about(path) -> str`: all that it knows of it.
    """

    name: str
    digest: str
    sample_rate: int
    better: str
    share: bool
    shortest: float

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """What it keeps of the first `seconds` of a video."""
        ...

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """What it keeps of a sound [S]."""
        ...

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """[W]: what it says, once or more often."""
        ...


GRID = np.linspace(-2, 2, 21)  # seconds: the offsets between which Synchformer chooses


def desync(logits: np.ndarray) -> np.ndarray:
    """|offset| in seconds, [W], of Synchformer's logits [W, 21]: the most probable offset, the first of equals."""
    return np.abs(GRID[logits.argmax(axis=1)])


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines [N] of the rows of both [N, D], in float64: ImageBind's and CLAP's scores are their mean."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    return (first * second).sum(axis=1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))


class Bench:
    """A judge that remembers: what it said of each pair on disk, what it last saw and heard in memory.

    Args:
        listener: where files are read and verdicts kept; all channels are heard, whatever its front end.
    """

    def __init__(self, judge: Judge, listener: Listener) -> None:
        self.judge, self.listener = judge, listener.through(FrontEnd())
        self.see = lru_cache(maxsize=8)(self._see)
        self.hear = lru_cache(maxsize=16)(self._hear)

    def values(self, video: Path, sound: Path, seconds: float, roll: float = 0.0) -> np.ndarray:
        """What it says [W] of a video with the first `seconds` of a sound, rolled around by `roll` seconds.

        Raises:
            VideoError: if a file cannot be read.
        """
        network = (self.judge.name, self.judge.digest)
        wave = self.listener.settings(sound, seconds, roll)
        about = self.judge.about(video) if hasattr(self.judge, "about") else self.listener.hash(video)
        key = FeatureCache.key(network=network, video=about, **wave)
        kept = self.listener.cache.get(key)
        if kept is None:
            with torch.inference_mode():
                said = self.judge.judge(self.see(video, seconds), self.hear(sound, seconds, roll))
            kept = {"values": said.numpy()}
            self.listener.cache.put(key, kept)
        return kept["values"]

    def _see(self, video: Path, seconds: float) -> dict[str, Tensor]:
        return self.judge.see(video, seconds)

    def _hear(self, sound: Path, seconds: float, roll: float) -> dict[str, Tensor]:
        wave = self.listener.wave(sound, self.judge.sample_rate, seconds, roll)
        # Silence after a sound that is shorter than what it stands for: another video's may be.
        return self.judge(pad(wave, (0, max(0, round(seconds * self.judge.sample_rate) - len(wave)))))


def world() -> Judge:
    from frieren.evaluation.scorers.alignment import WorldAlignment

    return WorldAlignment()


def diff_foley() -> Judge:
    from frieren.evaluation.scorers.alignment import DiffFoleyAlignment

    return DiffFoleyAlignment()


def synchrony() -> Judge:
    from frieren.evaluation.scorers.synchrony import Synchrony

    return Synchrony()


def imagebind() -> Judge:
    from frieren.evaluation.scorers.imagebind import load

    return load()


def clap() -> Judge:
    from frieren.evaluation.scorers.clap import CaptionAgreement

    return CaptionAgreement()


def loaders() -> dict[str, Callable[[], Judge]]:
    """All judges by name; one of an installed package goes before one of ours."""
    return JUDGES | {one.name: lambda one=one: one.load()() for one in entry_points(group=PLUGINS)}


JUDGES: dict[str, Callable[[], Judge]] = {
    "alignment_world": world,
    "alignment_diff_foley": diff_foley,
    "desync": synchrony,
    "imagebind": imagebind,
    "clap": clap,
}
