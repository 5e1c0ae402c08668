"""Clock: a hand that jumps, or a pendulum that ticks in the middle; regular, irregular or stuck for a while."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Gloss, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import apart, contacts, material, struck, tinted, vivid
from frieren.world.modal import Body, Build, fade_out, hit
from frieren.world.motion import GAP, HEAD, IN, OUT, SMOOTH, TAIL, Path, glide, path, rhythm, ring, spaced
from frieren.world.script import Source

TOCK = 0.82  # the second click of an escapement over the first


@dataclass(frozen=True)
class ClockLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    shape: str
    face: Array
    case: Array
    hand: Array
    bob: Array
    step: float
    quick: float
    thick: float
    marks: int
    square: bool
    swing: float
    shade: float
    outline: float
    shake: float
    counter: bool
    path: Path = field(default_factory=lambda: glide([0.0], [0.0]))  # angle of the hand or pendulum


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[ClockLook]:
    """Ticks: a steady beat with a little jitter, in stretches of their own tempo, or a rhythm without any."""
    size = float(rng.uniform())
    times = rhythm(rng, task.seconds, task.taken) if rng.random() < 0.35 else _beat(rng, task)
    if task.mute:
        times = times[:0]
    strengths = np.clip(rng.uniform(0.45, 0.9) + 0.12 * rng.uniform(-1, 1) * (-1.0) ** np.arange(len(times)), 0.35, 1)
    look = _look(looks)
    angle, spots = _motion(rng, times, look, task)
    made_of = material(task, rng)
    events = contacts(task, made_of, size, times, strengths, spots[0], spots[1])
    return Source(task.kind.name, size, replace(look, path=angle), events=events)


def _beat(rng: np.random.Generator, task: Task) -> np.ndarray:
    times, now = [], -rng.uniform(0, 1.0)
    while now < task.seconds:
        period, jitter = rng.uniform(0.32, 1.0), rng.choice([0.01, 0.06])
        for _ in range(int(rng.integers(3, 12))):
            now += max(GAP, period * (1 + jitter * rng.normal()))
            times.append(now)
        now += rng.uniform(0.2, 1.3) if rng.random() < 0.5 else 0.0
    return spaced([t for t in times if HEAD < t < task.seconds - TAIL], task.taken)


def _look(rng: np.random.Generator) -> ClockLook:
    face, case = vivid(rng), vivid(rng)
    return ClockLook(
        shape=str(rng.choice(["hand", "hand", "pendulum", "metronome", "flip"])),
        face=apart(face, case, 0.15),
        case=case,
        hand=apart(vivid(rng), face, 0.4),
        bob=apart(tinted("metal", rng), case, 0.3),
        step=float(rng.uniform(0.5, 1.3) * rng.choice([-1, 1, 1])),
        quick=float(rng.uniform(0.06, 0.12)),
        thick=float(rng.uniform(0.07, 0.14)),
        marks=int(rng.choice([0, 4, 12])),
        square=bool(rng.random() < 0.3),
        swing=float(rng.uniform(0.35, 0.7)),
        shade=float(rng.uniform(0, 0.4)),
        outline=float(rng.choice([0.0, 0.04])),
        shake=float(rng.uniform(0, 0.05)),
        counter=bool(rng.random() < 0.5),
    )


def _motion(
    rng: np.random.Generator, times: np.ndarray, look: ClockLook, task: Task
) -> tuple[Path, tuple[float, float]]:
    """Angle over time, and where on the face the ticks are."""
    if look.shape in ("hand", "flip"):
        angle = float(rng.uniform(0, 2 * np.pi))
        knots = [(-1.0, angle, SMOOTH)]
        if task.mute:  # a hand that creeps
            return path([(-1.0, angle, SMOOTH), (task.seconds + 1, angle + rng.uniform(2, 6), SMOOTH)], 1.0), (0.0, 0.0)
        for time in times:
            knots += [(time, angle, SMOOTH), (time + look.quick, angle + look.step, OUT)]
            angle += look.step
        return path(knots, 2.0), (0.0, 0.0)
    swing, side = look.swing, 1.0
    if task.mute:  # it never comes to the middle
        turns = np.cumsum(np.full(40, rng.uniform(0.4, 0.9))) - 1.0
        return path([(time, swing * (0.35, 1.0)[i % 2], SMOOTH) for i, time in enumerate(turns)]), (0.0, 0.0)
    knots = [(-1.5, -swing, SMOOTH)]
    for time, gap in zip(times, np.diff(times, append=np.inf), strict=True):
        # It ticks as it passes the middle, at its fastest, and waits at the side while the works are stuck.
        knots.append((time - min(0.4, 0.5 * (time - knots[-1][0])), -side * swing, SMOOTH))
        knots.append((time, 0.0, IN))
        knots.append((time + min(0.4, 0.5 * gap), side * swing, OUT))
        side = -side
    return path(knots, 1.7), (0.0, 1.25 - 0.5 if look.shape == "pendulum" else 0.7 - 0.9)


def render(canvas: Canvas, pose: Pose, source: Source[ClockLook], times: np.ndarray) -> None:
    """The case, the face and what moves."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    shake = look.shake * ring(times, hits, power, 9.0, 0.07)
    angle, style = look.path.at(times), Gloss(shade=look.shade, outline=look.outline)
    thick = look.thick
    if look.shape in ("hand", "flip"):
        if look.square:
            brush.box(shake, 0, 0.95, 0.95, look.case, corner=0.1, **style)
        else:
            brush.disc(shake, 0, 0.97, look.case, **style)
        brush.disc(shake, 0, 0.82, look.face)
        for mark in range(look.marks):
            turn = 2 * np.pi * mark / look.marks
            brush.disc(0.7 * np.cos(turn), 0.7 * np.sin(turn), 0.05, look.case)
        x, y = np.cos(angle), np.sin(angle)
        if look.shape == "flip":  # a cam with two lobes in place of a thin hand
            brush.ellipse(shake, 0, 0.7, 0.22, look.hand, angle=angle, stripe=0.0, **style)
            brush.disc(shake + 0.5 * x, 0.5 * y, 0.12, look.bob)
            return
        back = 0.2 if look.counter else 0.0
        brush.stick(shake - back * x, -back * y, shake + 0.72 * x, 0.72 * y, thick, look.hand)
        brush.disc(shake, 0, 0.1, look.hand, **style)
        return
    x, y = np.sin(angle), np.cos(angle)
    if look.shape == "pendulum":
        brush.box(shake, -0.75, 0.45, 0.35, look.case, corner=0.08, **style)
        brush.disc(shake, -0.75, 0.24, look.face)
        brush.stick(0, -0.5, 1.25 * x, -0.5 + 1.25 * y, thick * 0.7, look.hand)
        brush.disc(1.25 * x, -0.5 + 1.25 * y, 0.2 + thick, look.bob, **style)
    else:
        brush.stick(shake, 0.0, shake, 0.7, 0.5, look.case, **style)
        brush.stick(0, 0.7, 1.4 * x, 0.7 - 1.4 * y, thick * 0.8, look.hand)
        brush.box(0.9 * x, 0.7 - 0.9 * y, 0.16, 0.13, look.bob, angle=angle, **style)


def double_click(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Hit `number` of the works, [N] float32: tick and tock alternate, and each is two clicks."""
    body = body.at_pitch(TOCK) if number % 2 else body
    wave = hit(body, strength, sample_rate, rng)
    # The pallet first meets the wheel, then drops onto the locking face some milliseconds later.
    delay = int(0.006 * sample_rate)
    wave[delay:] += 0.4 * hit(body, strength, sample_rate, rng)[: len(wave) - delay]
    return fade_out(wave)


CLOCK = Kind(
    "clock",
    "rhythmic",
    simulate,
    render,
    (1200.0, 3000.0),
    {
        "metal": Build("bar", (0.04, 0.10), 0.3, 9000, 0.50, 0.006, (2000, 7500)),
        "wood": Build("block", (0.03, 0.06), 0.5, 6000, 0.50, 0.008, (1000, 6000)),
    },
    hit=double_click,
    near=True,
    tilts=True,
)
