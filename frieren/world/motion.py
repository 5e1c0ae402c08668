"""Motion on a continuous time axis: rhythms, strokes toward a surface, gusts, and what a contact leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

GAP = 0.132  # seconds between two contacts of a clip, at least
HEAD, TAIL = 0.1, 0.15  # seconds without a contact at the start and at the end

IN, OUT, SMOOTH = 0, 1, 2  # accelerating, slowing down, both


@dataclass(frozen=True)
class Path:
    """A value over time between knots, each stretch with its own ease.

    Attributes:
        times: [N] seconds, increasing.
        values: [N].
        eases: [N - 1] IN, OUT or SMOOTH.
        power: exponent of the accelerating and the slowing stretches.
    """

    times: np.ndarray
    values: np.ndarray
    eases: np.ndarray
    power: float = 2.0

    def at(self, times: np.ndarray) -> np.ndarray:
        """The value at each time [F]; constant outside the knots."""
        if len(self.times) == 1:
            return np.full(np.shape(times), self.values[0])
        index = np.clip(np.searchsorted(self.times, times, "right") - 1, 0, len(self.times) - 2)
        start, stop = self.times[index], self.times[index + 1]
        s = np.clip((times - start) / (stop - start), 0, 1)
        ease = self.eases[index]
        slow = 1 - (1 - s) ** self.power
        e = np.where(ease == IN, s**self.power, np.where(ease == OUT, slow, s * s * (3 - 2 * s)))
        return self.values[index] + (self.values[index + 1] - self.values[index]) * e


def path(knots: list[tuple[float, float, int]], power: float = 2.0) -> Path:
    """Path through (time, value, ease of the stretch that ends here); knots that do not move on in time are dropped."""
    kept = [knots[0]]
    for knot in knots[1:]:
        if knot[0] > kept[-1][0] + 1e-4:
            kept.append(knot)
    times, values, eases = (np.array(column) for column in zip(*kept, strict=True))
    return Path(times.astype(float), values.astype(float), eases[1:], power)


def glide(times: Iterable[float], values: Iterable[float]) -> Path:
    """Path that moves smoothly from value to value."""
    return path([(t, v, SMOOTH) for t, v in zip(times, values, strict=True)])


def visits(times: np.ndarray, x: np.ndarray, home: float) -> Path:
    """Path that stays at x[i] from shortly before times[i] until shortly after; at `home` if there are none."""
    if len(times) == 0:
        return glide([0.0], [home])
    gap = np.diff(times, prepend=times[0] - 1, append=times[-1] + 1)
    knots = np.stack([times - 0.2 * gap[:-1], times + 0.25 * gap[1:]], 1).ravel()
    return glide(knots, np.repeat(x, 2))


def spaced(times: Iterable[float], taken: Iterable[float]) -> np.ndarray:
    """Those of `times` (increasing) that keep the gap to `taken` and to the ones kept before."""
    kept: list[float] = []
    for time in times:
        if all(abs(time - other) >= GAP for other in taken) and (not kept or time - kept[-1] >= GAP):
            kept.append(float(time))
    return np.array(kept)


def rhythm(rng: np.random.Generator, seconds: float, taken: Sequence[float] = ()) -> np.ndarray:
    """Contact times in bursts of 1 to 3.5 a second, with pauses and jitter: a start does not tell what follows."""
    times, now = [], HEAD - rng.uniform(0, 1.5)
    while now < seconds:
        rate, jitter = rng.uniform(1.0, 3.6), rng.uniform(0.08, 0.45)
        for _ in range(int(rng.integers(2, 9))):
            now += max(GAP + 0.01, np.exp(rng.normal(0, jitter)) / rate)
            times.append(now)
        now += rng.uniform(0.3, 1.8)
    times = [time for time in times if HEAD < time < seconds - TAIL]
    return spaced(times, taken)


def bursts(
    rng: np.random.Generator,
    seconds: float,
    taken: Sequence[float] = (),
    *,
    gap: tuple[float, float],
    count: tuple[int, int],
    jitter: tuple[float, float],
    wait: tuple[float, float],
) -> np.ndarray:
    """Contact times in runs, each at its own tempo, with waits between.

    Args:
        gap: (low, high) seconds between the contacts of a run.
        count: (fewest, most) contacts of a run.
        jitter: (low, high) spread of the log of its gaps.
        wait: (low, high) seconds between two runs.
    """
    times, now = [], HEAD - rng.uniform(0, 1.2)
    while now < seconds:
        pace, loose = rng.uniform(*gap), rng.uniform(*jitter)
        for _ in range(int(rng.integers(count[0], count[1] + 1))):
            now += max(GAP + 0.004, pace * np.exp(rng.normal(0, loose)))
            times.append(now)
        now += rng.uniform(*wait)
    return spaced([time for time in times if HEAD < time < seconds - TAIL], taken)


def strokes(
    rng: np.random.Generator, contacts: np.ndarray, seconds: float, *, hold: float = 0.0
) -> tuple[Path, np.ndarray]:
    """Height of a tool over its surface, 0 at each contact and never else, with swings that stop short in the pauses.

    Returns:
        the path (1 is a full swing) and the strength of each contact [N], 0.35..1, from the size of its swing.
    """
    rest, quick = rng.uniform(0.35, 0.75), rng.uniform(0.1, 0.19)
    lazy, knots, strengths = rng.uniform(0.2, 0.9), [(-2.0, rest, SMOOTH)], []

    def feint(start: float, stop: float) -> None:
        """Swings that turn back above the surface."""
        now = start + rng.uniform(0.05, 0.4)
        while rng.random() < lazy and now + 0.75 < stop:
            lift, fall = rng.uniform(0.15, 0.35), rng.uniform(0.1, 0.25)
            knots.append((now, rest, SMOOTH))
            knots.append((now + lift, rng.uniform(0.6, 1.0), SMOOTH))
            knots.append((now + lift + fall, rng.uniform(0.2, 0.4), SMOOTH))
            now += lift + fall + rng.uniform(0.12, 0.25)
            knots.append((now, rest, SMOOTH))
            now += rng.uniform(0.05, 0.8)

    before = -2.0
    for time in contacts:
        gap = time - before
        fall = min(0.42 * gap, quick)
        swing = min(rng.uniform(0.42, 1.0), 0.35 + 1.6 * gap)
        strengths.append(float(np.clip(0.35 + 0.65 * (swing - 0.42) / 0.58, 0.35, 1)))
        held = min(hold, 0.2 * gap) if before >= 0 else 0.0
        if held:
            knots.append((before + held, 0.0, SMOOTH))
        if gap > 0.65:
            if before >= 0:
                knots.append((before + held + 0.2, rest, OUT))
            lift = rng.uniform(0.12, 0.25)
            feint(before + held + 0.2 if before >= 0 else 0.0, time - fall - lift)
            knots.append((time - fall - lift, rest, SMOOTH))
            knots.append((time - fall, swing, SMOOTH))
        else:
            knots.append((time - fall, swing, OUT))
        knots.append((float(time), 0.0, IN))
        before = time
    if len(contacts):
        knots.append((before + hold, 0.0, SMOOTH))
        knots.append((before + hold + 0.25, rest, OUT))
    feint(max(before, 0.0) + 0.5, seconds + 0.5)
    return path(knots, rng.uniform(1.5, 2.3)), np.array(strengths)


def since(times: np.ndarray, contacts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since the last contact [F] (huge before the first) and its number [F]."""
    if len(contacts) == 0:
        return np.full(len(times), 1e3), np.zeros(len(times), int)
    index = np.searchsorted(contacts, times, "right") - 1
    age = np.where(index < 0, 1e3, times - contacts[np.maximum(index, 0)])
    return age, np.maximum(index, 0)


