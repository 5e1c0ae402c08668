"""How well generated sounds keep time with true ones: onsets, their offset, the envelope, beside ceiling and chance.

Works on any pairs of sounds, or of a sound and the instants at which something is known to happen:

    timing = scores(generated, reference, 16_000)
    print(timing.markdown())

    onset_precision, onset_recall, onset_f1   pooled over clips, one-to-one optimal matching within 50 and 100 ms
    onset_ap                                  average precision of what the detector finds, ranked by its strength; mean
    envelope                                  correlation of the levels in dB; mean

Ceiling is the detector on the true sound; 1 where all that is known is the true sound itself, as it is held against
what the detector hears there. Chance is the generated sound under random circular shifts, another one for every clip:
its rhythm stays, its place in time goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np

from frieren.evaluation.intervals import Interval, median, ratio
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector, Onsets, signed_errors
from frieren.evaluation.timing.ranking import average_precision, hits_by_rank, ranked

WINDOWS = (0.050, 0.100)  # seconds; CondFoleyGen and Greatest Hits use the wider
SHIFTS = 1000  # random circular shifts of every clip
UPPER = 0.95  # quantile of chance that is shown beside its mean


class Heard(NamedTuple):
    """What is measured of one wave: onsets, level [T] in dB, length in seconds."""

    onsets: Onsets
    level: np.ndarray
    seconds: float


class Truth(NamedTuple):
    """What a generated sound is held against.

    Attributes:
        onsets: [N] seconds, increasing; None where onsets are not to be measured.
        level: [T] dB; None where the envelope is not to be measured.
        heard: the true sound, for the ceiling; None if there is none.
    """

    onsets: np.ndarray | None
    level: np.ndarray | None
    heard: Heard | None


class Part(NamedTuple):
    """One clip's share in a score that is a ratio of two sums over clips.

    Attributes:
        values: [1 + shifts] the numerator as it is, then for every shift.
        weight: the denominator, which no shift changes; 0 leaves the clip out.
    """

    values: np.ndarray
    weight: float


@dataclass(frozen=True)
class Measured:
    """One score over C clips: sum of `values` over sum of `weights`.

    Attributes:
        values: [C, 1 + shifts] numerators, as they are and for every shift.
        weights: [C] denominators.
        ceiling_values, ceiling_weights: [C] the same of the true sound; NaN for a clip without one.
    """

    values: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    ceiling_values: np.ndarray = field(repr=False)
    ceiling_weights: np.ndarray = field(repr=False)

    @property
    def value(self) -> float:
        """The score; NaN if no clip counts."""
        return float(_over(self.values[:, 0].sum(), self.weights.sum()))

    @property
    def ceiling(self) -> float:
        """The score of the true sound; NaN if a clip has none, or none counts."""
        return float(_over(self.ceiling_values.sum(), self.ceiling_weights.sum()))

    @property
    def chance(self) -> np.ndarray:
        """[shifts] the score when every clip is shifted at random."""
        return _over(self.values[:, 1:].sum(axis=0), self.weights.sum())

    @property
    def chance_mean(self) -> float:
        """What a sound of the same rhythm reaches that does not know when."""
        return float(self.chance.mean()) if self.chance.size else np.nan

    @property
    def chance_upper(self) -> float:
        """The 95th percentile of chance: a score below it may be luck."""
        return float(np.quantile(self.chance, UPPER)) if self.chance.size else np.nan

    @property
    def left_out(self) -> int:
        """Clips for which the score is not defined."""
        return int((self.weights == 0).sum())

    def per_clip(self) -> np.ndarray:
        """[C] the score of each clip alone; NaN where it is not defined."""
        return _over(self.values[:, 0], self.weights)

    def interval(self, videos: Sequence) -> Interval | None:
        """Percentile bootstrap over videos, [C] of which name the video of each clip; None if fewer than two count."""
        keep = self.weights > 0
        if not keep.any():
            return None
        return ratio(self.values[keep, 0], self.weights[keep], np.asarray(videos)[keep])

    def of(self, clips: Sequence[int]) -> Measured:
        """The same score of some of the clips."""
        return Measured(*(getattr(self, name)[clips] for name in self.__dataclass_fields__))


def _over(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top` / `bottom`, NaN where the latter is 0."""
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=np.asarray(bottom) != 0)


