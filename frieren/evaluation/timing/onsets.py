"""When something is struck: an onset detector, and the optimal matching of two lists of instants.

The detector is fixed on true sounds before anything generated is measured, and is the same for every model. Its
constants were set on single sources of `world.voices` in all rooms (84 sounds, and half of them through a mel
spectrogram and back, which roughens them) and confirmed unchanged on clips of `valid`. To see the scores and the sweep:

    python -c "from frieren.evaluation.timing.onsets import tuning; print(tuning('valid', sweep=True))"

The novelty is a SuperFlux (Boeck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013):
the rise of a log-mel spectrogram over a short lag, against a frequency-widened past so that beating and gliding
partials do not count, averaged over the bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from frieren.world import Clip, Event

WINDOW = 0.060  # seconds: a detection this close to a true instant is right (about two video frames at 30 a second)
MERGE = 0.050  # seconds: true events closer than this to the one before sound as one
ROUNDING = 1e-9  # seconds that a window is wider, so that a distance of exactly the window is within it


class Onsets(NamedTuple):
    """What a detector finds in one wave.

    Attributes:
        times: [K] seconds, increasing.
        strengths: [K] dB by which each rises above the local level: the detector's confidence.
    """

    times: np.ndarray
    strengths: np.ndarray


@dataclass(frozen=True)
class OnsetDetector:
    """Sharp onsets of struck things. Every constant that changes the result is a field.

    Levels are relative to the wave's own (per band, its noise floor; overall, its loudest mel cell), so that a gain
    changes nothing. On true sounds of `valid` (112 clips, 1377 events, world version 1) F1 is 1.000 for every kind but
    piano (0.997); precision 1.000, recall 0.999, signed error -0.4 ms with a spread of 1.2 ms. `delta` lies in the
    middle of a plateau: any of 1..4 dB gives a pooled F1 of at least 0.997.

    Attributes:
        hop: seconds between two values of the novelty.
        frame: seconds of one analysis window (Hann).
        bands: mel bands from `low` Hz to `high` Hz (or to half the sample rate).
        lag: hops over which a rise is measured.
        widen: bands of the maximum filter on the past (odd; 1 is a plain flux).
        quantile: of a band's power over time; its noise floor.
        lift: the noise floor is raised by this factor, which flattens the fluctuation of steady noise.
        range: dB below the loudest cell at which every band is cut.
        cap: dB at most that one band adds, so that a bang out of silence does not outweigh its neighbours.
        delta: dB of mean rise above the local median that an onset needs.
        surround: seconds on either side whose median is the local level of the novelty.
        wait: seconds between two onsets at least; also the half-width in which an onset is the maximum.
        offset: seconds added to the time of the novelty's maximum; makes the mean signed error zero on true sounds.
        silence: a wave whose peak is below this has no onset.
    """

    hop: float = 0.008
    frame: float = 0.032
    bands: int = 48
    low: float = 60.0
    high: float = 8000.0
    lag: int = 3
    widen: int = 3
    quantile: float = 0.10
    lift: float = 4.0
    range: float = 60.0
    cap: float = 20.0
    delta: float = 2.0
    surround: float = 0.10
    wait: float = 0.040
    offset: float = -0.018
    silence: float = 1e-4

    def detect(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        """Onset times [K] of `wave` [S], in seconds, increasing; raises as `find` does."""
        return self.find(wave, sample_rate).times

    def find(self, wave: np.ndarray, sample_rate: int) -> Onsets:
        """The onsets of `wave` [S] with their strengths.

        Raises:
            ValueError: if the wave is not one row of finite samples.
        """
        wave = np.asarray(wave, dtype=np.float64)
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise ValueError(f"wave must be one row of finite samples [S], got shape {wave.shape}; mix to mono first")
        if wave.size == 0 or np.abs(wave).max() < self.silence:
            return Onsets(np.zeros(0), np.zeros(0))
        novelty = self.novelty(wave, sample_rate)
        hop = self._hop_samples(sample_rate) / sample_rate
        positions, strengths = self._peaks(novelty, hop)
        return Onsets(np.clip(positions * hop + self.offset, 0.0, wave.size / sample_rate), strengths)

    def novelty(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        """Mean rise over the bands in dB, [T], one value every `hop` seconds from 0, of `wave` [S]."""
        from scipy.ndimage import maximum_filter1d

        level = self._levels(wave, sample_rate)  # [bands, T]
        past = maximum_filter1d(level, self.widen, axis=0)
        rise = np.zeros_like(level)
        rise[:, self.lag :] = level[:, self.lag :] - past[:, : -self.lag]
        return np.clip(rise, 0.0, self.cap).mean(axis=0)

    def _hop_samples(self, sample_rate: int) -> int:
        return max(1, round(self.hop * sample_rate))

    def _levels(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        """Log-mel power over a lifted noise floor, dB, [bands, T]."""
        import librosa

        size = round(self.frame * sample_rate)
        # One window of past, turned about the first sample so that level and slope go on: neither steady noise nor a
        # tone that is already there may look like something that begins at 0. Column n ends at n hops, its own time.
        past = {"mode": "reflect", "reflect_type": "odd"} if wave.size > size else {"mode": "constant"}
        wave = np.pad(wave, (size, 0), **past)
        spectrum = librosa.stft(wave, n_fft=size, hop_length=self._hop_samples(sample_rate), center=False)
        mel = librosa.filters.mel(
            sr=sample_rate,
            n_fft=size,
            n_mels=self.bands,
            fmin=self.low,
            fmax=min(self.high, sample_rate / 2),
            norm=None,
        )
        power = mel @ np.abs(spectrum) ** 2
        floor = np.quantile(power, self.quantile, axis=1, keepdims=True) * self.lift
        return 10.0 * np.log10(power + np.maximum(floor, power.max() * 10.0 ** (-self.range / 10.0)))

    def _peaks(self, novelty: np.ndarray, hop: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions [K] of the novelty's peaks, in hops and refined by a parabola, and their heights [K] in dB."""
        from scipy.ndimage import maximum_filter1d, median_filter

        reach = max(1, round(self.wait / hop))
        height = novelty - median_filter(novelty, 2 * round(self.surround / hop) + 1, mode="nearest")
        highest = novelty >= maximum_filter1d(novelty, 2 * reach + 1)
        strong = height >= self.delta
        kept: list[int] = []
        for index in np.flatnonzero(highest & strong):
            if not kept or index - kept[-1] > reach:  # a plateau of equal values is one onset
                kept.append(int(index))
        return np.array([_vertex(novelty, index) for index in kept], dtype=np.float64), height[kept]


