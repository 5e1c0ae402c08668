"""Stream and waves: water that falls over an edge, and surf that breaks on a beach and runs up it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, finish, going, material, timeline, tinted, vivid
from frieren.world.modal import band, coloured, fade_out
from frieren.world.motion import swells
from frieren.world.noises import arrivals, scattered, sliding, unit, wander
from frieren.world.script import Source

BUBBLES_HZ, SURF_HZ = (350.0, 1500.0), (350.0, 3200.0)
STREAKS = 22


@dataclass(frozen=True)
class WavesLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    colour: Array
    sand: Array
    foam: Array
    sky: Array
    sun: bool
    shore: float
    lumps: Array
    phase: float
    bob: Array
    boat: bool
    grid: Array
    level: Array
    loud: Array
    breaks: list[tuple[float, float]]
    size: float


@dataclass(frozen=True)
class StreamLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    colour: Array
    foam: Array
    pool: Array
    rock: Array
    shape: str
    top: float
    lane: Array
    start: Array
    speed: float
    spots: Array
    lean: float
    grid: Array
    level: Array
    wide: float


def simulate_stream(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[StreamLook]:
    """The flow swells and fails; it is the rate, and the loudness rises with it and with the depth of the fall."""
    grid, size = timeline(task), float(rng.uniform())
    flow = swells(rng, grid, calm=0.3) * (not task.mute)
    made_of = material(task, rng)
    loud = np.where(flow > 0.02, (0.15 + 0.85 * flow) * (0.6 + 0.4 * size), 0.0)
    water = tinted("water", looks)
    look = StreamLook(
        finish=finish(looks),
        colour=np.clip(water * 1.2, 0, 1),
        foam=apart(np.ones(3) * looks.uniform(0.8, 1.0), water, 0.2),
        pool=np.clip(water * 0.75, 0, 1),
        rock=tinted("stone", looks),
        shape=str(looks.choice(["rock", "pipe", "tub"])),
        top=float(looks.uniform(-0.9, -0.5)),
        lane=looks.uniform(-1, 1, STREAKS),
        start=looks.uniform(0, 1, STREAKS),
        speed=float(looks.uniform(1.3, 2.2)),
        spots=looks.uniform(-1, 1, (8, 2)),
        lean=float(looks.uniform(0.0, 0.25)),
        grid=grid,
        level=flow,
        wide=0.12 + 0.45 * size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, flow))


def render_stream(canvas: Canvas, pose: Pose, source: Source[StreamLook], times: np.ndarray) -> None:
    """Pool, the falling sheet as wide as the flow, streaks in it, foam where it lands, the edge it comes from."""
    look = source.look
    brush = canvas.brush(Pose(pose.x, pose.y, pose.scale, 0.2 * pose.tilt, pose.mirror))
    level = np.interp(times, look.grid, look.level)
    top, foot, wide = look.top, 0.6, look.wide * np.sqrt(level)
    brush.ellipse(0, 0.75, 1.15, 0.3, look.pool)
    shown = np.minimum(1, 8 * level)
    brush.box(0, (top + foot) / 2, wide, (foot - top) / 2 + 0.05, look.colour, corner=0.03, opacity=0.85 * shown)
    run = times[:, None] * look.speed + look.start
    frames, lane = np.nonzero((level[:, None] > 0.02) & (np.abs(look.lane) <= 1))
    s = (run % 1.0)[frames, lane]
    x, y = look.lane[lane] * wide[frames] * 0.9, top + (foot - top) * (0.3 * s + 0.7 * s * s)
    brush.stick(x, y, x, np.minimum(y + 0.08 + 0.2 * s, foot), 0.02, look.foam, opacity=0.75, frames=frames)
    for k, (u, v) in enumerate(look.spots):
        beat = 0.7 + 0.3 * np.sin(2 * np.pi * (2 + 0.4 * k) * times + 5 * u)
        brush.disc(
            u * (wide + 0.1), foot + 0.06 * v - 0.05, (0.05 + 0.11 * level) * beat, look.foam, opacity=0.9 * shown
        )
        s = np.mod(0.8 * times + 0.125 * k, 1.0)
        brush.ellipse(0.2 * u, 0.72, 0.2 + 0.9 * s, 0.05 + 0.2 * s, look.foam, hollow=0.02, opacity=level * (1 - s))
    if look.shape == "rock":
        brush.box(-0.75, top + 0.75, 0.6 - 0.2 * look.wide, 0.85, look.rock, corner=0.15, **look.finish.gloss)
        brush.box(0, top - 0.12, 1.0, 0.16, look.rock * 0.85, corner=0.1, **look.finish.gloss)
    elif look.shape == "pipe":
        brush.stick(-1.1, top - 0.15, 0.0, top - 0.1, 0.12 + 0.3 * look.wide, look.rock, **look.finish.gloss)
    else:
        brush.box(0, top - 0.2, look.wide + 0.25, 0.25, look.rock, angle=look.lean, corner=0.05, **look.finish.gloss)


def gurgle(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Many bubbles that rise in pitch over a rush of noise, denser and brighter with the flow [S] 0..1; [S] float32."""
    samples, t = len(rate), np.arange(int(0.07 * sample_rate)) / sample_rate
    bank = []
    for hz in np.exp(rng.uniform(np.log(BUBBLES_HZ[0]), np.log(BUBBLES_HZ[1]), 24)):
        phase = 2 * np.pi * hz * (t + rng.uniform(2.0, 6.0) * t**2)
        bank.append(fade_out(np.sin(phase) * np.exp(-t * rng.uniform(45, 110)) * np.minimum(t / 0.002, 1)))
    first = arrivals((rate > 0) * (25.0 + 90.0 * rate), sample_rate, rng)
    bubbles = scattered(first, np.stack(bank), samples, rng, 0.7)
    rush = coloured(samples, lambda hz: band(300.0, 2500.0)(hz) ** 0.8, sample_rate, rng)
    rush = rush * (1.0 + 0.15 * wander(samples, sample_rate // 12, rng)) * (0.25 + 0.55 * rate)
    return unit(unit(bubbles, loudness) + rush, loudness)


def simulate_waves(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[WavesLook]:
    """Waves, one after the other at unequal intervals: each swells, breaks, runs up and drains.

    The rate is how far a wave has got, from 1 when it breaks to 0 when it has drained away.
    """
    grid, size = timeline(task), float(rng.uniform())
    up, loud, bright = np.zeros(len(grid)), np.zeros(len(grid)), np.zeros(len(grid))
    now, breaks = -rng.uniform(0, 1.5), []
    while now < task.seconds and not task.mute:
        rise, run, drain = rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.8)
        big = rng.uniform(0.45, 1.0)
        at = now + rise
        age = grid - at
        breaks.append((at, big))
        swell = np.clip(1 + age / rise, 0, 1) ** 2 * (age < 0)
        after = np.exp(-np.maximum(age, 0) / (0.5 * drain)) * (age >= 0)
        loud = np.maximum(loud, big * (0.35 * swell + after * np.clip(0.35 + age / 0.15, 0, 1)))
        bright = np.maximum(bright, 0.5 * swell + after)
        s = np.where(age < run, np.clip(age / run, 0, 1), np.clip(1 - (age - run) / drain, 0, 1))
        up = np.maximum(up, big * (s * s * (3 - 2 * s)))
        now = at + run + drain * rng.uniform(0.4, 1.0)
    made_of = material(task, rng)
    loud = np.where(loud > 0.02, loud * (0.6 + 0.4 * size), 0.0)
    sea, sand = tinted("water", looks), np.array([0.85, 0.75, 0.55]) * looks.uniform(0.5, 1.1)
    look = WavesLook(
        colour=sea,
        sand=apart(np.clip(sand, 0, 1), sea, 0.2),
        foam=apart(np.ones(3) * looks.uniform(0.85, 1.0), sea, 0.3),
        sky=vivid(looks),
        sun=bool(looks.random() < 0.4),
        shore=float(looks.uniform(0.0, 0.25)),
        lumps=looks.uniform(0, 6.3, 9),
        phase=float(looks.uniform(0, 6.3)),
        bob=apart(vivid(looks), sea, 0.3),
        boat=bool(looks.random() < 0.4),
        grid=grid,
        level=up,
        loud=loud,
        breaks=breaks,
        size=size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, np.clip(bright, 0, 1)))


def render_waves(canvas: Canvas, pose: Pose, source: Source[WavesLook], times: np.ndarray) -> None:
    """Sand, the sheet of water that runs up it with its foam, the sea behind with the crest that comes in."""
    look = source.look
    brush = canvas.brush(Pose(0.5, 0.5, 0.45, 0.15 * pose.tilt, pose.mirror))
    up, loud = (np.interp(times, look.grid, curve) for curve in (look.level, look.loud))
    shore = look.shore
    edge = shore + 0.12 + 0.65 * up
    brush.box(0, 1.4, 3.0, 1.4 - shore, look.sand)
    for k, lump in enumerate(look.lumps):
        x = (k - 4) * 0.32
        y = edge + 0.05 * np.sin(lump + 1.3 * times)
        brush.ellipse(x, y, 0.26, 0.1, look.foam, opacity=np.clip(0.35 + 0.65 * up, 0, 1))
    brush.box(0, edge / 2 - 0.5, 3.0, edge / 2 + 0.5, look.colour)
    brush.box(0, -1.9, 3.0, 1.35, look.sky)
    if look.sun:
        brush.disc(0.6, -0.8, 0.14, (1.0, 0.9, 0.6))
    if look.boat:
        brush.box(-0.5, -0.5 + 0.05 * np.sin(1.7 * times + look.phase), 0.2, 0.07, look.bob, corner=0.05)
    for at, big in look.breaks:  # each crest comes in from the horizon and grows, then topples into foam
        s = 1 - (at - times) / 1.1
        y = -0.5 + (shore + 0.55) * np.clip(s, 0, 1) ** 1.5
        shown = np.clip(4 * s, 0, 1) * (s < 1)
        brush.ellipse(0, y, 1.6, 0.03 + 0.15 * big * np.clip(s, 0, 1), look.colour * 0.7, opacity=shown)
        brush.ellipse(0, y - 0.08 * big * np.clip(s, 0, 1), 1.6, 0.03, look.foam, opacity=shown * 0.8)
    # White water where it breaks, as much as is heard: two rows that boil.
    white = np.clip(2.0 * loud - 0.1, 0, 0.95)
    for k, lump in enumerate(np.tile(look.lumps, 2)):
        x = (k % 9 - 4) * 0.32 + 0.16 * (k // 9) + 0.08 * np.sin(23 * times + lump)
        y = shore + (0.1 + 0.45 * (k // 9)) * (edge - shore) - 0.12 * loud * np.abs(np.sin(17 * times + 2 * lump))
        big = (0.06 + 0.24 * loud) * (1 + 0.4 * np.sin(29 * times + 3 * lump))
        brush.disc(x, y, big, look.foam, opacity=white)


def breakers(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A roar that turns to hiss as the wave drains, by `rate` [S] from 1 to 0; [S] float32, RMS about 1."""
    low, high = np.array(SURF_HZ) * rng.uniform(0.8, 1.25)
    wave = sliding(2.0 * (1.0 - rate), np.geomspace(low, high, 3), sample_rate, rng)
    fizz = coloured(len(rate), band(2500.0, 7000.0), sample_rate, rng) * (0.5 - 0.3 * rate)
    rumble = coloured(len(rate), band(60.0, 250.0), sample_rate, rng) * 0.9 * rate**3
    return unit(wave + fizz + rumble, loudness)


STREAM = Kind("stream", "continuous", simulate_stream, render_stream, BUBBLES_HZ, voices={"water": gurgle})
WAVES = Kind("waves", "continuous", simulate_waves, render_waves, SURF_HZ, voices={"water": breakers}, fills=True)
