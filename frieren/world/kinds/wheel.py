"""Wheel: a cart wheel that turns and squeaks once in every turn, always at the same place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import GRID, Finish, apart, finish, going, material, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import swells
from frieren.world.noises import tone, unit, wander
from frieren.world.script import Source

SQUEAK_HZ = (700.0, 1900.0)
SQUEAK = 0.16  # half of the share of a turn that squeaks


@dataclass(frozen=True)
class WheelLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    rim: Array
    mark: Array
    hub: Array
    cart: Array
    ground: Array
    spokes: int
    thick: float
    way: float
    two: bool
    body: str
    flash: Array
    lines: bool
    grid: Array
    phase: Array
    squeak: Array
    radius: float


def squeaking(phase: np.ndarray) -> np.ndarray:
    """How much it squeaks, 0..1, at each phase (in turns): a bump around every whole turn."""
    off = np.abs(phase - np.round(phase))
    return np.cos(0.5 * np.pi * np.minimum(off / SQUEAK, 1.0)) ** 2


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[WheelLook]:
    """The speed swells and stops; the rate is turns per second, and the squeak comes when the mark is at the bottom."""
    grid, size = timeline(task), float(rng.uniform())
    speed = swells(rng, grid, calm=0.25) * (1.0 if not task.mute else 0.2)
    turns = speed * rng.uniform(0.9, 1.5) * (1.3 - 0.5 * size)
    phase = np.cumsum(turns) / GRID
    loud = np.where(speed > 0.03, np.clip(0.25 + speed, 0, 1) * (0.22 + 0.78 * squeaking(phase)), 0.0)
    made_of = material(task, rng)
    rim = tinted(made_of, looks)
    look = WheelLook(
        finish=finish(looks),
        rim=rim,
        mark=apart(vivid(looks), rim, 0.4),
        hub=apart(vivid(looks), rim, 0.2),
        cart=vivid(looks),
        ground=vivid(looks),
        spokes=int(looks.integers(3, 9)),
        thick=float(looks.uniform(0.05, 0.1)),
        way=float(looks.choice([-1, 1])),
        two=bool(looks.random() < 0.4),
        body=str(looks.choice(["cart", "barrow", "none"])),
        flash=apart(vivid(looks), rim, 0.3),
        lines=bool(looks.random() < 0.6),
        grid=grid,
        phase=phase,
        squeak=squeaking(phase) * (speed > 0.03),
        radius=0.5 + 0.25 * size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, turns))


def render(canvas: Canvas, pose: Pose, source: Source[WheelLook], times: np.ndarray) -> None:
    """Ground that runs by, the cart, the wheel with its mark, and what shows the squeak at the hub."""
    look, brush = source.look, canvas.brush(pose)
    phase, squeak = (np.interp(times, look.grid, curve) for curve in (look.phase, look.squeak))
    radius, way = look.radius, look.way
    foot = 0.78
    y = foot - radius
    brush.box(0, foot + 1.0, 4.0, 1.0, look.ground)
    run = -way * phase * 2 * np.pi * radius
    for k in range(5):
        brush.box(np.mod(run + 0.7 * k, 3.5) - 1.75, foot + 0.12, 0.12, 0.05, look.ground * 0.6)
    centres = (-0.55, 0.6) if look.two else (0.0,)
    radius = 0.62 * radius if look.two else radius
    y = foot - radius
    bump = 0.02 * np.sin(2 * np.pi * 3 * phase)
    if look.body == "cart":
        brush.box(0, y - radius - 0.12 + bump, 1.0, 0.2, look.cart, corner=0.04, **look.finish.gloss)
    elif look.body == "barrow":
        brush.stick(centres[0], y, -way * 1.1, y - 0.45 + bump, 0.06, look.cart)
        brush.box(-0.15 * way, y - radius - 0.05 + bump, 0.55, 0.2, look.cart, angle=-0.2 * way, **look.finish.gloss)
    for x in centres:
        brush.ellipse(x, y, radius - look.thick, radius - look.thick, look.rim, hollow=look.thick)
        for k in range(look.spokes):
            # The mark points down at every whole turn.
            angle = 0.5 * np.pi + way * 2 * np.pi * (phase + k / look.spokes)
            tone_of = look.mark if k == 0 else look.rim
            brush.stick(
                x, y, x + 0.85 * radius * np.cos(angle), y + 0.85 * radius * np.sin(angle), 0.05 if k else 0.08, tone_of
            )
        down = 0.5 * np.pi + way * 2 * np.pi * phase
        brush.disc(x + 0.8 * radius * np.cos(down), y + 0.8 * radius * np.sin(down), 0.13, look.mark)
        brush.disc(x, y, 0.12 + 0.07 * squeak, look.hub, **look.finish.gloss)
        if look.lines:
            brush.ellipse(x, y, 0.15 + 0.2 * squeak, 0.15 + 0.2 * squeak, look.flash, hollow=0.02, opacity=squeak)


def squeal(
    rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator, *, rim: tuple[float, float]
) -> np.ndarray:
    """A dry axle's tone that comes with every turn of `rate` [S] per second, over the rumble of a rim, a band in Hz."""
    samples = len(rate)
    phase = np.cumsum(rate) / sample_rate
    loud = squeaking(phase) * (rate > 0)
    pitch = np.exp(rng.uniform(*np.log(SQUEAK_HZ)))
    # It rises as the axle binds and falls as it lets go, and flutters.
    hz = (
        pitch
        * (0.85 + 0.2 * loud + 0.02 * wander(samples, sample_rate // 50, rng))
        * (0.9 + 0.15 * np.minimum(rate, 1))
    )
    cry = tone(hz, [1.0, 0.7, 0.25, 0.3, 0.1], sample_rate, rng)
    roll = coloured(samples, band(*rim), sample_rate, rng) * (1.0 + 0.4 * np.cos(2 * np.pi * 6 * phase))
    wave = cry * loud + 0.45 * (1.0 - loud) * roll
    return unit(wave, (rate > 0).astype(float))


WHEEL = Kind(
    "wheel",
    "continuous",
    simulate,
    render,
    SQUEAK_HZ,
    voices={"wood": partial(squeal, rim=(90.0, 500.0)), "metal": partial(squeal, rim=(300.0, 1800.0))},
)
