"""Clap: two hands that meet, once in a while, in a beat or in applause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, vivid
from frieren.world.modal import Body, Build, hit, layered
from frieren.world.motion import Path, bursts, rhythm, ring, strokes
from frieren.world.script import Source


@dataclass(frozen=True)
class ClapLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    hand: Array
    finger: Array
    sleeve: Array
    reach: float
    view: str
    lean: float
    coat: Array
    face: Array
    hair: Array
    lines: bool
    flash: Array
    uneven: float
    height: Path
    big: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[ClapLook]:
    """Beats of two to five a second in stretches, or the usual rhythm; the swing of the hands is the strength."""
    size = float(rng.uniform())
    if rng.random() < 0.4:
        times = rhythm(rng, task.seconds, task.taken)
    else:
        times = bursts(
            rng, task.seconds, task.taken, gap=(0.2, 0.55), count=(3, 11), jitter=(0.02, 0.1), wait=(0.3, 1.6)
        )
    if task.mute:
        times = times[:0]
    height, strengths = strokes(rng, times, task.seconds, hold=float(rng.uniform(0, 0.03)))
    made_of = material(task, rng)
    hand = skin(looks)
    look = ClapLook(
        finish=finish(looks),
        hand=hand,
        finger=np.clip(hand * 0.88, 0, 1),
        sleeve=apart(vivid(looks), hand, 0.2),
        reach=float(looks.uniform(0.45, 0.75)),
        view=str(looks.choice(["side", "front", "body"])),
        lean=float(looks.uniform(-0.5, 0.5)),
        coat=vivid(looks),
        face=hand,
        hair=vivid(looks) * 0.6,
        lines=bool(looks.random() < 0.5),
        flash=vivid(looks),
        uneven=float(looks.uniform(0.3, 1.0)),
        height=height,
        big=0.2 + 0.14 * size,
    )
    return Source(task.kind.name, size, look, events=contacts(task, made_of, size, times, strengths, 0.0, 0.0))


def render(canvas: Canvas, pose: Pose, source: Source[ClapLook], times: np.ndarray) -> None:
    """Somebody or only two arms; palms apart, palms together, lines that spring off."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    height = look.height.at(times)
    lit = np.minimum(ring(times, hits, power, 0.0, 0.07), 1.0)
    big = look.big * (0.75 if look.view == "body" else 1.45)
    if look.view == "body":
        brush.box(0, 0.65, 0.5, 0.75, look.coat, corner=0.2, **look.finish.gloss)
        brush.disc(0, -0.55, 0.3, look.face, **look.finish.gloss)
        brush.ellipse(0, -0.72, 0.32, 0.18, look.hair)
    for side in (-1, 1):
        away = look.reach * height * (1.0 if side < 0 else look.uneven) + 0.45 * big
        x, y = side * away, -0.15 * side * look.lean * height
        body = look.view == "body"
        elbow_x, elbow_y = (side * (0.75 + 0.2 * height), 0.75) if body else (x + side * 0.55, y + 0.85)
        brush.stick(x, y + 0.3 * big, elbow_x, elbow_y, 0.12, look.sleeve, shade=look.finish.shade)
        if look.view == "front":  # palms seen from in front: wide when open, thin when they meet
            wide = big * (0.45 + 0.6 * np.clip(height, 0, 1))
            brush.ellipse(x, y, wide, big, look.hand, **look.finish.gloss)
        else:
            brush.ellipse(x, y, 0.5 * big, big, look.hand, angle=side * 0.25 * height, **look.finish.gloss)
        for finger in range(4):
            spread = (finger - 1.5) * 0.22 * big * np.clip(height, 0.15, 1)
            brush.stick(x + 0.4 * spread, y - 0.6 * big, x + spread, y - 1.55 * big, 0.13 * big, look.finger)
        brush.stick(x, y, x - side * 0.3 * big * height, y - 0.75 * big, 0.14 * big, look.finger)
    if look.lines:
        for turn in np.linspace(-2.6, -0.5, 5):
            near, far = big + 0.1, big + 0.15 + 0.35 * (1 - lit)
            u, v = np.cos(turn), np.sin(turn) * 1.5
            brush.stick(near * u, near * v, far * u, far * v, 0.03, look.flash, opacity=lit)


def slap(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Palms and, a moment later, fingers; [N] float32. No two claps close the same hollow."""
    body = body.at_pitch(float(np.exp(rng.normal(0, 0.12))))
    palms, fingers = hit(body, strength, sample_rate, rng), hit(body.at_pitch(1.3), strength, sample_rate, rng)
    return layered((0, 1.0, palms), (int(rng.uniform(0.002, 0.006) * sample_rate), 0.3, fingers))


CLAP = Kind(
    "clap",
    "rhythmic",
    simulate,
    render,
    (650.0, 1300.0),
    {"hand": Build("block", (0.010, 0.022), 0.3, 5000, 1.8, 0.026, (700, 2600))},
    hit=slap,
)
