"""Files -> features: front end, cache, and one decoding of a file for all networks."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from frieren import sounds
from frieren.errors import VideoError
from frieren.evaluation.protocol import FrontEnd
from frieren.evaluation.scorers.cache import Arrays, FeatureCache
from frieren.evaluation.scorers.extractors import Extractor, load
from frieren.evaluation.scorers.resampling import resample_sinc
from frieren.files import file_hash

Item = TypeVar("Item")
Result = TypeVar("Result")
WINDOWS, WINDOW = "-windows", 0.96  # the end of such an extractor's name; its seconds


class WindowedExtractor:
    """An extractor applied window by window, for FAD: one row per 0.96 s, as VGGish has.

    A tail that fills no window is left out.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.name = f"{extractor.name}{WINDOWS}"
        self.digest, self.sample_rate = extractor.digest, extractor.sample_rate

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "embedding" [R, D].

        Raises:
            ValueError: if the wave fills no window.
        """
        size = round(WINDOW * self.sample_rate)
        if len(wave) < size:
            raise ValueError(f"a wave of {len(wave)} samples fills no window; pad it to {size} or more")
        pieces = wave[: len(wave) // size * size].split(size)
        return {"embedding": torch.cat([self.extractor(piece)["embedding"] for piece in pieces])}


def load_extractor(name: str) -> Extractor:
    """Load one of `extractors.EXTRACTORS` by name; "-windows" at its end applies it window by window.

    Raises:
        WeightsError: if there is none, or its weights are not here.
    """
    whole = load(name.removesuffix(WINDOWS))
    return WindowedExtractor(whole) if name.endswith(WINDOWS) else whole


@dataclass(frozen=True)
class SoundFeatures:
    """One sound's features.

    Attributes:
        file: SHA-256 of the file.
        seconds: length of what was used of it.
        features: by the network's name.
    """

    file: str
    seconds: float
    features: Mapping[str, Arrays]


@dataclass(frozen=True)
class FeatureSet:
    """One network's features of many sounds.

    Attributes:
        rows: [R, D] float32, embeddings of all sounds, one after the other.
        owner: [R] the sound that each row comes from.
        logits: [N, K] float32, or None.
    """

    rows: np.ndarray
    owner: np.ndarray
    logits: np.ndarray | None


def gather(sounds: Sequence[SoundFeatures], name: str) -> FeatureSet:
    """Join one network's features of many sounds."""
    parts = [sound.features[name] for sound in sounds]
    owner = np.repeat(np.arange(len(parts)), [len(part["embedding"]) for part in parts])
    logits = np.stack([part["logits"] for part in parts]) if "logits" in parts[0] else None
    return FeatureSet(np.concatenate([part["embedding"] for part in parts]), owner, logits)


class FeatureExtractor:
    """Networks behind one front end.

    Args:
        extractors: the networks.
        front: what a file goes through before the networks.
        cache: where features are kept.
    """

    def __init__(self, extractors: Sequence[Extractor], front: FrontEnd, cache: FeatureCache) -> None:
        self.extractors, self.front, self.cache = extractors, front, cache
        self.hash = lru_cache(maxsize=None)(file_hash)
        self.read = lru_cache(maxsize=8)(read_finite)  # a scorer takes what an extractor has just taken

    def with_front(self, front: FrontEnd) -> FeatureExtractor:
        """Return a copy behind another front end; both share the files in memory."""
        other = copy.copy(self)
        other.front = front
        return other

    def extract(self, path: Path, seconds: float | None = None) -> SoundFeatures:
        """Return all networks' features of one file.

        Args:
            seconds: the sound is cut to this length; None leaves it whole.

        Raises:
            VideoError: the file is no sound, holds none, or one that is not finite.
            OSError: the file cannot be read at all.
        """
        return SoundFeatures(
            self.hash(path),
            self.length(path, seconds),
            {network.name: self.features(network, path, seconds) for network in self.extractors},
        )

    def settings(self, path: Path, seconds: float | None, shift: float = 0.0) -> dict[str, Any]:
        """Return everything that a network's input depends on, as part of a key of the cache."""
        return {"file": self.hash(path), "front": dataclasses.asdict(self.front), "seconds": seconds, "roll": shift}

    def length(self, path: Path, seconds: float | None = None) -> float:
        """Return the seconds that are used of a file."""
        key = FeatureCache.key(length=self.hash(path))
        kept = self.cache.get(key)
        if kept is None:
            channels, rate = self.read(path)
            kept = {"seconds": np.array(channels.shape[1] / rate)}
            self.cache.put(key, kept)
        whole = float(kept["seconds"])
        return whole if seconds is None else min(whole, seconds)

    def features(self, extractor: Extractor, path: Path, seconds: float | None) -> Arrays:
        """Return one network's features of a file."""
        key = FeatureCache.key(network=(extractor.name, extractor.digest), **self.settings(path, seconds))
        kept = self.cache.get(key)
        if kept is None:
            with torch.inference_mode():
                made = extractor(self.wave(path, extractor.sample_rate, seconds))
            kept = {name: value.numpy() for name, value in made.items()}
            self.cache.put(key, kept)
        return kept

    def wave(self, path: Path, sample_rate: int, seconds: float | None, shift: float = 0.0) -> Tensor:
        """Return a network's input, a wave [S]; circularly shifted by `shift` seconds, to the later."""
        return front_wave(*self.read(path), sample_rate, self.front, seconds).roll(round(shift * sample_rate))


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of `work` in order, one item per thread: small networks gain little from torch's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def read_finite(path: Path) -> tuple[np.ndarray, int]:
    """Read a sound [C, S] and its rate.

    Raises:
        VideoError: the file is no sound, holds none, or one that is not finite.
    """
    channels, rate = sounds.read_channels(path)
    if not np.isfinite(channels).all():
        raise VideoError(f"{path}: holds samples that are not finite; make it again")
    return channels, rate


def front_wave(channels: np.ndarray, rate: int, target: int, front: FrontEnd, seconds: float | None = None) -> Tensor:
    """Return a network's input [S'] at `target` samples per second, of a sound [C, S] at `rate`."""
    if seconds is not None and front.crop_first:
        channels = channels[:, : round(seconds * rate)]
    wave = channels[0] if front.channel == "first" else channels.mean(axis=0)
    if front.centred:
        wave = wave - wave.mean()
    resample: Callable[..., Tensor] = {
        "sinc-hann": lambda wave: resample_sinc(torch.from_numpy(wave.copy()), rate, target),
        "soxr": lambda wave: torch.from_numpy(sounds.resample(wave, rate, target).copy()),
    }[front.resampler]
    resampled = resample(wave)
    if seconds is not None:
        resampled = resampled[: round(seconds * target)]
    return pad(resampled, (0, max(0, round(front.shortest * target) - len(resampled))))
