"""Punch: a glove meets a bag on a chain, which swings away and comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, tinted, vivid
from frieren.world.modal import Body, Build, band, coloured, hit, layered
from frieren.world.motion import Path, rhythm, ring, strokes, visits
from frieren.world.noises import scattered
from frieren.world.script import Source


@dataclass(frozen=True)
class PunchLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    bag: Array
    band: Array
    glove: Array
    tip: Array
    arm: Array
    chain: Array
    long: float
    hz: float
    swing: float
    dent: float
    fist: float
    reach: float
    bands: bool
    round: bool
    height: Path
    wide: float
    y: Path


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[PunchLook]:
    """Blows in bursts, high and low; their strength is the size of the swing."""
    size = float(rng.uniform())
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    height, strengths = strokes(rng, times, task.seconds, hold=float(rng.uniform(0.0, 0.05)))
    made_of = material(task, rng)
    wide = 0.28 + 0.18 * size
    y = rng.uniform(-0.15, 0.4, len(times))
    bag = tinted(made_of, looks)
    look = PunchLook(
        finish=finish(looks),
        bag=bag,
        band=vivid(looks),
        glove=apart(vivid(looks), bag, 0.3),
        tip=apart(vivid(looks), bag, 0.3),
        arm=skin(looks),
        chain=tinted("metal", looks),
        long=float(looks.uniform(0.5, 0.7)),
        hz=float(looks.uniform(0.7, 1.3)),
        swing=float(looks.uniform(0.12, 0.32)),
        dent=float(looks.uniform(0.05, 0.2)),
        fist=float(looks.uniform(0.17, 0.25)),
        reach=float(looks.uniform(0.5, 0.8)),
        bands=bool(looks.random() < 0.6),
        round=bool(looks.random() < 0.3),
        height=height,
        wide=wide,
        y=visits(times, y, 0.1),
    )
    return Source(task.kind.name, size, look, events=contacts(task, made_of, size, times, strengths, -wide, y))


def render(canvas: Canvas, pose: Pose, source: Source[PunchLook], times: np.ndarray) -> None:
    """Chain and bag about their hook, then glove and arm."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    # A blow starts the swing at rest, so that the bag is in its place when it is met.
    age = times[:, None] - hits[None]
    swing = power * np.exp(-np.maximum(age, 0) / 0.5) * np.sin(2 * np.pi * look.hz * np.maximum(age, 0))
    turn = -look.swing * swing.sum(1) if len(hits) else np.zeros(len(times))
    flat = 1 - look.dent * np.minimum(ring(times, hits, power, 0.0, 0.06), 1)
    hook, wide, long = -1.15, look.wide, look.long
    x, y = -np.sin(turn) * 1.3, hook + 1.3 * np.cos(turn)
    brush.box(0, hook, 0.5, 0.06, look.chain)
    brush.stick(0, hook, x * 0.55, hook + (y - hook) * 0.55, 0.03, look.chain)
    if look.round:
        brush.ellipse(x, y, wide * flat, wide * 1.2, look.bag, angle=turn, **look.finish.gloss)
    else:
        brush.box(x, y, wide * flat, long, look.bag, angle=turn, corner=0.15, **look.finish.gloss)
    if look.bands:
        for part in (-0.55, 0.55):
            low = part * long
            brush.box(x - low * np.sin(turn), y + low * np.cos(turn), wide * flat * 0.98, 0.05, look.band, angle=turn)
    height, at = look.height.at(times), look.y.at(times)
    sunk = 0.6 * look.dent * np.clip(1 - height / 0.05, 0, 1)
    fist = look.fist
    gx, gy = -wide - fist + sunk - 1.1 * look.reach * height, at + 0.12 * height
    brush.stick(gx, gy, gx - 0.9, gy + 0.35, 0.11, look.arm, shade=look.finish.shade)
    brush.box(gx - 0.8 * fist, gy + 0.1, 0.06, fist * 0.8, look.band, angle=-0.35)
    brush.ellipse(gx, gy, fist, fist * 0.9, look.glove, **look.finish.gloss)
    brush.disc(gx + 0.05, gy - 0.6 * fist, 0.45 * fist, look.glove * 0.85)


def thump(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The blow, and the chain that jingles after it; [N] float32."""
    samples, blow = int(0.4 * sample_rate), hit(body, strength, sample_rate, rng)
    t = np.arange(int(0.05 * sample_rate)) / sample_rate
    links = [np.sin(2 * np.pi * hz * t) for hz in rng.uniform(1800, 4800, 6)]
    bank = (np.stack(links) + 0.5 * coloured(len(t), band(2000, 6000), sample_rate, rng)) * np.exp(-t / 0.009)
    first = (np.sort(rng.uniform(0, 0.35, 400)) * sample_rate).astype(int)  # too many to be told apart
    jingle = scattered(first, bank, samples, rng, 0.5) * np.exp(-np.arange(samples) / (0.08 * sample_rate))
    return layered((0, 1.0, blow), (0, 0.02 * float(np.abs(blow).max()), jingle))


PUNCH = Kind(
    "punch",
    "impacts",
    simulate,
    render,
    (48.0, 95.0),
    {
        "leather": Build("membrane", (0.07, 0.13), 1.0, 700, 0.45, 0.020, (120, 1800)),
        "bag": Build("membrane", (0.06, 0.10), 1.1, 500, 0.50, 0.030, (100, 1200)),
    },
    hit=thump,
)