@dataclass(frozen=True)
class Timing:
    """All scores of C clips.

    Attributes:
        videos: [C] the video of each clip; samples of one video share it, and intervals keep them together.
        measured: the scores by name, as in "onset_f1_50ms".
        offsets: [C] of [P] seconds: generated minus true, of the onsets matched within the widest window.
        ceiling_offsets: the same of the detector on the true sound.
        chance_offsets: [C] of [Q, 2]: number of the shift, and seconds, of those matched under any of the shifts.
        detector, meter, windows, shifts, seed: the settings.
    """

    videos: tuple[str, ...]
    measured: dict[str, Measured]
    offsets: tuple[np.ndarray, ...] = field(repr=False)
    ceiling_offsets: tuple[np.ndarray, ...] = field(repr=False)
    chance_offsets: tuple[np.ndarray, ...] = field(repr=False)
    detector: OnsetDetector
    meter: Envelope
    windows: tuple[float, ...]
    shifts: int
    seed: int

    def of(self, clips: Sequence[int]) -> Timing:
        """The scores of some of the clips, by position."""
        return replace(
            self,
            videos=tuple(self.videos[clip] for clip in clips),
            measured={name: one.of(clips) for name, one in self.measured.items()},
            offsets=tuple(self.offsets[clip] for clip in clips),
            ceiling_offsets=tuple(self.ceiling_offsets[clip] for clip in clips),
            chance_offsets=tuple(self.chance_offsets[clip] for clip in clips),
        )

    def offset_interval(self) -> Interval | None:
        """Percentile bootstrap of the median offset over videos, ms; None if fewer than two have a matched onset."""
        videos = np.repeat(np.asarray(self.videos), [len(one) for one in self.offsets])
        return median(1e3 * np.concatenate([*self.offsets, []]), videos)

    def offset_chance(self) -> np.ndarray:
        """[shifts] the median offset in ms when every clip is shifted at random; without shifts that match nothing."""
        from scipy.ndimage import median as medians

        shift, seconds = np.concatenate([*self.chance_offsets, np.zeros((0, 2))]).T
        return 1e3 * medians(seconds, shift, np.unique(shift)) if len(shift) else np.zeros(0)

    def rows(self) -> Iterator[dict[str, str | float]]:
        """One row per clip: its video, every score (NaN where not defined), the median offset in ms."""
        alone = {name: one.per_clip() for name, one in self.measured.items()}
        for clip, (video, offsets) in enumerate(zip(self.videos, self.offsets, strict=True)):
            scores_ = {name: float(values[clip]) for name, values in alone.items()}
            yield {"video": video, **scores_, "offset_ms": quartiles(offsets)[1]}

    def summary(self) -> dict[str, dict[str, float | int | list[float] | None]]:
        """Every score with all that stands beside it, ready for JSON: what is not defined is None."""
        body = {}
        for name, one in self.measured.items():
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
        """What the scores hang on, ready for JSON."""
        names = ("detector", "meter")
        plain = {name: getattr(self, name) for name in ("windows", "shifts", "seed")}
        return {name: asdict(getattr(self, name)) for name in names} | plain

    def markdown(self) -> str:
        """The table of scores that are defined for any clip, and the offsets in words."""
        body = self.summary()
        lines = [HEADING, RULE]
        lines += [table_row(name, body[name]) for name in self.measured if body[name]["clips"]]
        for name, what in (("offset_ms", "generated"), ("ceiling_offset_ms", "true sound (ceiling)")):
            if pairs := body[name]["pairs"]:
                low, high = body[name]["quartiles"]
                lines += [
                    "",
                    f"Offset of the {what}, {pairs} onsets matched within {1e3 * max(self.windows):g} ms: "
                    f"median {body[name]['median']:+.1f} ms, half of them in {low:+.1f} … {high:+.1f} ms.",
                ]
        return "\n".join(lines) + "\n"


HEADING = "| score | value | 95 % interval | ceiling | chance | chance, 95th percentile | clips | left out |"
RULE = "|---|--:|--:|--:|--:|--:|--:|--:|"


