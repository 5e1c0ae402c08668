"""Kit: bass drum, snare, tom and hi-hat; what is hit, and how large it is, sets the sound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, skin, struck, tinted, vivid
from frieren.world.modal import Build
from frieren.world.motion import GAP, HEAD, TAIL, Path, ring, spaced, strokes, visits
from frieren.world.script import Source

# Place and half width in own units, and pitch over the kind's.
PIECES = {
    "kick": (0.0, 0.45, 0.45, 1.0),
    "snare": (-0.6, 0.15, 0.32, 3.2),
    "hat": (-0.85, -0.35, 0.34, 60.0),
    "tom": (0.6, -0.05, 0.32, 1.9),
}
NAMES = tuple(PIECES)


@dataclass(frozen=True)
class KitLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    shell: Array
    head: Array
    brass: Array
    metal: Array
    tip: Array
    finger: Array
    badge: Array
    reach: float
    shine: float
    dent: float
    sway: float
    beater: Path
    stick: Path
    x: Path
    y: Path
    piece: Array
    size: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[KitLook]:
    """A pattern over four to eight beats, played again with slips, fills and stops; a beater and a stick play it."""
    size = float(rng.uniform())
    times, piece = _pattern(rng, task)
    if task.mute:
        times, piece = times[:0], piece[:0]
    strengths, foot = np.zeros(len(times)), piece == 0
    beater, strengths[foot] = strokes(rng, times[foot], task.seconds)
    stick, strengths[~foot] = strokes(rng, times[~foot], task.seconds)
    x, y = (np.array([PIECES[name][axis] for name in NAMES]) for axis in (0, 1))
    look = _look(
        looks,
        beater=beater,
        stick=stick,
        x=visits(times[~foot], x[piece[~foot]], -0.6),
        y=visits(times[~foot], y[piece[~foot]], 0.1),
        piece=piece,
        size=size,
    )
    at_y = np.where(foot, 0.45, y[piece])
    events = contacts(task, "kick", size, times, strengths, x[piece], at_y)
    events = tuple(
        replace(event, material=NAMES[which], pitch=event.pitch * PIECES[NAMES[which]][3])
        for event, which in zip(events, piece, strict=True)
    )
    return Source(task.kind.name, size, look, events=events)


def _pattern(rng: np.random.Generator, task: Task) -> tuple[np.ndarray, np.ndarray]:
    times, pieces, now = [], [], HEAD - rng.uniform(0, 1.0)
    while now < task.seconds:
        gap, length = rng.uniform(0.17, 0.36), int(rng.choice([4, 6, 8]))
        bar = rng.choice(4, length, p=[0.28, 0.22, 0.36, 0.14])
        bar[0] = 0
        rest = rng.random(length) < 0.15
        for beat in range(length * int(rng.integers(1, 4))):
            now += max(GAP + 0.004, gap * np.exp(rng.normal(0, 0.04)))
            if rest[beat % length]:
                continue
            times.append(now)
            pieces.append(int(rng.integers(4)) if rng.random() < 0.12 else int(bar[beat % length]))
        now += rng.uniform(0.3, 1.2) if rng.random() < 0.6 else 0.0
    kept = spaced([time for time in times if HEAD < time < task.seconds - TAIL], task.taken)
    return kept, np.array([pieces[times.index(time)] for time in kept], int)


def _look(
    rng: np.random.Generator, *, beater: Path, stick: Path, x: Path, y: Path, piece: Array, size: float
) -> KitLook:
    shell = vivid(rng)
    return KitLook(
        finish=finish(rng),
        shell=shell,
        head=apart(tinted("skin", rng), shell, 0.3),
        brass=tinted("bronze", rng),
        metal=tinted("metal", rng),
        tip=apart(tinted("wood", rng), shell, 0.3),
        finger=skin(rng),
        badge=vivid(rng),
        reach=float(rng.uniform(0.35, 0.6)),
        shine=float(rng.uniform(0.2, 0.7)),
        dent=float(rng.uniform(0.02, 0.06)),
        sway=float(rng.uniform(0.15, 0.4)),
        beater=beater,
        stick=stick,
        x=x,
        y=y,
        piece=piece,
        size=size,
    )


def render(canvas: Canvas, pose: Pose, source: Source[KitLook], times: np.ndarray) -> None:
    """The pieces, each stirred by its own hits, then the stick over them."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    for number, (name, (x, y, wide, _)) in enumerate(PIECES.items()):
        mine = look.piece == number
        lit = np.minimum(ring(times, hits[mine], power[mine], 0.0, 0.1), 1.0)
        stir = ring(times, hits[mine], power[mine], 9.0, 0.12)
        tone = np.clip(look.head + look.shine * (0.5 - look.head.mean()) * 2 * lit[:, None], 0, 1)
        wide = wide * (0.9 + 0.2 * look.size)
        if name == "kick":
            brush.disc(x, y, wide + 0.06 + 0.03 * lit, look.shell, **look.finish.gloss)
            brush.disc(x, y, wide + look.dent * stir, tone)
            brush.disc(x, y, 0.14 * wide, look.badge)
            gone = look.beater.at(times)
            brush.stick(x + 0.15 + 0.5 * gone, 1.0, x + 0.02 + 0.5 * gone, y + 0.05 - 0.25 * gone, 0.035, look.metal)
            brush.disc(x + 0.02 + 0.5 * gone, y + 0.02 - 0.25 * gone, 0.1, look.tip, **look.finish.gloss)
        elif name == "hat":
            brush.stick(x, y, x, 1.0, 0.025, look.metal)
            angle = look.sway * ring(times, hits[mine], power[mine], 5.0, 0.2)
            brass = np.clip(look.brass + 0.6 * look.shine * lit[:, None], 0, 1)
            brush.ellipse(x, y + 0.07, wide, 0.05, look.brass * 0.7, angle=-0.3 * angle)
            brush.ellipse(x, y, wide, 0.05, brass, angle=angle)
        else:
            brush.stick(x, y + 0.2, x + 0.1 * np.sign(x), 1.0, 0.03, look.metal)
            brush.box(x, y + 0.16, wide, 0.14, look.shell, corner=0.04, **look.finish.gloss)
            brush.ellipse(x, y + look.dent * stir, wide, 0.11, tone, outline=0.03)
    height = look.stick.at(times)
    u, v = look.x.at(times) + 0.1 * height, look.y.at(times) - 0.04 - look.reach * height
    brush.stick(u, v, u + 0.55, v - 0.35 + 0.25 * height, 0.035, look.tip, shade=look.finish.shade)
    brush.disc(u, v, 0.06, look.tip)
    brush.disc(u + 0.57, v - 0.36 + 0.25 * height, 0.13, look.finger, **look.finish.gloss)


KIT = Kind(
    "kit",
    "rhythmic",
    simulate,
    render,
    (48.0, 75.0),
    {
        "kick": Build("membrane", (0.10, 0.18), 1.2, 500, 0.30, 0.008, (200, 2500)),
        "snare": Build("membrane", (0.06, 0.10), 0.7, 2500, 1.3, 0.090, (1200, 7000)),
        "hat": Build("plate", (0.04, 0.10), 0.1, 9000, 1.6, 0.055, (5000, 7900)),
        "tom": Build("membrane", (0.14, 0.26), 0.8, 1200, 0.25, 0.008, (300, 3500)),
    },
)
