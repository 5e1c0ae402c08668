"""Piano: fingers come down on keys; which key sets the pitch, low on the left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Gloss, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import apart, contacts, material, vivid
from frieren.world.modal import Build
from frieren.world.motion import Path, rhythm, strokes, visits
from frieren.world.script import Source


@dataclass(frozen=True)
class Finger:
    """Height of a finger over the keys, and which place it is at."""

    height: Path
    across: Path


@dataclass(frozen=True)
class PianoLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    white: Array
    dark: Array
    pressed: Array
    finger: Array
    level: float
    tall: float
    reach: float
    thick: float
    sink: float
    lit: float
    blacks: bool
    shape: str
    shade: float
    outline: float
    lean: float
    shadow: float
    fingers: tuple[Finger, ...]
    keys: int
    key: Array
    hold: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[PianoLook]:
    """One or two hands; each moves over to its next key while it is up."""
    keys, size = int(rng.integers(5, 9)), float(rng.uniform())
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    hands = int(rng.integers(1, 3))
    owner = (np.arange(len(times)) + rng.integers(0, 2, len(times)).cumsum()) % hands
    key = rng.integers(0, keys, len(times))
    if hands == 2:  # the left hand keeps to the left half, so that hands never cross
        key = key // 2 + np.where(owner == 1, (keys + 1) // 2, 0)
    x = (key + 0.5) / keys * 2 - 1
    strengths, fingers = np.zeros(len(times)), list[Finger]()
    for hand in range(hands):
        mine = owner == hand
        height, power = strokes(rng, times[mine], task.seconds, hold=float(rng.uniform(0.03, 0.2)))
        strengths[mine] = power
        home = 0.0 if hands == 1 else hand - 0.5
        across = visits(times[mine], x[mine], home)
        fingers.append(Finger(height, across))
    made_of = material(task, rng)
    white = np.full(3, looks.uniform(0.7, 1.0)) if looks.random() < 0.6 else vivid(looks)
    look = PianoLook(
        white=white,
        dark=apart(vivid(looks) * 0.4, white, 0.35),
        pressed=apart(vivid(looks), white, 0.25),
        finger=apart(np.array([0.85, 0.62, 0.5]) * looks.uniform(0.35, 1.15), white, 0.25),
        level=float(looks.uniform(-0.05, 0.25)),
        tall=float(looks.uniform(0.35, 0.7)),
        reach=float(looks.uniform(0.5, 0.85)),
        thick=float(looks.uniform(0.11, 0.17)),
        sink=float(looks.uniform(0.06, 0.16)),
        lit=float(looks.uniform(0.1, 0.9)),
        blacks=bool(looks.random() < 0.5),
        shape=str(looks.choice(["finger", "dot", "bar"])),
        shade=float(looks.uniform(0, 0.4)),
        outline=float(looks.choice([0.0, 0.03])),
        lean=float(looks.uniform(-0.4, 0.4)),
        shadow=float(looks.uniform(0, 0.4)),
        fingers=tuple(fingers),
        keys=keys,
        key=key,
        hold=float(rng.uniform(0.1, 0.3)),
    )
    level = look.level
    events = contacts(task, made_of, size, times, strengths, x, level)
    share = np.clip(1 - (key + 0.5) / keys, 0, 1)
    events = tuple(replace(event, pitch=task.kind.pitch(float(s))) for event, s in zip(events, share, strict=True))
    return Source(task.kind.name, size, look, events=events)


def render(canvas: Canvas, pose: Pose, source: Source[PianoLook], times: np.ndarray) -> None:
    """Keys, each with its own dip, then fingers."""
    look, brush, keys = source.look, canvas.brush(pose), source.look.keys
    hits = np.array([event.time for event in source.events])
    level, tall, style = look.level, look.tall, Gloss(shade=look.shade, outline=look.outline)
    half = 1 / keys
    for number in range(keys):
        age = times[:, None] - hits[None, look.key == number]
        down = np.clip(1 - np.where(age >= 0, age - look.hold, 9).min(1, initial=9) / 0.08, 0, 1)
        tone = look.white + (look.pressed - look.white) * (look.lit * down)[:, None]
        x = (number + 0.5) / keys * 2 - 1
        brush.box(
            x,
            level + tall + look.sink * down,
            half * 0.92,
            tall,
            tone if len(age[0]) else look.white,
            corner=0.03,
            outline=look.outline,
        )
    if look.blacks:
        for number in range(1, keys):
            if number % 4:
                brush.box(number / keys * 2 - 1, level - 0.12, half * 0.5, 0.2, look.dark)
    brush.box(0, level - 0.3, 1.05, 0.15, look.dark)
    for finger in look.fingers:
        height, across = finger.height.at(times), finger.across.at(times)
        thick = look.thick
        dip = look.sink * np.clip(1 - height / 0.08, 0, 1)
        y = level + 0.45 - thick - height * look.reach + dip * 0.6
        if look.shadow:
            brush.ellipse(across, level + 0.45, thick * 1.2, thick * 0.5, (0, 0, 0), opacity=look.shadow / (1 + height))
        if look.shape == "dot":
            brush.disc(across, y, thick * 1.3, look.finger, **style)
        elif look.shape == "bar":
            brush.box(across, y - 0.3, thick * 0.9, 0.3 + thick, look.finger, corner=0.05, **style)
        else:
            brush.stick(across, y, across + look.lean, y - 0.8, thick, look.finger, **style)
            brush.stick(across + look.lean, y - 0.8, across + look.lean * 2, y - 1.6, thick * 2.2, look.finger, **style)


STRING = Build("string", (0.40, 0.80), 0.35, 3000, 0.14, 0.012, (250, 4000))
# A string under its own hammer keeps more of its ring than a body that is touched.
PIANO = Kind("piano", "tonal", simulate, render, (130.8, 1046.5), {"string": STRING}, keep=0.6, mirrors=False)
