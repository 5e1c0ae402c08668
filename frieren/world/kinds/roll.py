"""Roll: a ball or barrel on a plank that tips one way and the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import GRID, Finish, apart, finish, going, material, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import glide
from frieren.world.noises import arrivals, clicks, scattered, unit, wander
from frieren.world.script import Source

ROLLING_HZ = (120.0, 1100.0)
TIP = 0.09  # radians of tilt per unit of acceleration


@dataclass(frozen=True)
class RollLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    plank: Array
    colour: Array
    mark: Array
    shape: str
    stripe: float
    stand: str
    spots: int
    grid: Array
    x: Array
    tilt: Array
    radius: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[RollLook]:
    """It rolls from place to place and rests between; the tilt is its acceleration, the rate its turns per second."""
    grid, size = timeline(task), float(rng.uniform())
    now, x, times, places = -rng.uniform(0, 1.0), rng.uniform(-0.7, 0.7), [], []
    while now < task.seconds + 2:
        target = float(np.clip(-np.sign(x or 1.0) * rng.uniform(0.1, 0.85), -0.85, 0.85))
        stay = rng.uniform(0.2, 1.0) if rng.random() < 0.45 else 0.0
        times += [now, now + stay] if stay else [now]
        places += [x, x] if stay else [x]
        now += stay + rng.uniform(0.6, 1.4) * np.sqrt(abs(target - x))
        x = target
    place = glide(times, places).at(grid)
    speed = np.gradient(place) * GRID
    radius = 0.15 + 0.2 * size
    soft = np.hanning(13) / np.hanning(13).sum()
    tilt = np.clip(TIP * np.convolve(np.gradient(speed) * GRID, soft, "same"), -0.4, 0.4)
    fast = np.abs(speed)
    loud = np.where(fast > 0.03, np.clip(fast / 1.8, 0, 1) ** 0.7 * (0.65 + 0.35 * size), 0.0)
    made_of = material(task, rng)
    plank = vivid(looks)
    look = RollLook(
        finish=finish(looks),
        plank=plank,
        colour=apart(tinted(made_of, looks), plank, 0.3),
        mark=vivid(looks),
        shape=str(looks.choice(["ball", "barrel", "wheel"])),
        stripe=float(looks.choice([0.0, looks.uniform(0.15, 0.3)])),
        stand=str(looks.choice(["wedge", "ropes", "legs"])),
        spots=int(looks.integers(1, 5)),
        grid=grid,
        x=place,
        tilt=tilt,
        radius=radius,
    )
    activity = going(task, made_of, grid, loud, fast / (2 * np.pi * radius))
    return Source(task.kind.name, size, look, activity=activity)


def render(canvas: Canvas, pose: Pose, source: Source[RollLook], times: np.ndarray) -> None:
    """Stand, plank at its tilt, and what rolls on it."""
    look, brush = source.look, canvas.brush(pose)
    x, tilt = (np.interp(times, look.grid, curve) for curve in (look.x, look.tilt))
    radius, level = look.radius, 0.35
    cos, sin = np.cos(tilt), np.sin(tilt)
    if look.stand == "wedge":
        brush.box(0, level + 0.35, 0.22, 0.22, look.mark * 0.7, angle=np.pi / 4)
    elif look.stand == "ropes":
        for end in (-1.0, 1.0):
            brush.stick(0, -1.2, end * cos, level + end * sin, 0.025, look.mark)
    else:
        for end in (-0.9, 0.9):
            brush.stick(end * cos, level + end * sin, end * 1.05, 1.2, 0.06, look.mark * 0.7)
    brush.box(0, level + 0.07, 1.12, 0.07, look.plank, angle=tilt, stripe=look.stripe, **look.finish.gloss)
    u, v = x * cos + radius * sin, level + x * sin - radius * cos
    turn = x / radius + tilt
    brush.disc(u, v, radius, look.colour, **look.finish.gloss)
    if look.shape == "wheel":
        brush.disc(u, v, 0.7 * radius, look.plank)
    for spot in range(look.spots):
        angle = turn + 2 * np.pi * spot / look.spots
        if look.shape == "ball":
            brush.disc(u + 0.5 * radius * np.cos(angle), v + 0.5 * radius * np.sin(angle), 0.3 * radius, look.mark)
        else:
            brush.stick(
                u, v, u + 0.85 * radius * np.cos(angle), v + 0.85 * radius * np.sin(angle), 0.13 * radius, look.mark
            )


def rumble(
    rate: np.ndarray,
    loudness: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    top: float,
    grain: float,
    ring: float,
) -> np.ndarray:
    """Noise that throbs with every turn, and bumps whose number follows the speed; [S] float32, RMS about 1.

    Args:
        rate: [S] turns per second.
        top: Hz up to which the noise reaches.
        grain: share of the bumps.
        ring: Hz around which bumps ring.
    """
    samples = len(rate)
    phase = 2 * np.pi * np.cumsum(rate) / sample_rate
    throb = 1.0 + 0.55 * np.cos(phase + rng.uniform(0, 6.3)) + 0.25 * np.cos(2 * phase + rng.uniform(0, 6.3))
    bed = coloured(samples, band(70.0, 0.35 * top), sample_rate, rng) * throb
    bed = bed * (1.0 + 0.2 * wander(samples, sample_rate // 25, rng))
    bank = clicks(16, 0.03, (0.002, 0.008), (0.7 * ring, 1.4 * ring), sample_rate, rng)
    bumps = scattered(arrivals(60.0 * rate, sample_rate, rng), bank, samples, rng, 0.8)
    return unit(unit(bed, loudness) + grain * unit(bumps, loudness), loudness)


ROLL = Kind(
    "roll",
    "continuous",
    simulate,
    render,
    ROLLING_HZ,
    voices={
        "wood": partial(rumble, top=900.0, grain=0.35, ring=700.0),
        "stone": partial(rumble, top=700.0, grain=0.6, ring=1100.0),
        "metal": partial(rumble, top=1600.0, grain=0.4, ring=2200.0),
    },
)
