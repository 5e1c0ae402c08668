"""Movements along one axis: eased segments between knots, strokes that strike at given instants, and rhythms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
RATE = 240  # samples per second of every path
SHORTEST = 0.02  # s, shortest part of a movement


def smooth(u: Curve) -> Curve:
    """Minimum jerk: the way a hand moves when nothing stops it (Flash and Hogan 1985)."""
    return u**3 * (10 - 15 * u + 6 * u * u)


def speeding(power: float) -> Callable[[Curve], Curve]:
    """Starts from rest and is fastest at its end."""
    return lambda u: u**power


def slowing(power: float) -> Callable[[Curve], Curve]:
    """Starts fast and comes to rest."""
    return lambda u: 1 - (1 - u) ** power


def striking(share: float) -> Callable[[Curve], Curve]:
    """The first `share` of a minimum-jerk movement: it is aimed beyond the contact and stopped by it."""
    end = float(smooth(np.array(share)))
    return lambda u: smooth(u * share) / end


def steady(u: Curve) -> Curve:
    """Constant speed."""
    return u


@dataclass
class Line:
    """A value over time, piece by piece; it stays where the last piece has left it."""

    start: float
    pieces: list[tuple[float, float, float, float, Callable[[Curve], Curve]]] = field(default_factory=list)
    time: float = 0.0
    value: float = 0.0

    def __post_init__(self) -> None:
        self.value = self.start

    def to(self, time: float, value: float, ease: Callable[[Curve], Curve] = smooth) -> Line:
        """Moves to `value` by `time`, which is put off until the last piece is over."""
        time = max(time, self.time + 1e-3)
        self.pieces.append((self.time, time, self.value, value, ease))
        self.time, self.value = time, value
        return self

    def wait(self, time: float) -> Line:
        """Stays until `time`."""
        self.time = max(self.time, time)
        return self

    def at(self, times: Curve) -> Curve:
        """The value at each time."""
        values = np.full(times.shape, self.start)
        for begin, end, first, last, ease in self.pieces:
            inside = (times >= begin) & (times < end)
            values[inside] = first + (last - first) * ease((times[inside] - begin) / (end - begin))
            values[times >= end] = last
        return values


@dataclass(frozen=True)
class Manner:
    """How somebody strikes.

    Attributes:
        down: s, from the top to the contact.
        power: of the ease of the fall: 3 is late and fast, 1 steady; below 1 it is the share of a smooth movement
            that the contact leaves (`striking`).
        rebound: share of the height that it springs back.
        dwell: s at the contact.
        follow: how far it goes beyond the contact, as a share of the height.
        early: 0 prepares as late as possible, 1 right after the last blow.
        rest: height between blows that are far apart.
        lift: power of the raising; 0 is smooth, more stops more abruptly at the top, less starts more abruptly.
        hurry: share of raisings that are quick, with a stay at the top.
        height: of a full blow.
        spread: relative scatter of everything.
    """

    down: float
    power: float
    rebound: float
    dwell: float
    follow: float
    early: float
    rest: float
    lift: float
    hurry: float
    height: float
    spread: float


def draw_manner(rng: np.random.Generator) -> Manner:
    """Draws a manner of striking: mostly a person's (aimed beyond the contact, stopped there), sometimes any other."""
    person = rng.random() < 0.8
    rebounds = rng.random() < (0.15 if person else 0.6)
    return Manner(
        down=float(np.exp(rng.uniform(*np.log((0.1, 0.3) if person else (0.04, 0.35))))),
        power=float(rng.uniform(0.6, 1.0) if person else rng.uniform(1.0, 3.0)),
        rebound=float(rng.uniform(0.05, 0.35) if person else rng.uniform(0.1, 0.9)) if rebounds else 0.0,
        dwell=float(rng.uniform(0.06, 0.2) if person else 0.0)
        + (0.0 if rebounds else float(rng.choice([0.0, rng.exponential(0.12)]))),
        follow=float(rng.choice([0.0, rng.uniform(0, 0.12)])),
        early=float(rng.choice([0.0, 1.0, rng.random()])),
        rest=float(rng.choice([0.05, 0.3, 0.7, 1.0])),
        lift=float(rng.choice([0.0, rng.uniform(1.2, 3.0), rng.uniform(-3.0, -1.3)], p=[0.5, 0.25, 0.25])),
        hurry=float(rng.choice([0.1, 0.5, 1.0])),
        height=float(rng.uniform(0.5, 1.0)),
        spread=float(rng.uniform(0.02, 0.3)),
    )


