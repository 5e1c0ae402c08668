"""What one puppet does: its parts, the instants at which it strikes, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from frieren.world.puppets.paths import DECEPTIONS, RATE, Blow, Curve, Line, draw_rhythm, smooth
from frieren.world.puppets.stage import Look, Part, limb


@dataclass
class Act:
    """Parts from the back to the front, and what they do.

    Attributes:
        way: how it moves; a key of `WAYS`.
        parts: what is seen.
        blows: (time in s, strength 0..1) of every contact that sounds.
        going: loudness 0..1 of what sounds on, at `RATE`; empty if nothing does.
    """

    way: str
    parts: list[Part]
    blows: list[tuple[float, float]] = field(default_factory=list)
    going: Curve = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Place:
    """Where an act stands: its own origin, turned, scaled, mirrored and seen from an angle.

    Attributes:
        x, y: of its origin in the world.
        angle: by which it is turned, radians.
        size: world units of one unit of its own.
        mirror: 1 or -1.
        squash: factor on its own height, as seen from above or below.
    """

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    size: float = 1.0
    mirror: int = 1
    squash: float = 1.0

    def point(self, x: Curve | float, y: Curve | float) -> tuple[Curve, Curve]:
        """World position of a point of the act."""
        x, y = np.asarray(x, float) * self.mirror * self.size, np.asarray(y, float) * self.squash * self.size
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.x + cos * x - sin * y, self.y + sin * x + cos * y

    def turn(self, angle: Curve | float) -> Curve:
        """World angle of a direction of the act."""
        cos, sin = np.cos(angle) * self.mirror, np.sin(angle) * self.squash
        return np.unwrap(np.atleast_1d(np.arctan2(sin, cos))) + self.angle


@dataclass
class ActScene:
    """What an act is given: its random numbers, length, place, and instants of its blows if somebody else says them."""

    rng: np.random.Generator
    seconds: float
    place: Place
    instants: Sequence[tuple[float, float]] | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        self.t: Curve = np.arange(int(self.seconds * RATE) + 2) / RATE

    def blows(self, shortest: float = 0.06) -> list[Blow]:
        """Blows in a rhythm, some of which only look like one; the given instants if there are any."""
        rng = self.rng
        if self.instants is not None:
            return [Blow(time, strength) for time, strength in self.instants]
        times = draw_rhythm(rng, self.seconds, shortest)
        mean, spread = rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.35)
        strengths = np.clip(mean + spread * rng.standard_normal(len(times)), 0.05, 1)
        deceit = 1.0 if self.silent else rng.choice([0.0, rng.uniform(0.1, 0.6)], p=[0.55, 0.45])
        favourite = str(rng.choice(DECEPTIONS))
        blows = []
        for time, strength in zip(times, strengths, strict=True):
            kind = favourite if rng.random() < 0.6 else str(rng.choice(DECEPTIONS))
            blows.append(Blow(float(time), float(strength), kind if rng.random() < deceit else "hit"))
        return blows

    def look(self, contrast: float = 0.35) -> Look:
        """Draws a tone and a texture."""
        rng = self.rng
        grain = np.exp(rng.uniform(np.log(0.3), np.log(3))) / self.place.size
        tone, contrast = rng.uniform(0.1, 0.9), rng.uniform(0, contrast)
        return Look(float(tone), float(contrast), int(rng.integers(100)), float(grain))

    def part(
        self, shape: str, x: Curve | float, y: Curve | float, angle: Curve | float, half_x: float, half_y: float,
        look: Look | None = None,
    ) -> Part:  # fmt: skip
        """A part given in the act's own units; its look is drawn if it is not given."""
        wx, wy = self.place.point(x, y)
        size = self.place.size
        return Part(shape, wx, wy, self.place.turn(angle), half_x * size, half_y * size, look or self.look())

    def limb(
        self, x0: Curve | float, y0: Curve | float, x1: Curve | float, y1: Curve | float, width: float,
        look: Look | None = None,
    ) -> Part:  # fmt: skip
        """A limb between two points in the act's own units."""
        look = look or self.look()
        return limb(*self.place.point(x0, y0), *self.place.point(x1, y1), width * self.place.size, look)


def hits(blows: Sequence[Blow]) -> list[tuple[float, float]]:
    """Those that sound."""
    return [(blow.time, blow.strength) for blow in blows if blow.kind == "hit"]


def visits(rng: np.random.Generator, blows: Sequence[Blow], spread: float, way: float = 0.25) -> Line:
    """A coordinate that moves, between blows, to where the next one lands."""
    line = Line(float(rng.normal(0, spread)))
    for before, after in zip(blows, blows[1:], strict=False):
        gap = after.time - before.time
        line.wait(before.time + rng.uniform(0.1, 0.4) * gap)
        line.to(line.time + min(way, 0.5 * gap), float(rng.normal(0, spread)), smooth)
    return line


def lag(curve: Curve, seconds: float) -> Curve:
    """The curve, smoothed by what has been: what is dragged along."""
    n = max(1, int(seconds * RATE))
    padded = np.concatenate([np.full(n - 1, curve[0]), curve])
    return np.convolve(padded, np.ones(n) / n, "valid")
