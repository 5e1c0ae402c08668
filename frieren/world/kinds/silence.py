"""Silent movers: things that drift, swing, turn or meet softly, and make no sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Gloss, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import vivid
from frieren.world.motion import drift
from frieren.world.script import Source

GRID = 25.0  # points per second of a mover's paths


@dataclass(frozen=True)
class MoverLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    grid: Array
    x: Array
    y: Array
    turn: Array
    shape: str
    colour: Array
    second: Array
    size: float
    thin: float
    shade: float
    hz: float
    phase: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[MoverLook]:
    """A mover without contacts; its paths are smooth, so nothing stops at once as it would on a hard surface."""
    grid = np.arange(-1, round(task.seconds * GRID) + 2) / GRID
    speed, moves = rng.uniform(0.08, 0.5), rng.random() > 0.12  # now and then the picture is still
    look = MoverLook(
        grid=grid,
        x=moves * np.clip(0.45 * drift(rng, grid, 0.2 * speed, speed), -0.9, 0.9),
        y=moves * np.clip(0.45 * drift(rng, grid, 0.2 * speed, speed), -0.9, 0.9),
        turn=moves * (rng.uniform(0.2, 1.2) * drift(rng, grid, 0.1, 0.6) + rng.uniform(-2, 2) * grid),
        shape=str(looks.choice(["blob", "box", "pendulum", "walker", "pair", "stick"])),
        colour=vivid(looks),
        second=vivid(looks),
        size=float(looks.uniform(0.15, 0.4)),
        thin=float(looks.uniform(0.4, 1.0)),
        shade=float(looks.uniform(0, 0.5)),
        hz=float(moves * rng.uniform(0.3, 0.8)),
        phase=float(rng.uniform(0, 6)),
    )
    return Source(task.kind.name, float(rng.uniform()), look)


def render(canvas: Canvas, pose: Pose, source: Source[MoverLook], times: np.ndarray) -> None:
    """The mover at its pose."""
    look, brush = source.look, canvas.brush(pose)
    x, y, turn = (np.interp(times, look.grid, curve) for curve in (look.x, look.y, look.turn))
    size, thin, colour, style = look.size, look.thin, look.colour, Gloss(shade=look.shade, outline=0.0)
    sway = np.sin(2 * np.pi * look.hz * times + look.phase)
    if look.shape == "blob":
        brush.ellipse(x, y, size, size * thin, colour, angle=turn, **style)
        brush.disc(x + 0.5 * size * np.cos(turn), y + 0.5 * size * np.sin(turn), size * 0.25, look.second)
    elif look.shape == "box":
        brush.box(x, y, size, size * thin, colour, angle=turn, corner=0.04, **style)
    elif look.shape == "pendulum":
        u, v = np.sin(0.7 * sway), np.cos(0.7 * sway)
        brush.stick(0, -0.9, 1.3 * u, -0.9 + 1.3 * v, 0.04, look.second)
        brush.disc(1.3 * u, -0.9 + 1.3 * v, size, colour, **style)
    elif look.shape == "walker":
        stride = 0.25 * sway
        brush.stick(x, 0.2, x + stride, 0.9, 0.09, look.second)
        brush.stick(x, 0.2, x - stride, 0.9, 0.09, look.second)
        brush.stick(x, -0.3, x, 0.2, 0.2, colour, **style)
        brush.disc(x, -0.72 + 0.03 * sway, 0.18, look.second, **style)
    elif look.shape == "pair":  # two soft things that lean on each other and part
        gap = size * (1.2 + 0.5 * sway)
        flat = 1 - 0.15 * np.clip(-sway, 0, 1)
        brush.ellipse(x * 0.4 - gap, 0.2, size * flat, size / flat, colour, **style)
        brush.ellipse(x * 0.4 + gap, 0.2, size * flat, size / flat, look.second, **style)
    else:
        brush.stick(x, y, x + 0.8 * np.cos(sway), y + 0.8 * np.sin(sway), 0.09, colour, **style)
        brush.disc(x, y, 0.16, look.second, **style)


SILENCE = Kind("silence", "silent", simulate, render, (0.0, 0.0))