@dataclass(frozen=True)
class Blow:
    """One stroke: when it arrives, how hard (0..1), and whether it is a "hit" or only looks like one.

    A "miss" turns smoothly in the air; a "feint" is fast but comes to rest before the contact; a "lift" goes up fast
    and stops abruptly; a "touch" comes to rest on the surface without a sound.
    """

    time: float
    strength: float
    kind: str = "hit"


DECEPTIONS = ("miss", "feint", "lift", "touch")


def swing(rng: np.random.Generator, blows: Sequence[Blow], manner: Manner) -> Line:
    """Height over the contact (0) that arrives at the contact at every hit, exactly.

    Args:
        rng: scatter of heights and durations.
        blows: in order of time.
        manner: of all of them.
    """

    def scattered(value: float) -> float:
        return float(value * np.exp(manner.spread * rng.standard_normal()))

    line = Line(manner.rest * manner.height)
    for blow in blows:
        room = blow.time - line.time
        if room < SHORTEST:
            continue
        height = min(scattered(manner.height) * (0.2 + 0.8 * blow.strength), 1.3)
        height *= min(1.0, (room / 0.25) ** 0.7 + 0.1)  # a roll has no time to reach out
        down = min(scattered(manner.down), 0.5 * room)
        if blow.kind == "lift":
            _raise_abruptly(rng, line, blow.time, down, height)
            continue
        _prepare(rng, line, blow.time - down, height, manner, scattered)
        if blow.kind == "hit":
            line.to(blow.time, 0.0, speeding(manner.power) if manner.power > 1 else striking(manner.power))
            _recover(rng, line, height, down, manner, scattered)
        elif blow.kind == "miss":
            low = rng.uniform(-0.3, 0.5) * height
            line.to(blow.time, low).to(blow.time + scattered(down), rng.uniform(0.4, 1.0) * height)
        elif blow.kind == "feint":
            line.to(blow.time, rng.uniform(0.1, 0.5) * height, slowing(rng.uniform(1.5, 3)))
        else:
            line.to(blow.time + 0.1, 0.0, slowing(rng.uniform(2, 4))).wait(blow.time + rng.uniform(0.1, 0.4))
    if rng.random() < 0.7:
        line.wait(line.time + rng.uniform(0, 0.5)).to(line.time + rng.uniform(0.2, 0.8), manner.rest * manner.height)
    return line


def _raise_abruptly(rng: np.random.Generator, line: Line, time: float, rise: float, height: float) -> None:
    line.wait(time - rise)
    line.to(time, max(height, line.value + 0.3), speeding(rng.uniform(1.0, 2.5)))
    line.wait(time + rng.choice([0.0, rng.uniform(0.05, 0.4)]))


def _prepare(
    rng: np.random.Generator, line: Line, top: float, height: float, manner: Manner, scattered: Callable[[float], float]
) -> None:
    """From wherever it is to the top of the next stroke."""
    room = top - line.time
    if room > 0.8 and rng.random() < 0.6:  # far apart: goes to rest in between
        line.to(line.time + min(scattered(0.4), 0.4 * room), manner.rest * manner.height)
        room = top - line.time
    quick = rng.random() < manner.hurry
    rise = min(scattered(0.18), room) if quick else room * rng.uniform(0.5, 1)
    if rng.random() >= manner.early:
        line.wait(top - rise - (min(rng.uniform(0, 0.25), room - rise) if quick else 0.0))
    ease = speeding(manner.lift) if manner.lift > 0 else slowing(-manner.lift) if manner.lift < 0 else smooth
    line.to(line.time + max(rise, 1e-3), height, ease).wait(top)


