"""Typing: fingers on a keyboard, in runs of keys with pauses; each key clicks down and up again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, tinted, vivid
from frieren.world.modal import Body, Build, hit, layered
from frieren.world.motion import Path, bursts, strokes, visits
from frieren.world.script import Source

ROWS, COLUMNS = 3, 8
BAR = ROWS * COLUMNS  # number of the space bar


@dataclass(frozen=True)
class Hand:
    """Height of a finger over the keys, and where the hand is."""

    height: Path
    x: Path
    y: Path


@dataclass(frozen=True)
class TypingLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    case: Array
    cap: Array
    lit: Array
    glow: float
    finger: Array
    sleeve: Array
    round: float
    screen: bool
    glass: Array
    reach: float
    big: float
    shadow: float
    hands: tuple[Hand, ...]
    key: Array
    half: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[TypingLook]:
    """Runs of three to seven keys a second; two hands share them by the half of the board that they are on."""
    size = float(rng.uniform())
    times = (
        np.array([])
        if task.mute
        else bursts(
            rng, task.seconds, task.taken, gap=(0.15, 0.32), count=(3, 15), jitter=(0.15, 0.25), wait=(0.25, 1.4)
        )
    )
    key = np.where(rng.random(len(times)) < 0.15, BAR, rng.integers(0, BAR, len(times)))
    x, y = places()
    hand = np.where(key == BAR, rng.integers(0, 2, len(times)), (x[key] > 0).astype(int))
    strengths, hands = np.zeros(len(times)), list[Hand]()
    for number in (0, 1):
        mine = hand == number
        height, power = strokes(rng, times[mine], task.seconds, hold=0.05)
        strengths[mine] = power
        home = 0.45 * (2 * number - 1)
        hands.append(Hand(height, visits(times[mine], x[key[mine]], home), visits(times[mine], y[key[mine]], 0.1)))
    made_of = material(task, rng)
    case = vivid(looks)
    look = TypingLook(
        finish=finish(looks),
        case=case,
        cap=apart(tinted(made_of, looks), case, 0.25),
        lit=apart(vivid(looks), case, 0.35),
        glow=float(looks.uniform(0.25, 1.0)),
        finger=apart(skin(looks), case, 0.2),
        sleeve=vivid(looks),
        round=float(looks.choice([0.02, 0.09])),
        screen=bool(looks.random() < 0.5),
        glass=vivid(looks),
        reach=float(looks.uniform(0.25, 0.45)),
        big=float(looks.uniform(0.13, 0.18)),
        shadow=float(looks.uniform(0.1, 0.5)),
        hands=tuple(hands),
        key=key,
        half=0.075 + 0.03 * size,
    )
    events = contacts(task, made_of, size, times, strengths, x[key], y[key])
    # The space bar is the largest key, so it is the lowest.
    events = tuple(
        replace(event, pitch=event.pitch * (0.6 if k == BAR else 1.0)) for event, k in zip(events, key, strict=True)
    )
    return Source(task.kind.name, size, look, events=events)


def places() -> tuple[np.ndarray, np.ndarray]:
    """Middles of the keys, row by row, and of the space bar."""
    row, column = np.divmod(np.arange(BAR), COLUMNS)
    x = (column - (COLUMNS - 1) / 2) * 0.23 + 0.05 * (row - 1)
    return np.append(x, 0.0), np.append(-0.15 + 0.22 * row, -0.15 + 0.22 * ROWS)


def render(canvas: Canvas, pose: Pose, source: Source[TypingLook], times: np.ndarray) -> None:
    """A screen whose line grows with each key, the board, its keys that go down and light up, the hands."""
    look, brush = source.look, canvas.brush(pose)
    hits, _ = struck(source)
    if look.screen:
        brush.box(0, -0.75, 0.75, 0.38, look.case * 0.6, corner=0.04, **look.finish.gloss)
        brush.box(0, -0.75, 0.68, 0.31, look.glass)
        typed = np.searchsorted(hits, times, "right") % 14
        for line in range(3):
            wide = np.maximum(0.04 * typed, 0.01) if line == 2 else 0.5 - 0.12 * line
            brush.box(-0.6 + wide, -0.92 + 0.14 * line, wide, 0.035, look.lit)
    brush.box(0.0, 0.18, 1.08, 0.55, look.case, corner=0.08, **look.finish.gloss)
    x, y = places()
    wide = np.where(np.arange(BAR + 1) == BAR, 0.5, look.half)
    for number in range(BAR + 1):
        brush.box(x[number], y[number], wide[number], 0.9 * look.half, look.cap, corner=look.round)
    age = times[:, None] - hits[None]
    frames, which = np.nonzero((age >= 0) & (age < 0.12))
    down, key = np.clip((0.12 - age[frames, which]) / 0.06, 0, 1), look.key[which]
    brush.box(x[key], y[key], wide[key], 0.9 * look.half, look.case * 0.5, corner=look.round, frames=frames)
    lit = look.cap + (look.lit - look.cap) * look.glow
    brush.box(
        x[key],
        y[key] + 0.04 * down,
        wide[key],
        0.9 * look.half - 0.02 * down,
        lit,
        corner=look.round,
        frames=frames,
    )
    for hand in look.hands:
        height, u, v = hand.height.at(times), hand.x.at(times), hand.y.at(times)
        tip = v - look.reach * height
        big = look.big
        brush.ellipse(u, v + 0.05, big, 0.6 * big, (0, 0, 0), opacity=look.shadow / (1 + 3 * height))
        brush.stick(u + 0.05, tip + 0.65, u + 0.1, 1.6, 0.16, look.sleeve, shade=look.finish.shade)
        brush.ellipse(u + 0.03, tip + 0.5, 0.24, 0.26, look.finger, **look.finish.gloss)
        for finger in (-1, 1, 2):
            brush.stick(u + 0.11 * finger, v + 0.1 - 0.1, u + 0.07 * finger, tip + 0.45, 0.055, look.finger * 0.92)
        brush.stick(u, tip + 0.05, u + 0.02, tip + 0.45, 0.065, look.finger, **look.finish.gloss)


def press(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Down, and softer and higher up again while the finger leaves; [N] float32."""
    down = hit(body, strength, sample_rate, rng)
    up = hit(body.at_pitch(1.5), strength, sample_rate, rng)
    return layered((0, 1.0, down), (int(rng.uniform(0.055, 0.085) * sample_rate), 0.012, up))


TYPING = Kind(
    "typing",
    "rhythmic",
    simulate,
    render,
    (420.0, 1000.0),
    {
        "plastic": Build("block", (0.010, 0.020), 0.3, 6500, 0.75, 0.010, (1800, 7000)),
        "metal": Build("bar", (0.018, 0.035), 0.3, 7500, 0.60, 0.007, (2500, 7500)),
    },
    hit=press,
    near=True,
)
