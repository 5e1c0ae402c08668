"""Drill: a spinning bit that is pressed into a wall; under load it slows down, growls and throws dust."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import GRID, Finish, apart, finish, going, material, skin, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import swells
from frieren.world.noises import tone, unit, wander
from frieren.world.script import Source

MOTOR_HZ = (130.0, 420.0)
LANES = 14


@dataclass(frozen=True)
class DrillLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    wall: Array
    colour: Array
    second: Array
    hand: Array
    bit: Array
    dust: Array
    bricks: bool
    aim: Array
    start: Array
    wires: bool
    lamp: bool
    shake: float
    grid: Array
    press: Array
    load: Array
    speed: Array
    angle: Array
    size: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[DrillLook]:
    """The trigger and the press swell apart from each other; the rate is the motor's pitch, lowered by the press."""
    grid, size = timeline(task), float(rng.uniform())
    speed = swells(rng, grid, calm=0.35) * (not task.mute)
    press = swells(rng, grid, calm=0.4)
    load = press * (speed > 0.02)
    top = task.kind.pitch(size) * rng.uniform(0.9, 1.1)
    rate = top * (0.35 + 0.65 * speed) * (1 - 0.22 * load)
    loud = np.where(speed > 0.02, np.clip(speed * 4, 0, 1) * (0.25 + 0.3 * speed + 0.45 * load), 0.0)
    made_of = material(task, rng)
    wall = tinted(made_of, looks)
    look = DrillLook(
        finish=finish(looks),
        wall=wall,
        colour=apart(vivid(looks), wall, 0.25),
        second=vivid(looks),
        hand=skin(looks),
        bit=apart(tinted("steel", looks), wall, 0.3),
        dust=np.clip(wall * 1.25 + 0.1, 0, 1),
        bricks=bool(made_of != "metal" and looks.random() < 0.5),
        aim=looks.uniform(-0.8, 0.5, LANES),
        start=looks.uniform(0, 1, LANES),
        wires=bool(looks.random() < 0.5),
        lamp=bool(looks.random() < 0.4),
        shake=float(looks.uniform(0.01, 0.035)),
        grid=grid,
        press=press,
        load=load * speed,
        speed=speed,
        angle=2 * np.pi * np.cumsum(2.0 * speed * (1 - 0.3 * load)) / GRID,
        size=size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, rate))


def render(canvas: Canvas, pose: Pose, source: Source[DrillLook], times: np.ndarray) -> None:
    """Wall with its hole, dust, bit with turning flutes, drill and hand."""
    look, brush = source.look, canvas.brush(pose)
    press, load, speed, angle = (
        np.interp(times, look.grid, curve) for curve in (look.press, look.load, look.speed, look.angle)
    )
    wall, big = 0.55, 0.8 + 0.35 * look.size
    brush.box(wall + 0.8, 0, 0.8, 1.5, look.wall, **look.finish.gloss)
    if look.bricks:
        for k in range(-3, 4):
            brush.box(wall + 0.8, 0.4 * k + 0.2, 0.8, 0.02, look.wall * 0.6)
    brush.ellipse(wall + 0.02, 0, 0.05, 0.12, look.wall * 0.3)
    shake = look.shake * speed
    x = wall - 0.55 + 0.4 * press + shake * np.sin(2 * np.pi * 9.7 * times)
    y = shake * np.sin(2 * np.pi * 11.9 * times + 1)
    tip = np.minimum(x + 0.42, wall + 0.02)
    brush.stick(x, y, tip, y, 0.06 * big, look.bit, shade=0.3)
    for k in range(3):  # flutes run along the bit as it turns
        s = np.mod(angle / (2 * np.pi) + k / 3, 1.0)
        at = x + 0.4 * s
        brush.stick(at - 0.03, y + 0.06, at + 0.03, y - 0.06, 0.025, look.bit * 0.35, opacity=(at < tip) * 1.0)
    brush.box(x - 0.12, y, 0.13, 0.16 * big, look.bit * 0.7, corner=0.03)
    for k in range(2):
        turn = angle + np.pi * k
        brush.box(x - 0.12, y + 0.14 * big * np.cos(turn), 0.12, 0.035, look.second, opacity=(np.sin(turn) > 0) * 1.0)
    brush.box(x - 0.65, y, 0.42, 0.24 * big, look.colour, corner=0.1, **look.finish.gloss)
    brush.box(x - 0.85, y + 0.45, 0.14, 0.4, look.colour * 0.85, angle=0.2, corner=0.06, **look.finish.gloss)
    brush.ellipse(x - 0.85, y + 0.42, 0.2, 0.17, look.hand, shade=look.finish.shade)
    brush.stick(x - 0.9, y + 0.45, x - 1.6, y + 0.9, 0.14, look.second, shade=look.finish.shade)
    if look.lamp:
        brush.disc(x - 0.5, y, 0.08, (1.0, 0.3, 0.2), opacity=np.clip(speed * 3, 0, 1))
    frames, lane = np.nonzero(load[:, None] > (np.arange(LANES) + 0.5) / (1.3 * LANES))
    s = (times[:, None] * 1.9 + look.start)[frames, lane] % 1.0
    brush.disc(
        wall - 0.05 - 0.55 * s * (0.4 + 0.6 * look.start[lane]),
        look.aim[lane] * s * 0.6 + 0.9 * s * s,
        0.05 - 0.02 * s,
        look.dust,
        opacity=1 - 0.6 * s,
        frames=frames,
    )


def whine(
    rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator, *, work: tuple[float, float]
) -> np.ndarray:
    """A motor at `rate` [S] Hz with its gears, and the grind of the work, in a band of Hz, when it is loud."""
    samples = len(rate)
    hz = rate * (1.0 + 0.006 * wander(samples, sample_rate // 30, rng))
    order = np.arange(1, 19)
    gears = np.where(order % int(rng.integers(5, 8)) == 0, 1.6, 0.5) * order**-0.4
    motor = tone(hz, gears, sample_rate, rng)
    grind = coloured(samples, band(*work), sample_rate, rng)
    rattle = 1.0 + 0.7 * tone(hz / 8.0, [1.0, 0.7, 0.5, 0.3], sample_rate, rng)
    return unit(motor + np.clip(2.0 * loudness - 0.7, 0.08, 1.3) * grind * rattle, loudness)


DRILL = Kind(
    "drill",
    "continuous",
    simulate,
    render,
    MOTOR_HZ,
    voices={
        "wood": partial(whine, work=(400.0, 1800.0)),
        "stone": partial(whine, work=(900.0, 4000.0)),
        "metal": partial(whine, work=(2500.0, 7000.0)),
    },
    near=True,
)
