"""Timing scores of generated sounds by their references: onsets, their offset, the envelope; with ceiling and chance.

Works on any pairs of sounds, or of a sound and the times at which something is known to happen:

    timing = scores(generated, reference, 16_000)
    print(timing.markdown())

    onset_precision, onset_recall, onset_f1   pooled over clips, one-to-one optimal matching within 50 and 100 ms
    onset_ap                                  average precision of the detector's onsets, ranked by strength; mean
    envelope                                  correlation of the levels in dB; mean

The ceiling is the score of the reference sound; it is 1 where the reference onsets are those that the detector finds in
it. Chance is the generated sound under random circular shifts, another one for every clip: rhythm and rate stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from frieren.evaluation.intervals import Interval, median
from frieren.evaluation.tables import decimals, span, table
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, signed_errors
from frieren.evaluation.timing.pooled import NO_CEILING, ClipTerms, PooledScore
from frieren.evaluation.timing.protocol import (
    SHIFTS,
    UPPER,
    WINDOWS,
    ReferenceTiming,
    SoundTiming,
    analyse,
)
from frieren.evaluation.timing.ranking import average_precision, hits_by_rank, ranked

HEADING = ("score", "value", "95 % interval", "ceiling", "chance", "its 95 %")


@dataclass(frozen=True)
class TimingScores:
    """All scores of C clips.

    Attributes:
        videos: [C] the video of each clip; samples of one video share it, and intervals keep them together.
        pooled: the scores by name, as in "onset_f1_50ms".
        offsets: [C] of [P] seconds: generated minus reference, of the onsets matched within the widest window.
        ceiling_offsets: the same of the reference sound.
        chance_offsets: [C] of [Q, 2]: index of the shift, and seconds, of those matched under any of the shifts.
        detector, meter, windows, shifts, seed: the settings.
    """

    videos: tuple[str, ...]
    pooled: dict[str, PooledScore]
    offsets: tuple[np.ndarray, ...] = field(repr=False)
    ceiling_offsets: tuple[np.ndarray, ...] = field(repr=False)
    chance_offsets: tuple[np.ndarray, ...] = field(repr=False)
    detector: OnsetDetector
    meter: Envelope
    windows: tuple[float, ...]
    shifts: int
    seed: int

    def subset(self, clips: Sequence[int]) -> TimingScores:
        """Return the scores of some of the clips, by index."""
        return replace(
            self,
            videos=tuple(self.videos[clip] for clip in clips),
            pooled={name: one.subset(clips) for name, one in self.pooled.items()},
            offsets=tuple(self.offsets[clip] for clip in clips),
            ceiling_offsets=tuple(self.ceiling_offsets[clip] for clip in clips),
            chance_offsets=tuple(self.chance_offsets[clip] for clip in clips),
        )

    def terms(self, name: str) -> tuple[tuple[str, float, float], ...]:
        """Return (video, numerator, denominator) of one of the pooled scores, of the videos for which it is defined."""
        one, found = self.pooled[name], dict[str, tuple[float, float]]()
        for video, value, weight in zip(self.videos, one.values[:, 0].tolist(), one.weights.tolist(), strict=True):
            if weight:
                sums = found.get(video, (0.0, 0.0))
                found[video] = (sums[0] + value, sums[1] + weight)
        return tuple((video, *sums) for video, sums in sorted(found.items()))

    def offset_interval(self) -> Interval | None:
        """Percentile bootstrap of the median offset over videos, ms; None if fewer than two have a matched onset."""
        videos = np.repeat(np.asarray(self.videos), [len(one) for one in self.offsets])
        return median(1e3 * np.concatenate([*self.offsets, []]), videos)

    def offset_chance(self) -> np.ndarray:
        """[shifts] the median offset in ms when every clip is shifted at random; without shifts that match nothing."""
        from scipy.ndimage import median as medians

        shift, seconds = np.concatenate([*self.chance_offsets, np.zeros((0, 2))]).T
        return 1e3 * np.asarray(medians(seconds, shift, np.unique(shift))) if len(shift) else np.zeros(0)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return every score with interval, ceiling, chance and counts, ready for JSON: None is not defined."""
        body: dict[str, dict[str, Any]] = {}
        for name, one in self.pooled.items():
            interval = one.interval(self.videos)
            body[name] = {
                "value": _known(one.value), "interval": list(interval[:2]) if interval else None,
                "ceiling": _known(one.ceiling), "chance_mean": _known(one.chance_mean),
                "chance_95": _known(one.chance_upper),
                "clips": len(self.videos) - one.left_out, "left_out": one.left_out,
            }  # fmt: skip
        for name, offsets in (("offset_ms", self.offsets), ("ceiling_offset_ms", self.ceiling_offsets)):
            low, middle, high = (_known(value) for value in quartiles(np.concatenate([*offsets, []])))
            body[name] = {"median": middle, "quartiles": [low, high], "pairs": sum(map(len, offsets))}
        interval, chance = self.offset_interval(), self.offset_chance()
        body["offset_ms"] |= {
            "interval": list(interval[:2]) if interval else None,
            "chance_mean": float(chance.mean()) if chance.size else None,
            "chance_95": float(np.quantile(chance, UPPER)) if chance.size else None,
        }
        return body

    def settings(self) -> dict[str, object]:
        """Return the settings that the scores depend on, ready for JSON."""
        return {
            "detector": asdict(self.detector), "meter": asdict(self.meter),
            "windows": self.windows, "shifts": self.shifts, "seed": self.seed,
        }  # fmt: skip

    def markdown(self) -> str:
        """Return a table of the scores that are defined for any clip, then the counts and the offsets."""
        body = self.summary()
        rows = {name: body[name] for name in self.pooled if body[name]["clips"]}
        lines = [table(HEADING, (score_row(name, row) for name, row in rows.items()))]
        lines += [f"{name}: {clips_of(row)}.\n" for name, row in rows.items() if row["left_out"]]
        for name, what in (("offset_ms", "generated"), ("ceiling_offset_ms", "reference (ceiling)")):
            if pairs := body[name]["pairs"]:
                low, high = body[name]["quartiles"]
                lines.append(
                    f"Offset, {what}: median {body[name]['median']:+.1f} ms, quartiles {low:+.1f} … {high:+.1f} ms\n"
                    f"({pairs} onsets matched within {1e3 * max(self.windows):g} ms).\n"
                )
        return "\n".join(lines)


