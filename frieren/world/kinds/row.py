"""Bells and glasses: one to five in a row, the larger the lower, struck by a clapper, a mallet or a spoon."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Number, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, struck, tinted, vivid
from frieren.world.modal import Body, Build, hit, layered
from frieren.world.motion import Path, rhythm, ring, strokes, visits
from frieren.world.script import Source

RIM = 0.35  # where a row is struck, own units below the middle (bells) or above it (glasses)


@dataclass(frozen=True)
class RowLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    body: Array
    fill: Array
    tip: Array
    rail: Array
    shape: str
    reach: float
    head: float
    thick: float
    hz: float
    sway: float
    full: Array
    stem: bool
    gleam: float
    height: Path
    across: Path
    which: Array
    middle: Array
    wide: Array
    sizes: Array
    side: float
    turn: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[RowLook]:
    """One striker that moves over to its next vessel while it is away; the vessel's size sets the pitch."""
    glass, size = task.kind.name == "clink", float(rng.uniform())
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.3, 0.2, 0.2, 0.2, 0.1]))
    sizes = rng.uniform(0, 1, count) if count > 1 else np.array([size])
    which = rng.integers(0, count, len(times))
    height, strengths = strokes(rng, times, task.seconds, hold=0.0)
    half = 0.9 / count
    middle = (np.arange(count) + 0.5) * 2 * half - 0.9
    wide = np.minimum(half * 0.8, 0.5) * (0.6 + 0.4 * sizes)
    side = float(looks.choice([-1, 1]))
    y = -RIM if glass else RIM
    # A glass is tapped from above at its rim, a bell from the side.
    x = middle + side * wide * (0.75 if glass else 1.0)
    made_of = material(task, rng)
    body = tinted(made_of, looks)
    look = RowLook(
        finish=finish(looks),
        body=body,
        fill=apart(vivid(looks), body, 0.2),
        tip=apart(vivid(looks), body, 0.35),
        rail=vivid(looks),
        shape=str(looks.choice(["flared", "dome", "tube"])),
        reach=float(looks.uniform(0.5, 0.9)),
        head=float(looks.uniform(0.09, 0.15)),
        thick=float(looks.uniform(0.04, 0.07)),
        hz=float(looks.uniform(1.5, 5.0)),
        sway=float(looks.uniform(0.06, 0.2)),
        full=looks.uniform(0.2, 0.8, 5),
        stem=bool(looks.random() < 0.5),
        gleam=float(looks.uniform(0.4, 1.0)),
        height=height,
        across=visits(times, x[which], float(x[0])),
        which=which,
        middle=middle,
        wide=wide,
        sizes=sizes,
        side=side,
        turn=side * float(looks.uniform(0.15, 0.6) if glass else looks.uniform(1.2, 1.8)),
    )
    events = contacts(task, made_of, size, times, strengths, x[which], y)
    tones = [task.kind.pitch(float(value)) for value in sizes]
    events = tuple(replace(event, pitch=tones[number]) for event, number in zip(events, which, strict=True))
    return Source(task.kind.name, size, look, events=events)