def table_row(name: str, one: dict) -> str:
    """One entry of `Timing.summary` as a row under HEADING."""
    low_high = " … ".join(f"{bound:.3f}" for bound in one["interval"] or ())
    numbers = " | ".join("–" if one[k] is None else f"{one[k]:.3f}" for k in ("ceiling", "chance_mean", "chance_95"))
    value = "–" if one["value"] is None else f"{one['value']:.3f}"
    return f"| {name} | {value} | {low_high} | {numbers} | {one['clips']} | {one['left_out']} |"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def quartiles(offsets: np.ndarray) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of offsets [P] in seconds, in ms; NaN of none."""
    return tuple(1e3 * np.quantile(offsets, (0.25, 0.5, 0.75))) if len(offsets) else (np.nan,) * 3


def scores(
    generated: Iterable[np.ndarray],
    reference: Iterable[np.ndarray | Truth],
    sample_rate: int,
    *,
    videos: Iterable[str] | None = None,
    detector: OnsetDetector | None = None,
    meter: Envelope | None = None,
    windows: Sequence[float] = WINDOWS,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> Timing:
    """Score pairs of sounds, one after another, so that they need not fit in memory.

    Args:
        generated: waves [S].
        reference: to each the true wave, both cut to the shorter of the two, or what is known of it, such as
            `Truth(onsets=true_onsets(events)[0], level=None, heard=None)`.
        sample_rate: of all waves.
        videos: the video of each pair; its number by default.
        detector, meter: the fixed ones by default.
        windows: seconds within which an onset is met.
        shifts: how many random circular shifts.
        seed: of the shifts.

    Raises:
        ValueError: if there is no pair, or not as many of one as of the other.
    """
    detector, meter = detector or OnsetDetector(), meter or Envelope()

    def pairs() -> Iterator[tuple[Heard, Truth]]:
        for wave, other in zip(generated, reference, strict=True):
            if isinstance(other, Truth):
                yield listen(wave, sample_rate, detector, meter), other
            else:
                length = min(len(wave), len(other))
                true = listen(other[:length], sample_rate, detector, meter)
                truth = Truth(true.onsets.times, true.level, true)
                yield listen(wave[:length], sample_rate, detector, meter), truth

    return compare(
        pairs(), videos=videos, detector=detector, meter=meter, windows=tuple(windows), shifts=shifts, seed=seed
    )


def listen(wave: np.ndarray, sample_rate: int, detector: OnsetDetector, meter: Envelope) -> Heard:
    """Onsets and level of `wave` [S]."""
    return Heard(detector.find(wave, sample_rate), meter.level(wave, sample_rate), len(wave) / sample_rate)


def compare(
    pairs: Iterable[tuple[Heard, Truth]],
    *,
    videos: Iterable[str] | None = None,
    detector: OnsetDetector,
    meter: Envelope,
    windows: tuple[float, ...] = WINDOWS,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> Timing:
    """What `scores` does, of sounds that have been listened to with `detector` and `meter`."""
    rng, none = np.random.default_rng(seed), np.zeros(0)
    parts, ceilings, offsets, ceiling_offsets, chance_offsets = [], [], [], [], []
    for made, truth in pairs:
        turns = rng.uniform(0.0, 1.0, shifts)  # of the clip's length
        parts.append(_parts(made, truth, turns, meter, windows))
        ceilings.append(None if truth.heard is None else _parts(truth.heard, truth, none, meter, windows))
        offsets.append(_offsets(truth, made.onsets.times, max(windows)))
        best = none if truth.heard is None else truth.heard.onsets.times
        ceiling_offsets.append(_offsets(truth, best, max(windows)))
        shifted = [_offsets(truth, times, max(windows)) for times in _turned(made.onsets.times, turns, made.seconds)]
        of_shift = np.repeat(np.arange(shifts), [len(one) for one in shifted])
        chance_offsets.append(np.stack([of_shift, np.concatenate([*shifted, none])], axis=1))
    if not parts:
        raise ValueError("there is no pair of sounds to score; give at least one")
    missing = Part(np.full(1, np.nan), np.nan)
    measured = {}
    for name in parts[0]:
        own, best = [one[name] for one in parts], [one[name] if one else missing for one in ceilings]
        measured[name] = Measured(
            np.array([part.values for part in own]), np.array([part.weight for part in own]),
            np.array([part.values[0] for part in best]), np.array([part.weight for part in best]),
        )  # fmt: skip
    names = tuple(str(index) for index in range(len(parts))) if videos is None else tuple(videos)
    if len(names) != len(parts):
        raise ValueError(f"{len(names)} videos for {len(parts)} pairs of sounds; give one for each pair")
    found = (tuple(some) for some in (offsets, ceiling_offsets, chance_offsets))
    return Timing(names, measured, *found, detector, meter, windows, shifts, seed)


def _parts(
    made: Heard, truth: Truth, turns: np.ndarray, meter: Envelope, windows: tuple[float, ...]
) -> dict[str, Part]:
    """One clip's share in every score, as it is and turned by every one of `turns` [D] (0..1 of its length)."""
    parts = {}
    nothing = Part(np.zeros(1 + len(turns)), 0)
    times = ranked(made.onsets)
    found = np.vstack([times, _turned(times, turns, made.seconds)])  # [1 + D, K]
    for window in windows:
        names = [f"onset_{rate}_{1e3 * window:g}ms" for rate in ("precision", "recall", "f1", "ap")]
        if truth.onsets is None:
            parts |= dict.fromkeys(names, nothing)
            continue
        by_rank = hits_by_rank(truth.onsets, found, window)
        hits = by_rank.max(axis=1, initial=0).astype(float)
        true, count = len(truth.onsets), len(times)
        # Without a true onset there is no recall to step along, and no average precision.
        ap = Part(average_precision(by_rank, true), 1) if true else nothing
        parts |= zip(names, (Part(hits, count), Part(hits, true), Part(hits, (true + count) / 2), ap), strict=True)
    parts["envelope"] = nothing
    if truth.level is not None:
        by_shift = meter.correlation(made.level, truth.level)
        if not np.isnan(by_shift).any():
            parts["envelope"] = Part(by_shift[(np.append(0.0, turns) * len(by_shift)).astype(int)], 1)
    return parts


def _turned(times: np.ndarray, turns: np.ndarray, seconds: float) -> np.ndarray:
    """Instants [K] in a clip of `seconds`, moved around by every one of `turns` [D] (0..1 of its length), [D, K]."""
    return (times + turns[:, None] * seconds) % seconds


def _offsets(truth: Truth, times: np.ndarray, window: float) -> np.ndarray:
    true = () if truth.onsets is None else truth.onsets
    return np.array(signed_errors(true, times, window))
