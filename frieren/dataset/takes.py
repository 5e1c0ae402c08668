"""Recordings in memory: their waves, the instants at which they sound anew, and the single hits between these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frieren import sounds
from frieren.categories import categories
from frieren.dataset.recordings import Recording, RecordingsError, read_recordings

Wave = NDArray[np.float32]

STRENGTH_RANGE = 30.0  # dB from the strength 0 to the strength 1
HOP = 64  # samples (4 ms) of the envelope by which an onset is placed
BEFORE, AFTER = 0.06, 0.04  # s around a detected onset in which its rise is looked for
RISE = 0.2  # share of the rise that has been passed at an onset
LEAD = 0.008  # s of a hit before its onset
LONGEST = 2.5  # s of a hit
FADE = 0.02  # s over which a hit that is cut is faded out


def gain(strength: float) -> float:
    """Amplitude of a strike of a strength, 1 for the hardest."""
    return float(10 ** (STRENGTH_RANGE * (strength - 1) / 20))


def strength(amplitude: float) -> float:
    """Strength 0..1 of an amplitude that is 1 for the hardest strike."""
    return float(np.clip(1 + 20 * np.log10(max(amplitude, 1e-6)) / STRENGTH_RANGE, 0, 1))


@dataclass(frozen=True)
class Take:
    """A recording, read.

    Attributes:
        wave: [S], its peak is 1.
        rate: samples a second.
        onsets: [N] s at which something sounds anew, ascending.
    """

    wave: Wave
    rate: int
    onsets: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.wave) / self.rate

    @cached_property
    def strengths(self) -> tuple[float, ...]:
        """Strength of each onset, by the peak until the next one against the loudest of all."""
        edges = [*(self.onsets * self.rate).astype(int), len(self.wave)]
        peaks = [float(np.abs(self.wave[a:b]).max(initial=0.0)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        return tuple(strength(peak / max([*peaks, 1e-6])) for peak in peaks)

    @cached_property
    def hits(self) -> tuple[Wave, ...]:
        """What sounds from each onset to the next, from LEAD before it on, its peak 1; faint ones are left out."""
        found = []
        edges = [*self.onsets, self.seconds + 2 * LEAD]
        for start, end, force in zip(edges[:-1], edges[1:], self.strengths, strict=True):
            if force <= 0.2 or end - start < 0.04:
                continue
            first, last = round((start - LEAD) * self.rate), round(min(end - 2 * LEAD, start + LONGEST) * self.rate)
            hit = self.wave[max(first, 0) : last].copy()
            hit = np.pad(hit, (max(-first, 0), 0))
            fade = min(len(hit) // 4, round(FADE * self.rate))
            hit[len(hit) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            if (peak := float(np.abs(hit).max(initial=0.0))) > 1e-3:
                found.append(hit / peak)
        return tuple(found)


class TakeLibrary:
    """The recordings of one split by category; each is read when it is first asked for, and kept."""

    def __init__(self, recordings: Iterable[Recording], rate: int) -> None:
        """
        Args:
            recordings: those that have a category are used.
            rate: samples a second of the waves.

        Raises:
            RecordingsError: none has a category.
        """
        self.rate = rate
        self.by_category: dict[str, list[Recording]] = {}
        for one in recordings:
            if one.category:
                self.by_category.setdefault(one.category, []).append(one)
        if not self.by_category:
            raise RecordingsError("no recording has a category of the table; see frieren/assets/categories.csv")
        self.names = tuple(each.name for each in categories() if each.name in self.by_category)
        self._takes: dict[Path, Take] = {}

    @classmethod
    def read(cls, folders: Sequence[Path], split: str, rate: int) -> TakeLibrary:
        """The recordings of a split below some folders; of all of them if no recording has a split."""
        found = read_recordings(*folders)
        if any(one.split for one in found):
            found = [one for one in found if one.split == split]
        return cls(found, rate)

    def take(self, recording: Recording) -> Take:
        """A recording, read.

        Raises:
            RecordingsError: it cannot be decoded.
        """
        if recording.path not in self._takes:
            wave = sounds.read(recording.path, self.rate)
            wave = wave / max(float(np.abs(wave).max(initial=0.0)), 1e-4)
            known = np.array(recording.onsets, np.float64)
            self._takes[recording.path] = Take(wave, self.rate, known if len(known) else find_onsets(wave, self.rate))
        return self._takes[recording.path]


def compile_detector() -> None:
    """Has numba compile librosa's detector, and keep it on disk.

    Processes that do so at the same time may leave a cache there that crashes whoever loads it.
    """
    find_onsets(np.random.default_rng(0).standard_normal(16_000).astype(np.float32), 16_000)


def find_onsets(wave: Wave, rate: int) -> NDArray[np.float64]:
    """Instants in s at which a wave [S] sounds anew: librosa's onsets, each moved to where its level begins to rise."""
    import librosa

    if len(wave) < rate // 10:
        return np.zeros(1)
    found = librosa.onset.onset_detect(y=wave, sr=rate, hop_length=2 * HOP, units="time", delta=0.1)
    envelope = np.abs(wave[: len(wave) // HOP * HOP]).reshape(-1, HOP).max(1)
    placed: list[float] = []
    for time in found:
        first, last = int(max(time - BEFORE, 0) * rate) // HOP, int((time + AFTER) * rate) // HOP + 1
        part = envelope[first:last]
        top = int(part.argmax())
        low = float(part[: top + 1].min())
        rising = np.flatnonzero(part[: top + 1] <= low + RISE * (float(part[top]) - low))
        placed.append((first + (int(rising[-1]) + 1 if len(rising) else 0)) * HOP / rate)
    if not placed or placed[0] > 0.1 and envelope[: max(1, int(0.05 * rate) // HOP)].max() > 0.1:
        placed.insert(0, 0.0)  # a recording that was cut to its first sound has no rise to be found
    times = np.unique(np.array(placed))
    return times[np.diff(times, prepend=-1.0) > 0.03]