def render(canvas: Canvas, pose: Pose, source: Source[RowLook], times: np.ndarray) -> None:
    """Rail or table, the vessels that sway or shiver, the striker."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    glass = source.kind == "clink"
    if glass:
        brush.box(0, 0.85, 1.15, 0.1, look.rail, corner=0.03)
    else:
        brush.box(0, -0.8, 1.1, 0.06, look.rail, corner=0.03)
    for number, (middle, wide, size) in enumerate(zip(look.middle, look.wide, look.sizes, strict=True)):
        mine = look.which == number
        stir = ring(times, hits[mine], power[mine], 14.0 if glass else look.hz, 0.12 if glass else 0.5)
        lit = np.minimum(ring(times, hits[mine], power[mine], 0.0, 0.12), 1.0)
        (_glass if glass else _bell)(brush, look, number, middle, wide, size, look.sway * stir, lit)
    height, x = look.height.at(times), look.across.at(times)
    ux, uy = np.sin(look.turn), -np.cos(look.turn)
    far, off = look.reach * height, look.head
    x, y = x + ux * (far + off), (-RIM if glass else RIM) + uy * (far + off)
    brush.stick(x, y, x + 0.8 * ux, y + 0.8 * uy - 0.1, look.thick, look.tip * 0.7, shade=look.finish.shade)
    brush.disc(x, y, look.head, look.tip, shade=look.finish.shade, outline=look.finish.outline)


def _bell(
    brush: Brush, look: RowLook, number: int, middle: Number, wide: Number, size: Number, stir: Array, lit: Array
) -> None:
    """A bell that hangs from the rail and swings about it by `stir` [F] radians."""
    style = look.finish.gloss
    body = np.clip(look.body + 0.35 * look.gleam * lit[:, None], 0, 1)

    def place(u: Number, v: Number) -> tuple[Array, Array]:
        return middle + u * np.cos(stir) - v * np.sin(stir), -0.8 + u * np.sin(stir) + v * np.cos(stir)

    drop = RIM + 0.8
    brush.stick(middle, -0.8, *place(0, 0.3), 0.025, look.rail)
    if look.shape == "tube":
        long = 0.35 + 0.4 * size
        brush.box(*place(0, drop + 0.1 - long / 2), wide, long, body, angle=stir, corner=0.05, **style)
        return
    top = drop - 0.45 - 0.3 * size
    brush.ellipse(*place(0, top + 0.1), wide * 0.62, 0.2, body, angle=stir, **style)
    brush.box(*place(0, (top + drop) / 2 + 0.05), wide * 0.62, (drop - top) / 2 - 0.02, body, angle=stir, **style)
    if look.shape == "flared":
        brush.box(*place(0, drop - 0.12), wide * 0.8, 0.13, body, angle=stir, corner=0.08, **style)
    brush.box(*place(0, drop), wide, 0.09, body, angle=stir, corner=0.08, **style)
    brush.disc(*place(-1.5 * np.asarray(stir), drop + 0.13), 0.08, look.rail)


def _glass(
    brush: Brush, look: RowLook, number: int, middle: Number, wide: Number, size: Number, stir: Array, lit: Array
) -> None:
    """A glass with something in it, that shivers by `stir` [F] and gleams by `lit` [F]."""
    x, bottom = middle + 0.15 * stir, 0.75
    cup = -RIM + (0.6 + 0.4 * size if look.stem else 1.1)
    half = (cup + RIM) / 2
    if look.stem:
        brush.stick(x, cup, x, bottom, 0.035, look.body)
        brush.box(x, bottom, wide * 0.7, 0.04, look.body, corner=0.03)
    brush.box(x, half - RIM, wide, half, look.body, corner=0.12, opacity=0.55, **look.finish.gloss)
    full = half * look.full[number]
    brush.box(x, cup - full - 0.03, wide * 0.88, full, look.fill, corner=0.1, opacity=0.9)
    brush.box(x - 0.55 * wide, half - RIM, 0.04, half * 0.7, (1, 1, 1), opacity=0.35 + 0.6 * look.gleam * lit)
    brush.ellipse(x, -RIM, wide, 0.05, (1, 1, 1), hollow=0.02, opacity=0.5 + 0.5 * lit)


def beating(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A hit whose ring beats, as that of anything not perfectly round: two bodies a little apart; [N] float32."""
    beat = 1.0 + 5.0 / body.frequencies[0]
    other = body.at_pitch(beat)
    return layered((0, 0.6, hit(body, strength, sample_rate, rng)), (0, 0.4, hit(other, strength, sample_rate, rng)))


BELL = Kind(
    "bell",
    "tonal",
    simulate,
    render,
    (260.0, 1100.0),
    {
        "bronze": Build("bell", (0.7, 1.3), 0.5, 6000, 0.10, 0.008, (1500, 7000)),
        "steel": Build("bar", (0.8, 1.4), 0.4, 6000, 0.12, 0.006, (2000, 7500)),
    },
    hit=beating,
    keep=0.5,
)
CLINK = Kind(
    "clink",
    "impacts",
    simulate,
    render,
    (1300.0, 2800.0),
    {"glass": Build("shell", (0.12, 0.35), 0.5, 9000, 0.30, 0.004, (3000, 7800))},
    hit=beating,
    keep=0.5,
)