def score_row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    """Return one entry of `TimingScores.summary` as a row under HEADING."""
    numbers = (decimals(row[key]) for key in ("ceiling", "chance_mean", "chance_95"))
    return (name, decimals(row["value"]), span(row["interval"]), *numbers)


def clips_of(row: dict[str, Any]) -> str:
    """Return how many clips an entry of `TimingScores.summary` is of."""
    left_out = f", {row['left_out']} left out as not defined" if row["left_out"] else ""
    return f"{row['clips']} clips{left_out}"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def quartiles(offsets: np.ndarray) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of offsets [P] in seconds, in ms; NaN without offsets."""
    if not len(offsets):
        return np.nan, np.nan, np.nan
    low, middle, high = 1e3 * np.quantile(offsets, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def scores(
    generated: Iterable[np.ndarray],
    reference: Iterable[np.ndarray | ReferenceTiming],
    sample_rate: int,
    *,
    videos: Iterable[str] | None = None,
    detector: OnsetDetector | None = None,
    meter: Envelope | None = None,
    windows: Sequence[float] = WINDOWS,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> TimingScores:
    """Score pairs of sounds, one after another, so that they need not fit in memory.

    Args:
        generated: waves [S].
        reference: to each the reference wave, both cut to the shorter of the two, or what is known of it, such as
            `ReferenceTiming(onsets=event_onsets(events), level=None, sound=None)`.
        sample_rate: of all waves.
        videos: the video of each pair; its index by default.
        detector, meter: the fixed ones by default.
        windows: seconds within which onsets match.
        shifts: how many random circular shifts.
        seed: of the shifts.

    Raises:
        ValueError: if there is no pair, or not as many of one as of the other.
    """
    detector, meter = detector or OnsetDetector(), meter or Envelope()

    def pairs() -> Iterator[tuple[SoundTiming, ReferenceTiming]]:
        for wave, other in zip(generated, reference, strict=True):
            if isinstance(other, ReferenceTiming):
                yield analyse(wave, sample_rate, detector, meter), other
            else:
                length = min(len(wave), len(other))
                sound = analyse(other[:length], sample_rate, detector, meter)
                known = ReferenceTiming(sound.onsets.times, sound.level, sound)
                yield analyse(wave[:length], sample_rate, detector, meter), known

    return compare(
        pairs(), videos=videos, detector=detector, meter=meter, windows=tuple(windows), shifts=shifts, seed=seed
    )


def compare(
    pairs: Iterable[tuple[SoundTiming, ReferenceTiming]],
    *,
    videos: Iterable[str] | None = None,
    detector: OnsetDetector,
    meter: Envelope,
    windows: tuple[float, ...] = WINDOWS,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> TimingScores:
    """Score pairs as `scores` does, of sounds that were analysed with `detector` and `meter`."""
    rng, none, widest = np.random.default_rng(seed), np.zeros(0), max(windows)
    terms: list[dict[str, ClipTerms]] = []
    ceilings: list[dict[str, ClipTerms] | None] = []
    offsets, ceiling_offsets, chance_offsets = [], [], []
    for generated, reference in pairs:
        shift = rng.uniform(0.0, 1.0, shifts)  # of the clip's length
        terms.append(_terms(generated, reference, shift, meter, windows))
        sound, times = reference.sound, generated.onsets.times
        ceilings.append(None if sound is None else _terms(sound, reference, none, meter, windows))
        offsets.append(_offsets(reference, times, widest))
        ceiling_offsets.append(_offsets(reference, none if sound is None else sound.onsets.times, widest))
        shifted = [_offsets(reference, row, widest) for row in _shifted(times, shift, generated.seconds)]
        of_shift = np.repeat(np.arange(shifts), [len(one) for one in shifted])
        chance_offsets.append(np.stack([of_shift, np.concatenate([*shifted, none])], axis=1))
    if not terms:
        raise ValueError("there is no pair of sounds to score; give at least one")
    pooled = {
        name: PooledScore.of([one[name] for one in terms], [one[name] if one else NO_CEILING for one in ceilings])
        for name in terms[0]
    }
    names = tuple(str(index) for index in range(len(terms))) if videos is None else tuple(videos)
    if len(names) != len(terms):
        raise ValueError(f"{len(names)} videos for {len(terms)} pairs of sounds; give one for each pair")
    found = (tuple(offsets), tuple(ceiling_offsets), tuple(chance_offsets))
    return TimingScores(names, pooled, *found, detector, meter, windows, shifts, seed)


def _terms(
    generated: SoundTiming,
    reference: ReferenceTiming,
    shift: np.ndarray,
    meter: Envelope,
    windows: tuple[float, ...],
) -> dict[str, ClipTerms]:
    """One clip's terms in every score, as it is and circularly shifted by each of `shift` [D] (0..1 of its length)."""
    terms: dict[str, ClipTerms] = {}
    nothing = ClipTerms(np.zeros(1 + len(shift)), 0)
    times = ranked(generated.onsets)
    found = np.vstack([times, _shifted(times, shift, generated.seconds)])  # [1 + D, K]
    for window in windows:
        names = [f"onset_{rate}_{1e3 * window:g}ms" for rate in ("precision", "recall", "f1", "ap")]
        if reference.onsets is None:
            terms |= dict.fromkeys(names, nothing)
            continue
        by_rank = hits_by_rank(reference.onsets, found, window)
        hits = by_rank.max(axis=1, initial=0).astype(float)
        onsets, count = len(reference.onsets), len(times)
        # Without a reference onset there is no recall to step along, and no average precision.
        ap = ClipTerms(average_precision(by_rank, onsets), 1) if onsets else nothing
        weights = (count, onsets, (onsets + count) / 2)
        terms |= zip(names, (*(ClipTerms(hits, weight) for weight in weights), ap), strict=True)
    terms["envelope"] = nothing
    if reference.level is not None:
        by_shift = meter.correlation(generated.level, reference.level)
        if not np.isnan(by_shift).any():
            terms["envelope"] = ClipTerms(by_shift[(np.append(0.0, shift) * len(by_shift)).astype(int)], 1)
    return terms


def _shifted(times: np.ndarray, shift: np.ndarray, seconds: float) -> np.ndarray:
    """Onsets [K] in a clip of `seconds`, circularly shifted by each of `shift` [D] (0..1 of its length), [D, K]."""
    return (times + shift[:, None] * seconds) % seconds


def _offsets(reference: ReferenceTiming, times: np.ndarray, window: float) -> np.ndarray:
    return signed_errors(np.zeros(0) if reference.onsets is None else reference.onsets, times, window)
