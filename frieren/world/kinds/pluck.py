"""Pluck: a finger or a pick on strings that swing to be seen; long and thick ones are low."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, tinted, vivid
from frieren.world.modal import Body, Build, hit
from frieren.world.motion import Path, rhythm, ring, strokes, visits
from frieren.world.script import Source

SPAN = 0.9  # half length of a string


@dataclass(frozen=True)
class PluckLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    wood: Array
    hole: Array
    string: Array
    finger: Array
    tip: Array
    shape: str
    pick: bool
    hz: float
    wide: float
    reach: float
    side: float
    grain: float
    height: Path
    y: Path
    which: Array
    rows: Array
    sizes: Array
    x: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[PluckLook]:
    """One hand that waits beside its next string and lets it go at the contact; which string sets the pitch."""
    count, size = int(rng.integers(1, 7)), float(rng.uniform())
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    height, strengths = strokes(rng, times, task.seconds)
    which = rng.integers(0, count, len(times))
    rows = np.linspace(-0.45, 0.45, count) if count > 1 else np.array([0.0])
    sizes = np.clip(size * 0.5 + 0.5 * np.arange(count) / max(count - 1, 1), 0, 1) if count > 1 else np.array([size])
    made_of = material(task, rng)
    x = float(looks.uniform(0.15, 0.55))
    wood = tinted("wood", looks)
    look = PluckLook(
        finish=finish(looks),
        wood=wood,
        hole=wood * 0.3,
        string=apart(tinted("string", looks), wood, 0.4),
        finger=apart(skin(looks), wood, 0.2),
        tip=apart(vivid(looks), wood, 0.35),
        shape=str(looks.choice(["guitar", "board", "bow"])),
        pick=bool(looks.random() < 0.4),
        hz=float(looks.uniform(7.0, 11.0)),
        wide=float(looks.uniform(0.08, 0.16)),
        reach=float(looks.uniform(0.3, 0.6)),
        side=float(looks.choice([-1, 1])),
        grain=float(looks.choice([0.0, 0.2])),
        height=height,
        y=visits(times, rows[which], float(rows[0])),
        which=which,
        rows=rows,
        sizes=sizes,
        x=x,
    )
    events = contacts(task, made_of, size, times, strengths, x, rows[which])
    tones = [task.kind.pitch(float(value)) for value in sizes]
    events = tuple(replace(event, pitch=tones[number]) for event, number in zip(events, which, strict=True))
    return Source(task.kind.name, size, look, events=events)


def render(canvas: Canvas, pose: Pose, source: Source[PluckLook], times: np.ndarray) -> None:
    """Body, strings in four parts each that bow out and in, and the hand."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    if look.shape == "guitar":
        brush.disc(0.45, 0, 0.7, look.wood, **look.finish.gloss)
        brush.disc(0.3, 0, 0.28, look.hole)
        brush.box(-0.55, 0, 0.5, 0.22, look.wood * 0.7)
    elif look.shape == "board":
        brush.box(0, 0, 1.05, 0.72, look.wood, corner=0.08, stripe=look.grain, **look.finish.gloss)
    for end in (-SPAN, SPAN):
        brush.box(end, 0, 0.05, 0.55, look.tip * 0.7)
    for number, (row, size) in enumerate(zip(look.rows, look.sizes, strict=True)):
        mine = look.which == number
        swing = ring(times, hits[mine], power[mine], look.hz * (1.15 - 0.3 * size), 0.45)
        blur = np.clip(ring(times, hits[mine], power[mine], 0.0, 0.45), 0, 1.2)
        bow = look.wide * np.clip(swing, -1.3, 1.3)
        brush.ellipse(0, row, SPAN, 0.01 + look.wide * blur, look.string, opacity=0.3 * (blur > 0.05))
        thick = 0.018 + 0.025 * size
        for part in range(4):
            a, b = (part / 2 - 1) * SPAN, ((part + 1) / 2 - 1) * SPAN
            da, db = (np.cos(0.5 * np.pi * u / SPAN) * bow for u in (a, b))
            brush.stick(a, row + da, b, row + db, thick, look.string)
    height, y = look.height.at(times), look.y.at(times)
    up = look.side
    tip = y - up * look.reach * height, look.x + 0.1 * height
    if look.pick:
        brush.box(tip[1], tip[0] - up * 0.09, 0.06, 0.1, look.tip, angle=0.2, corner=0.03)
    brush.stick(tip[1], tip[0] - up * 0.14, tip[1] + 0.25, tip[0] - up * 0.75, 0.11, look.finger, **look.finish.gloss)
    brush.disc(tip[1] + 0.3, tip[0] - up * 0.85, 0.24, look.finger, **look.finish.gloss)


def twang(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A string let go, sharp at first as it is stretched, and the knock of the body under it; [N] float32."""
    wave = hit(body, strength, sample_rate, rng)
    t = np.arange(min(len(wave), int(0.15 * sample_rate))) / sample_rate
    peak = float(np.abs(wave).max())
    knock = np.sin(2 * np.pi * rng.uniform(95, 130) * t) * np.exp(-t / 0.03)
    wave[: len(t)] += (0.25 * peak * knock).astype(np.float32)
    return wave


PLUCK = Kind(
    "pluck",
    "tonal",
    simulate,
    render,
    (75.0, 330.0),
    {
        "string": Build("string", (0.35, 0.7), 0.45, 5000, 0.05, 0.004, (1000, 6000)),
        "steel": Build("string", (0.6, 1.0), 0.30, 8000, 0.08, 0.003, (2500, 7500)),
    },
    hit=twang,
    keep=0.4,
)