def _recover(
    rng: np.random.Generator,
    line: Line,
    height: float,
    down: float,
    manner: Manner,
    scattered: Callable[[float], float],
) -> None:
    """What follows a contact: a way on and back, a rebound, or nothing."""
    if manner.follow:
        line.to(line.time + 0.25 * down, -manner.follow * height, slowing(2))
        line.to(line.time + scattered(0.06), 0.0)
    if manner.dwell:
        line.wait(line.time + scattered(manner.dwell))
    if manner.rebound:
        back = min(manner.rebound * rng.uniform(0.6, 1.2), 1.0)
        line.to(line.time + scattered(down * (0.6 + back)), back * height, slowing(rng.uniform(1.5, 2.5)))
        if rng.random() < 0.15:  # falls back without a sound worth the name
            line.to(line.time + 0.12, 0.0).wait(line.time + 0.1)


def draw_rhythm(rng: np.random.Generator, seconds: float, shortest: float = 0.06) -> Curve:
    """Instants of blows as people place them: even, scattered, in groups, as rolls, alone, or none."""
    style = rng.choice(
        ["even", "scattered", "groups", "roll", "single", "changing"], p=[0.3, 0.25, 0.2, 0.08, 0.1, 0.07]
    )
    first = rng.uniform(0.05, 0.9)
    period = float(np.exp(rng.uniform(np.log(0.16), np.log(1.4))))
    if style == "single":
        times = np.array([rng.uniform(0.2, seconds - 0.1)])
    elif style == "even":
        times = np.arange(first, seconds, period)
        times = times + rng.uniform(0, 0.15) * period * rng.standard_normal(len(times))
        times = times[rng.random(len(times)) > rng.choice([0, 0, 0.2])]
    elif style == "scattered":
        times = first + np.cumsum(np.maximum(rng.exponential(period, 40), rng.uniform(0.1, 0.3)))
    elif style == "groups":
        inner = np.exp(rng.uniform(np.log(0.09), np.log(0.35)))
        starts = np.arange(first, seconds, inner * 4 + period)
        times = np.concatenate([start + inner * np.arange(rng.integers(2, 5)) for start in starts])
        times = times + 0.05 * inner * rng.standard_normal(len(times))
    elif style == "roll":
        inner, start = rng.uniform(0.07, 0.14), first
        times = np.concatenate(
            [np.arange(start + k, start + k + rng.uniform(0.3, 1.0), inner) for k in np.arange(0, seconds, 1.4)]
        )
    else:
        times = first + np.cumsum(period * np.geomspace(rng.uniform(0.5, 1), rng.uniform(1, 2), 20))
    times = np.sort(times)
    times = times[(times > 0.03) & (times < seconds)]
    keep = np.concatenate([[True], np.diff(times) >= shortest]) if len(times) else np.zeros(0, bool)
    return times[keep]


def wander(rng: np.random.Generator, times: Curve, cutoff: float, size: float) -> Curve:
    """Smooth noise of standard deviation `size` without components faster than `cutoff` Hz."""
    count = max(2, int(times[-1] * cutoff * 2) + 4)
    knots = rng.standard_normal(count)
    place = times / max(times[-1], 1e-6) * (count - 3) + 1
    index = np.clip(place.astype(int), 1, count - 3)
    u = place - index
    a, b, c, d = knots[index - 1], knots[index], knots[index + 1], knots[np.minimum(index + 2, count - 1)]
    cubic: Curve = b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))
    cubic *= size
    return cubic


def shake(times: Curve, instants: Sequence[float], sizes: Sequence[float], frequency: float, decay: float) -> Curve:
    """Sum of damped oscillations that begin at the instants."""
    total: Curve = np.zeros_like(times)
    for instant, size in zip(instants, sizes, strict=True):
        after = np.maximum(times - instant, 0)
        total += size * np.exp(-after / decay) * np.sin(2 * np.pi * frequency * after) * (times >= instant)
    return total
