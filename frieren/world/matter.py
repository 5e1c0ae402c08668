"""What things are made of: material, colour and pitch, and the marks that a contact leaves in the air."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frieren.world.canvas import Array, Brush, Gloss, Number
from frieren.world.kind import Task
from frieren.world.motion import since
from frieren.world.script import Activity, Event, Source

GRID = 50.0  # points per second of an activity

TONES = {
    "wood": (0.62, 0.42, 0.24),
    "metal": (0.62, 0.65, 0.70),
    "stone": (0.52, 0.50, 0.47),
    "glass": (0.70, 0.85, 0.88),
    "rubber": (0.75, 0.25, 0.22),
    "plastic": (0.30, 0.60, 0.80),
    "skin": (0.90, 0.86, 0.76),
    "water": (0.25, 0.45, 0.65),
    "bag": (0.35, 0.28, 0.22),
    "string": (0.92, 0.90, 0.86),
    "bronze": (0.72, 0.52, 0.25),
    "steel": (0.66, 0.70, 0.74),
    "ceramic": (0.88, 0.84, 0.78),
    "leather": (0.55, 0.27, 0.18),
    "hand": (0.80, 0.58, 0.46),
    "leaves": (0.25, 0.50, 0.22),
}


def material(task: Task, rng: np.random.Generator) -> str:
    """One of those that the task allows."""
    return str(rng.choice(task.materials or task.kind.materials))


def vivid(rng: np.random.Generator) -> np.ndarray:
    """Any colour [3], bright ones less often than the muted ones that most real things have."""
    tone, pure = rng.uniform(0.05, 0.95, 3), rng.choice([0.15, 0.45, 1.0])
    grey = rng.uniform(0.1, 0.9)
    return grey + (tone - grey) * pure


def tinted(name: str, rng: np.random.Generator) -> np.ndarray:
    """A colour [3] that hints at the material, most of the time."""
    if name not in TONES or rng.random() < 0.25:
        return vivid(rng)
    return np.clip(np.array(TONES[name]) * rng.uniform(0.55, 1.3) + rng.normal(0, 0.06, 3), 0.02, 0.98)


def apart(colour: np.ndarray, other: np.ndarray, least: float = 0.3) -> np.ndarray:
    """`colour`, moved in brightness until it stands out against `other`."""
    gap = float(colour.mean() - other.mean())
    if abs(gap) >= least:
        return colour
    shift = (1 if other.mean() < 0.5 else -1) * least
    return np.clip(colour - gap + shift, 0.0, 1.0)


def contacts(
    task: Task, made_of: str, size: float, times: Array, strengths: Array, x: Number, y: Number
) -> tuple[Event, ...]:
    """Events at `times` [N], at positions in the source's own coordinates."""
    x, y = np.broadcast_to(x, len(times)), np.broadcast_to(y, len(times))
    tone = task.kind.pitch(size)
    return tuple(
        Event(task.kind.name, made_of, float(t), float(s), float(a), float(b), True, tone)
        for t, s, a, b in zip(times, strengths, x, y, strict=True)
    )


def going(task: Task, made_of: str, grid: np.ndarray, loudness: Array, rate: Array) -> Activity | None:
    """The sound that goes on over `grid` [N] seconds; None of a mute source. Where it is not heard its rate is 0."""
    if task.mute:
        return None
    loudness = np.clip(loudness, 0.0, 1.0)
    return Activity(task.kind.name, made_of, grid, loudness, rate * (loudness > 0))


def timeline(task: Task) -> np.ndarray:
    """Seconds [N] at which an activity is written."""
    return np.arange(round(task.seconds * GRID) + 1) / GRID


@dataclass(frozen=True)
class Finish:
    """Shading (-1..1) and width of the outline (own units), which most shapes of a source share."""

    shade: float
    outline: float

    @property
    def gloss(self) -> Gloss:
        """What a brush takes of it."""
        return Gloss(shade=self.shade, outline=self.outline)


def finish(rng: np.random.Generator) -> Finish:
    """A random finish."""
    return Finish(float(rng.uniform(0, 0.45)), float(rng.choice([0.0, 0.0, 0.025, 0.035])))


def skin(rng: np.random.Generator) -> np.ndarray:
    """The colour [3] of somebody's hands."""
    return np.clip(np.array([0.85, 0.62, 0.5]) * rng.uniform(0.35, 1.15), 0, 1)


def struck(source: Source[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Times and strengths [N] of its contacts."""
    return np.array([event.time for event in source.events]), np.array([event.strength for event in source.events])


@dataclass(frozen=True)
class Spray:
    """How bits fly off a contact.

    Attributes:
        vx, vy: [N] own units per second; N may be 0.
        size: radius of a bit, own units.
        life: seconds.
        colour: [3].
        fall: own units per second squared.
        flash: radius of a flash, own units; 0 for none.
    """

    vx: Array
    vy: Array
    size: float
    life: float
    colour: Array
    fall: float
    flash: float


def spray(rng: np.random.Generator) -> Spray:
    """A random spray; about a quarter of the time no bits fly."""
    count = int(rng.integers(3, 8)) if rng.random() < 0.75 else 0
    angle = rng.uniform(-np.pi + 0.2, -0.2, count)
    speed = rng.uniform(0.8, 2.6, count)
    warm = np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.2, 1.0)])
    return Spray(
        vx=np.cos(angle) * speed,
        vy=np.sin(angle) * speed,
        size=rng.uniform(0.02, 0.07),
        life=rng.uniform(0.12, 0.4),
        colour=warm if rng.random() < 0.5 else vivid(rng),
        fall=rng.uniform(0, 9),
        flash=rng.uniform(0.1, 0.4) if rng.random() < 0.35 else 0.0,
    )


def burst(
    brush: Brush, bits: Spray, times: np.ndarray, hits: np.ndarray, strengths: np.ndarray, x: Number, y: Number
) -> None:
    """Paint the bits as they fly from the last contact, at x, y [N] in own coordinates."""
    age, index = since(times, hits)
    frames = np.flatnonzero(age < bits.life)
    if len(frames) == 0:
        return
    x, y = np.broadcast_to(x, len(hits))[index[frames]], np.broadcast_to(y, len(hits))[index[frames]]
    age, power = age[frames], strengths[index[frames]]
    left = 1 - age / bits.life
    if bits.flash:
        radius = bits.flash * power * (1.2 - 0.7 * left)
        brush.disc(x, y, radius, bits.colour, opacity=0.8 * left * left, frames=frames)
    count = len(bits.vx)
    if count:
        far = age * (0.5 + power)
        u = x + np.outer(bits.vx, far)
        v = y + np.outer(bits.vy, far) + bits.fall * age**2
        radius = np.tile(bits.size * (0.4 + 0.6 * left), count)
        brush.disc(
            u.ravel(), v.ravel(), radius, bits.colour, opacity=np.tile(left, count), frames=np.tile(frames, count)
        )


def placed(event: Event, x: float, y: float, visible: bool) -> Event:
    """The event at its place on screen."""
    return replace(event, x=float(x), y=float(y), visible=bool(visible))