def _vertex(values: np.ndarray, index: int) -> float:
    """Where the parabola through `values` at index - 1, index, index + 1 has its top; `index` itself at the edges."""
    if not 0 < index < len(values) - 1:
        return float(index)
    before, top, after = values[index - 1 : index + 2]
    bend = before - 2.0 * top + after
    return float(index) if bend >= 0 else index + 0.5 * (before - after) / bend


@dataclass(frozen=True)
class Score:
    """Counts of one comparison, which add up over clips; the rates follow from them.

    Attributes:
        hits: pairs of a true and a found instant within the window, one to one.
        true: number of true instants.
        found: number of found instants.
    """

    hits: int = 0
    true: int = 0
    found: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.hits + other.hits, self.true + other.true, self.found + other.found)

    @property
    def precision(self) -> float:
        """Part of the found instants that are right; 0 if none is found."""
        return self.hits / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Part of the true instants that are found; 0 if there is none."""
        return self.hits / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """2 hits / (true + found); 1 if nothing was to be found and nothing is."""
        return 2.0 * self.hits / (self.true + self.found) if self.true + self.found else 1.0


def match(true: Sequence[float], found: Sequence[float], window: float = WINDOW) -> list[tuple[int, int]]:
    """Pairs (index in `true`, index in `found`) at most `window` seconds apart, each index at most once.

    The number of pairs is the largest possible, and among such matchings the summed distance is the smallest.
    """
    from scipy.optimize import linear_sum_assignment

    true, found = np.asarray(true, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if not true.size or not found.size:
        return []
    distance = np.abs(true[:, None] - found[None, :])
    allowed = distance <= window + ROUNDING
    # One forbidden pair costs more than all allowed ones together, so the count of allowed pairs comes first.
    dear = window * (min(distance.shape) + 1) + 1.0
    rows, columns = linear_sum_assignment(np.where(allowed, distance, dear))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


def score(true: Sequence[float], found: Sequence[float], window: float = WINDOW) -> Score:
    """The counts of one clip: `true` and `found` instants in seconds, matched one to one within `window`."""
    return Score(len(match(true, found, window)), len(true), len(found))


def signed_errors(true: Sequence[float], found: Sequence[float], window: float = WINDOW) -> list[float]:
    """Found minus true of every matched pair, in seconds: negative is early."""
    return [float(found[j] - true[i]) for i, j in match(true, found, window)]


def merge(times: Iterable[float], apart: float = MERGE) -> list[int]:
    """Positions in `times` (seconds, increasing) without those less than `apart` after the last one kept."""
    kept: list[tuple[int, float]] = []
    for index, time in enumerate(times):
        if not kept or time - kept[-1][1] >= apart:
            kept.append((index, time))
    return [index for index, _ in kept]


def true_onsets(events: Iterable[Event], apart: float = MERGE) -> tuple[np.ndarray, list[str]]:
    """Instants [N] in seconds at which something is struck, and the kind of each; close ones merged into the first."""
    events = sorted(events, key=lambda event: event.time)
    events = [events[index] for index in merge([event.time for event in events], apart)]
    return np.array([event.time for event in events]), [event.kind for event in events]


def score_by_kind(
    true: Sequence[float], kinds: Sequence[str], found: Sequence[float], window: float = WINDOW
) -> dict[str, Score]:
    """The counts of one clip by kind. `true` [N] seconds and `kinds` [N] go together, `found` [K] has no kind.

    A found instant that is matched counts for the kind that it matches; a false one for the kind of the true instant
    nearest in time. The counts of all kinds add up to those of `score`.
    """
    true, found = np.asarray(true), np.asarray(found)
    owner = {j: kinds[i] for i, j in match(true, found, window)}
    counts = {kind: Score(true=kinds.count(kind), hits=sum(k == kind for k in owner.values())) for kind in set(kinds)}
    for j, time in enumerate(found):
        kind = owner.get(j) or (kinds[int(np.abs(true - time).argmin())] if len(true) else "nothing")
        counts[kind] = counts.get(kind, Score()) + Score(found=1)
    return counts


@dataclass(frozen=True)
class Fit:
    """How one detector does on true sounds: pooled and by kind, with the signed errors of its hits in seconds."""

    detector: OnsetDetector
    pooled: Score
    by_kind: dict[str, Score]
    errors: np.ndarray = field(repr=False)


def fit(clips: Sequence[Clip], sample_rate: int, detector: OnsetDetector) -> Fit:
    """Score `detector` on the true sounds of `clips`, each counted under the kind of its events."""
    kinds: dict[str, Score] = {}
    errors: list[float] = []
    for clip in clips:
        true, labels = true_onsets(clip.events)
        found = detector.detect(clip.wave, sample_rate)
        errors += signed_errors(true, found)
        for kind, counts in score_by_kind(true, labels, found).items():
            kinds[kind] = kinds.get(kind, Score()) + counts
    return Fit(detector, sum(kinds.values(), Score()), dict(sorted(kinds.items())), np.array(errors))


def tune(clips: Sequence[Clip], sample_rate: int, **grid: Sequence[float]) -> list[Fit]:
    """Score every combination of the fields in `grid` on true sounds, best first.

    "Best" is the pooled F1 plus that of the worst kind, so that no kind is given up for the others.
    """
    fits = [
        fit(clips, sample_rate, replace(OnsetDetector(), **dict(zip(grid, values, strict=True))))
        for values in product(*grid.values())
    ]
    return sorted(fits, key=lambda one: one.pooled.f1 + min(s.f1 for s in one.by_kind.values()), reverse=True)


GRID = {"delta": (1.0, 1.5, 2.0, 2.5, 3.0), "lag": (1, 2, 3), "lift": (1.0, 4.0, 16.0)}


def describe(one: Fit) -> str:
    """The scores of one detector by kind, one line each, then the timing of its hits."""
    lines = [
        f"{kind:<8} events {s.true:5d}  precision {s.precision:.3f}  recall {s.recall:.3f}  F1 {s.f1:.3f}"
        for kind, s in {**one.by_kind, "all": one.pooled}.items()
    ]
    if one.errors.size:
        lines.append(f"signed error {1e3 * one.errors.mean():+.1f} ms, spread {1e3 * one.errors.std():.1f} ms")
    return "\n".join(lines)


def tuning(split: str = "valid", count: int = 112, *, sweep: bool = False) -> str:
    """How the detector does on the true sounds of `count` impact clips, as text; with `sweep` also all of GRID."""
    from frieren.clock import Clock
    from frieren.evaluation.timing.clipsets import impact_clips

    clock = Clock()
    clips = impact_clips(split, count, clock, picture=False)
    lines = []
    for one in tune(clips, clock.sample_rate, **GRID) if sweep else []:
        values = "  ".join(f"{name} {getattr(one.detector, name):g}" for name in GRID)
        lines.append(f"{values}  F1 {one.pooled.f1:.3f}  worst {min(s.f1 for s in one.by_kind.values()):.3f}")
    return "\n".join([*lines, describe(fit(clips, clock.sample_rate, OnsetDetector()))])
