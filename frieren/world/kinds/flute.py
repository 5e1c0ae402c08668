"""Flute: fingers open and close the holes of a pipe; the more are closed, the lower it sounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, finish, going, material, skin, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.noises import tone, unit, wander
from frieren.world.script import Source

PIPE_HZ = (330.0, 620.0)  # with all holes closed, from the longest pipe to the shortest
HOLES = 6
STEPS = np.array([12, 11, 9, 7, 5, 4, 2])  # semitones above the lowest tone, by the number of closed holes from none


@dataclass(frozen=True)
class FluteLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    pipe: Array
    hole: Array
    finger: Array
    face: Array
    hair: Array
    air: Array
    thick: float
    lift: float
    below: bool
    head: bool
    notes: bool
    grid: Array
    closed: Array
    breath: Array
    long: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[FluteLook]:
    """Phrases of notes, tongued or tied, and breaths; the rate is the pitch in Hz, the loudness is the breath."""
    grid, size = timeline(task), float(rng.uniform())
    closed, breath = np.full(len(grid), float(HOLES)), np.zeros(len(grid))
    now, hole = -rng.uniform(0, 1.0), int(rng.integers(0, HOLES + 1))
    while now < task.seconds and not task.mute:
        strength, pace = rng.uniform(0.5, 1.0), rng.uniform(0.18, 0.6)
        for _ in range(int(rng.integers(2, 9))):
            stop = now + pace * float(rng.choice([1, 1, 1, 2, 3])) * np.exp(rng.normal(0, 0.08))
            hole = int(np.clip(hole + rng.choice([-2, -1, -1, 1, 1, 2]), 0, HOLES))
            here = (grid >= now) & (grid < stop)
            closed[here] = hole
            age, left = grid[here] - now, stop - grid[here]
            gap = 0.05 if rng.random() < 0.6 else 0.005  # tongued or tied
            breath[here] = strength * np.clip(age / 0.05, 0, 1) * np.clip((left - gap) / 0.05, 0.15, 1)
            now = stop
        now += rng.uniform(0.3, 1.3)
    low = task.kind.pitch(size)
    made_of = material(task, rng)
    semitones = np.interp(closed, np.arange(HOLES + 1), STEPS)
    pipe = tinted(made_of, looks)
    look = FluteLook(
        finish=finish(looks),
        pipe=pipe,
        hole=pipe * 0.25,
        finger=apart(skin(looks), pipe, 0.3),
        face=skin(looks),
        hair=vivid(looks) * 0.5,
        air=apart(vivid(looks), pipe, 0.2),
        thick=float(looks.uniform(0.09, 0.14)),
        lift=float(looks.uniform(0.2, 0.4)),
        below=bool(looks.random() < 0.5),
        head=bool(looks.random() < 0.7),
        notes=bool(looks.random() < 0.4),
        grid=grid,
        closed=closed,
        breath=breath,
        long=0.75 + 0.25 * size,
    )
    activity = going(task, made_of, grid, 0.85 * breath, low * 2.0 ** (semitones / 12))
    return Source(task.kind.name, size, look, activity=activity)


def render(canvas: Canvas, pose: Pose, source: Source[FluteLook], times: np.ndarray) -> None:
    """Head with a cheek that fills, pipe, holes, fingers down or up, air that leaves the end."""
    look, brush = source.look, canvas.brush(pose)
    # Fingers take a moment to move; each frame shows where they are.
    soft = np.hanning(7) / np.hanning(7).sum()
    closed = np.interp(times, look.grid, np.convolve(np.pad(look.closed, 3, "edge"), soft, "valid"))
    breath = np.interp(times, look.grid, look.breath)
    long, thick = look.long, look.thick
    left = -long
    if look.head:
        brush.disc(left - 0.3, -0.12, 0.42, look.face, **look.finish.gloss)
        brush.disc(left - 0.38, -0.42, 0.3, look.hair)
        brush.disc(left - 0.1, 0.0, 0.1 + 0.12 * breath, look.face * 0.9)
        brush.disc(left - 0.2, -0.22, 0.04, (0, 0, 0))
    brush.box(0.0, 0, long, thick, look.pipe, corner=0.04, **look.finish.gloss)
    brush.box(long - 0.05, 0, 0.07, thick * 1.2, look.pipe * 0.7)
    for k in range(3):
        s = np.mod(1.6 * times + k / 3, 1.0)
        brush.disc(long + 0.1 + 0.45 * s, -0.15 * s * (k - 1), 0.05 + 0.12 * s, look.air, opacity=breath * (1 - s))
        if look.notes:
            brush.disc(0.3 * k - 0.2 + 0.1 * np.sin(7 * s), -0.35 - 0.6 * s, 0.06, look.air, opacity=breath * (1 - s))
    for hole in range(HOLES):
        x = (hole - 2.0) * 0.24 * long + 0.1
        down = np.clip(closed - hole, 0, 1)
        brush.disc(x, 0, 0.45 * thick, look.hole)
        brush.disc(x, 0, 0.45 * thick, look.air, opacity=0.8 * breath * (1 - down) * (np.round(closed) == hole))
        side = 1.0 if look.below else -1.0
        y = side * (look.lift * (1 - down))
        brush.stick(x, y, x + 0.06, y + side * 0.55, 0.062, look.finger, **look.finish.gloss)


def pipe(
    rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator, *, bright: float
) -> np.ndarray:
    """A nearly pure tone at `rate` [S] Hz with vibrato, and breath around it; `bright` is the share of its octave."""
    samples = len(rate)
    beat = np.sin(2 * np.pi * rng.uniform(4.2, 5.8) * np.arange(samples) / sample_rate)
    hz = rate * (1.0 + 0.004 * beat + 0.002 * wander(samples, sample_rate // 15, rng))
    voice = tone(
        hz, [1.0, bright * rng.uniform(0.7, 1.4), bright * rng.uniform(0.2, 0.6), 0.05, 0.02], sample_rate, rng
    )
    breath = coloured(samples, band(800.0, 4500.0), sample_rate, rng)
    # Each new tone starts with a chiff of air.
    turn = np.abs(np.gradient(rate)) > 0.05
    chiff = np.convolve(turn.astype(np.float32), np.full(sample_rate // 50, 1.0 / (sample_rate // 50)), "same")
    return unit(voice * (1.0 + 0.12 * beat) + (0.14 + 0.5 * np.minimum(chiff, 1.0)) * breath, loudness)


FLUTE = Kind(
    "flute",
    "tonal",
    simulate,
    render,
    PIPE_HZ,
    voices={"wood": partial(pipe, bright=0.15), "metal": partial(pipe, bright=0.45)},
)
