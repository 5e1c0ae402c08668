"""Files -> what networks hear in them: front end, cache, and one decoding of a file for all networks."""

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

from frieren import sounds
from frieren.errors import VideoError
from frieren.evaluation.protocol import FrontEnd
from frieren.evaluation.scorers.cache import Arrays, FeatureCache
from frieren.evaluation.scorers.extractors import Extractor, load
from frieren.evaluation.scorers.resampling import resample_sinc
from frieren.files import file_hash

Item, Result = TypeVar("Item"), TypeVar("Result")
WINDOWS, WINDOW = "-windows", 0.96  # what such an extractor's name ends in, and seconds


class InWindows:
    """An extractor that hears a sound piece by piece, for FAD: one row per 0.96 s, as VGGish has.

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
    """By name: one of `extractors.EXTRACTORS`, with "-windows" behind it to hear by the window.

    Raises:
        WeightsError: if there is none, or its weights are not here.
    """
    whole = load(name.removesuffix(WINDOWS))
    return InWindows(whole) if name.endswith(WINDOWS) else whole


@dataclass(frozen=True)
class Heard:
    """One sound as networks heard it.

    Attributes:
        file: SHA-256 of the file.
        seconds: length of what was heard.
        features: by the network's name.
    """

    file: str
    seconds: float
    features: Mapping[str, Arrays]


@dataclass(frozen=True)
class Features:
    """What one network heard in many sounds.

    Attributes:
        rows: [R, D] float32, embeddings of all sounds, one after the other.
        owner: [R] the sound that each row comes from.
        logits: [N, K] float32, or None.
    """

    rows: np.ndarray
    owner: np.ndarray
    logits: np.ndarray | None


def gather(heard: Sequence[Heard], name: str) -> Features:
    """The features of sounds by one network."""
    parts = [one.features[name] for one in heard]
    owner = np.repeat(np.arange(len(parts)), [len(part["embedding"]) for part in parts])
    logits = np.stack([part["logits"] for part in parts]) if "logits" in parts[0] else None
    return Features(np.concatenate([part["embedding"] for part in parts]), owner, logits)


class Listener:
    """Networks behind one front end.

    Args:
        extractors: the networks.
        front: what a file goes through before they hear it.
        cache: where features are kept.
    """

    def __init__(self, extractors: Sequence[Extractor], front: FrontEnd, cache: FeatureCache) -> None:
        self.extractors, self.front, self.cache = extractors, front, cache
        self.hash = lru_cache(maxsize=None)(file_hash)
        self.read = lru_cache(maxsize=8)(read_finite)  # a judge hears what an extractor has just heard

    def through(self, front: FrontEnd) -> Listener:
        """The same behind another front end; files that are in memory are so for both."""
        other = copy.copy(self)
        other.front = front
        return other

    def hear(self, path: Path, seconds: float | None = None) -> Heard:
        """What all the networks hear in one file.

        Args:
            seconds: the sound is cut to this length; None leaves it whole.

        Raises:
            VideoError: the file is no sound, holds none, or one that is not finite.
            OSError: the file cannot be read at all.
        """
        return Heard(
            self.hash(path),
            self.length(path, seconds),
            {one.name: self.features(one, path, seconds) for one in self.extractors},
        )

    def settings(self, path: Path, seconds: float | None, roll: float = 0.0) -> dict[str, Any]:
        """What the wave that a network hears depends on."""
        return {"file": self.hash(path), "front": dataclasses.asdict(self.front), "seconds": seconds, "roll": roll}

    def length(self, path: Path, seconds: float | None = None) -> float:
        """Seconds that are heard of a file."""
        key = FeatureCache.key(length=self.hash(path))
        kept = self.cache.get(key)
        if kept is None:
            channels, rate = self.read(path)
            kept = {"seconds": np.array(channels.shape[1] / rate)}
            self.cache.put(key, kept)
        whole = float(kept["seconds"])
        return whole if seconds is None else min(whole, seconds)

    def features(self, extractor: Extractor, path: Path, seconds: float | None) -> Arrays:
        """What one network hears in a file."""
        key = FeatureCache.key(network=(extractor.name, extractor.digest), **self.settings(path, seconds))
        kept = self.cache.get(key)
        if kept is None:
            with torch.inference_mode():
                heard = extractor(self.wave(path, extractor.sample_rate, seconds))
            kept = {name: value.numpy() for name, value in heard.items()}
            self.cache.put(key, kept)
        return kept

    def wave(self, path: Path, sample_rate: int, seconds: float | None, roll: float = 0.0) -> Tensor:
        """The wave [S] that a network hears; rolled around by `roll` seconds, to the later."""
        return front_wave(*self.read(path), sample_rate, self.front, seconds).roll(round(roll * sample_rate))


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of `work` in order, one item per thread: small networks gain little from threads of torch's own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def read_finite(path: Path) -> tuple[np.ndarray, int]:
    """A sound [C, S] and its rate.

    Raises:
        VideoError: the file is no sound, holds none, or one that is not finite.
    """
    channels, rate = sounds.read_channels(path)
    if not np.isfinite(channels).all():
        raise VideoError(f"{path}: holds samples that are not finite; make it again")
    return channels, rate


def front_wave(channels: np.ndarray, rate: int, target: int, front: FrontEnd, seconds: float | None = None) -> Tensor:
    """The wave [S'] at `target` samples per second that a network hears, of a sound [C, S] at `rate`."""
    if seconds is not None and front.crop_first:
        channels = channels[:, : round(seconds * rate)]
    wave = channels[0] if front.channel == "first" else channels.mean(axis=0)
    if front.centred:
        wave = wave - wave.mean()
    resample: Callable[..., Tensor] = {
        "sinc-hann": lambda wave: resample_sinc(torch.from_numpy(wave.copy()), rate, target),
        "soxr": lambda wave: torch.from_numpy(sounds.resample(wave, rate, target).copy()),
    }[front.resampler]
    heard = resample(wave)
    if seconds is not None:
        heard = heard[: round(seconds * target)]
    return torch.nn.functional.pad(heard, (0, max(0, round(front.shortest * target) - len(heard))))