def ring(times: np.ndarray, contacts: np.ndarray, strengths: np.ndarray, hz: float, decay: float) -> np.ndarray:
    """What a struck body does [F]: a swing of `hz` (0: a bare dent) from each contact on, dying in `decay` seconds."""
    if len(contacts) == 0:
        return np.zeros(len(times))
    age = times[:, None] - np.asarray(contacts)[None]
    tail = np.asarray(strengths) * np.exp(-np.maximum(age, 0) / decay) * (age >= 0)
    return (tail * np.cos(2 * np.pi * hz * age)).sum(1)


def drift(rng: np.random.Generator, times: np.ndarray, slow: float, fast: float, waves: int = 4) -> np.ndarray:
    """A smooth random curve [F] of about unit size: a few sines between `slow` and `fast` Hz."""
    hz = rng.uniform(slow, fast, waves)
    phase = rng.uniform(0, 2 * np.pi, waves)
    return np.sin(2 * np.pi * times[:, None] * hz + phase).sum(1) / np.sqrt(waves / 2)


def swells(rng: np.random.Generator, times: np.ndarray, calm: float = 0.3) -> np.ndarray:
    """A curve [N] in 0..1 that rises, stays and falls at random, with a calm share at (almost) zero."""
    knots, now = [], -rng.uniform(0, 1.5)
    while now < times[-1] + 2:
        level = 0.0 if rng.random() < calm else rng.uniform(0.25, 1.0)
        knots.append((now, level, SMOOTH))
        now += rng.uniform(0.1, 1.2)
        if rng.random() < 0.5:
            knots.append((now, level, SMOOTH))
            now += rng.uniform(0.3, 1.0)
    return path(knots).at(times)
