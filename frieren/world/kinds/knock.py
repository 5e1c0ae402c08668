"""Knock: a fist at a door, seen from the side or from behind, in groups of two to five."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Gloss, Number, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, tinted, vivid
from frieren.world.modal import Build
from frieren.world.motion import Path, bursts, ring, strokes, visits
from frieren.world.script import Source


@dataclass(frozen=True)
class KnockLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    door: Array
    panel: Array
    frame: Array
    knob: Array
    finger: Array
    sleeve: Array
    panels: int
    grain: float
    reach: float
    fist: float
    shake: float
    lean: float
    waves: bool
    side: bool
    height: Path
    x: Path
    y: Path
    wide: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[KnockLook]:
    """Groups of knocks, each at its own tempo, with waits between; the fist rests where it knocks."""
    size = float(rng.uniform())
    times = (
        np.array([])
        if task.mute
        else bursts(rng, task.seconds, task.taken, gap=(0.16, 0.42), count=(2, 5), jitter=(0.1, 0.2), wait=(0.4, 1.6))
    )
    height, strengths = strokes(rng, times, task.seconds)
    made_of = material(task, rng)
    side = looks.random() < 0.5
    drift = np.cumsum(rng.normal(0, 0.06, len(times))).clip(-0.25, 0.25)
    x, y = (
        (np.full(len(times), 0.25), drift) if side else (drift, np.full(len(times), float(looks.uniform(-0.35, 0.1))))
    )
    door = tinted(made_of, looks)
    look = KnockLook(
        finish=finish(looks),
        door=door,
        panel=np.clip(door * looks.uniform(0.6, 1.3), 0, 1),
        frame=apart(vivid(looks), door, 0.2),
        knob=tinted("bronze", looks),
        finger=apart(skin(looks), door, 0.25),
        sleeve=vivid(looks),
        panels=int(looks.integers(0, 3)),
        grain=float(looks.choice([0.0, looks.uniform(0.15, 0.35)])),
        reach=float(looks.uniform(0.5, 0.9)),
        fist=float(looks.uniform(0.17, 0.24)),
        shake=float(looks.uniform(0.01, 0.05)),
        lean=float(looks.uniform(0.1, 0.6)),
        waves=bool(looks.random() < 0.5),
        side=side,
        height=height,
        x=visits(times, x, 0.25 if side else 0.0),
        y=visits(times, y, 0.0),
        wide=0.5 + 0.35 * size,
    )
    return Source(task.kind.name, size, look, events=contacts(task, made_of, size, times, strengths, x, y))


def render(canvas: Canvas, pose: Pose, source: Source[KnockLook], times: np.ndarray) -> None:
    """Door, then fist and arm; the door trembles, and lines may spring from the place."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    shake = look.shake * ring(times, hits, power, 13.0, 0.08)
    lit = np.minimum(ring(times, hits, power, 0.0, 0.07), 1.0)
    height, x, y = look.height.at(times), look.x.at(times), look.y.at(times)
    style = look.finish.gloss
    fist = look.fist
    at: tuple[Array, Array]
    big: Number
    if look.side:
        thick = 0.5 * look.wide - 0.13
        brush.box(0.25 + thick + shake, 0, thick, 1.25, look.door, stripe=look.grain)
        brush.box(0.37 + 2 * thick, 0, 0.12, 1.4, look.frame)
        brush.box(0.18 + shake, 0.45, 0.08, 0.06, look.knob, corner=0.03)
        at, big, back = (x - fist - look.reach * height, y), fist, (-0.9, look.lean)
    else:
        _front(brush, look, shake, style)
        # Towards the lens the fist grows, and shows lower.
        big = fist * (1 + 0.9 * height)
        at, back = (x + 0.15 * height, y + 0.55 * look.reach * height), (0.5, 0.9)
        brush.ellipse(
            x + 0.05, y + 0.06, fist * (1 + height), fist * (1 + height), (0, 0, 0), opacity=0.35 / (1 + 3 * height)
        )
    brush.stick(at[0], at[1], at[0] + back[0], at[1] + back[1], 0.7 * big, look.sleeve, shade=look.finish.shade)
    brush.disc(at[0], at[1], big, look.finger, **style)
    for finger in (-1, 0, 1):
        brush.disc(
            at[0] + 0.55 * fist * (1 if look.side else finger),
            at[1] + 0.55 * fist * (finger if look.side else -1),
            0.35 * big,
            look.finger * 0.85,
        )
    if look.waves:
        brush.ellipse(x, y, 0.2 + 0.5 * (1 - lit), 0.2 + 0.5 * (1 - lit), (1, 1, 1), hollow=0.02, opacity=0.8 * lit)


def _front(brush: Brush, look: KnockLook, shake: Array, style: Gloss) -> None:
    wide = look.wide
    brush.box(0, 0, wide + 0.12, 1.42, look.frame)
    brush.box(shake, 0, wide, 1.3, look.door, stripe=look.grain, **style)
    for number in range(look.panels):
        middle = (number + 0.5) / look.panels * 2.2 - 1.1
        brush.box(shake, middle, wide * 0.7, 0.85 / look.panels, look.panel, corner=0.04, outline=0.03)
    brush.disc(shake + wide * 0.82, 0.15, 0.08, look.knob, **style)


KNOCK = Kind(
    "knock",
    "impacts",
    simulate,
    render,
    (90.0, 190.0),
    {
        "wood": Build("panel", (0.05, 0.11), 0.7, 1600, 0.30, 0.012, (350, 2600)),
        "metal": Build("panel", (0.12, 0.25), 0.6, 2600, 0.25, 0.008, (600, 4500)),
    },
    near=True,
)
