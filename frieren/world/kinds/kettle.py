"""Kettle: steam that hisses, then whistles the higher the harder it blows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, finish, going, material, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import swells
from frieren.world.noises import tone, unit, wander
from frieren.world.script import Source

WHISTLE_HZ = (1500.0, 2900.0)
PUFFS = 16


@dataclass(frozen=True)
class KettleLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    colour: Array
    lid: Array
    handle: Array
    stove: Array
    vapour: Array
    flame: Array
    start: Array
    aim: Array
    shape: str
    rattle: float
    arch: bool
    grid: Array
    steam: Array
    size: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[KettleLook]:
    """The steam swells and dies; the rate is the pitch of the whistle, which climbs with it."""
    grid, size = timeline(task), float(rng.uniform())
    steam = swells(rng, grid, calm=0.3) * (not task.mute)
    made_of = material(task, rng)
    loud = np.where(steam > 0.03, 0.08 + 0.8 * steam**1.5, 0.0) * rng.uniform(0.7, 1.0)
    rate = task.kind.pitch(size) * (0.72 + 0.28 * np.sqrt(steam))
    colour = tinted(made_of, looks)
    look = KettleLook(
        finish=finish(looks),
        colour=colour,
        lid=apart(vivid(looks), colour, 0.15),
        handle=vivid(looks) * 0.6,
        stove=vivid(looks) * 0.5,
        vapour=np.ones(3) * looks.uniform(0.75, 1.0),
        flame=np.array([looks.uniform(0.1, 1.0), 0.5, looks.uniform(0.2, 1.0)]),
        start=looks.uniform(0, 1, PUFFS),
        aim=looks.uniform(-0.5, 0.5, PUFFS),
        shape=str(looks.choice(["round", "tall", "cone"])),
        rattle=float(looks.uniform(0.0, 0.05)),
        arch=bool(looks.random() < 0.6),
        grid=grid,
        steam=steam,
        size=size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, rate))


def render(canvas: Canvas, pose: Pose, source: Source[KettleLook], times: np.ndarray) -> None:
    """Stove with its flame, kettle with a trembling lid, a jet of steam as strong as the sound."""
    look = source.look
    brush = canvas.brush(Pose(pose.x, pose.y, pose.scale, 0.3 * pose.tilt, pose.mirror))
    steam = np.interp(times, look.grid, look.steam)
    big = 0.85 + 0.25 * look.size
    brush.box(0, 0.98, 1.0, 0.12, look.stove)
    for k in range(5):
        flick = 0.09 + 0.05 * np.sin(2 * np.pi * (3 + k) * times + k)
        brush.ellipse((k - 2) * 0.2, 0.84 - 0.3 * flick, 0.06, flick, look.flame)
    shake = look.rattle * steam * np.sin(2 * np.pi * 8.3 * times)
    wide, tall = {"round": (0.55, 0.45), "tall": (0.42, 0.55), "cone": (0.5, 0.5)}[look.shape]
    wide, tall = wide * big, tall * big
    y = 0.74 - tall
    brush.stick(0.7 * wide, y + 0.2, wide + 0.28, y - 0.3, 0.09, look.colour, **look.finish.gloss)
    if look.arch:
        brush.ellipse(0, y - tall * 0.9, 0.7 * wide, 0.4, look.handle, hollow=0.05)
    else:
        brush.ellipse(-wide - 0.05, y, 0.22, 0.3, look.handle, hollow=0.05)
    if look.shape == "round":
        brush.ellipse(0, y, wide, tall, look.colour, **look.finish.gloss)
    else:
        brush.box(0, y, wide, tall, look.colour, corner=0.25 if look.shape == "cone" else 0.08, **look.finish.gloss)
    lift = 0.05 * steam + np.abs(shake)
    brush.ellipse(0, y - tall - lift + 0.04, 0.6 * wide, 0.09, look.lid, angle=2 * shake, **look.finish.gloss)
    brush.disc(0, y - tall - 0.1 - lift, 0.07, look.handle)
    _jet(brush, look, steam, times, wide + 0.3, y - 0.36)


def _jet(brush: Brush, look: KettleLook, steam: Array, times: Array, x0: float, y0: float) -> None:
    run = times[:, None] * 1.6 + look.start
    frames, lane = np.nonzero(steam[:, None] > (np.arange(PUFFS) / PUFFS) * 0.6 + 0.02)
    s, power = (run % 1.0)[frames, lane], steam[frames]
    reach = s * (0.25 + 0.75 * power)
    brush.disc(
        x0 + 0.5 * reach + 0.15 * look.aim[lane] * s,
        y0 - 0.9 * reach + 0.25 * look.aim[lane] * s,
        0.06 + 0.3 * s * (0.4 + 0.6 * power),
        look.vapour,
        opacity=0.9 * (1 - s),
        frames=frames,
    )
    brush.stick(
        x0,
        y0,
        x0 + 0.22 * steam,
        y0 - 0.36 * steam,
        0.045 + 0.03 * steam,
        look.vapour,
        opacity=np.clip(3 * steam, 0, 0.9),
    )


def whistle(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Two near tones at `rate` [S] Hz that beat, in the hiss of steam, which is all there is when it is soft."""
    samples = len(rate)
    flutter = 1.0 + 0.006 * np.sin(2 * np.pi * np.cumsum(np.full(samples, rng.uniform(4.0, 8.0))) / sample_rate)
    hz = rate * flutter * (1.0 + 0.003 * wander(samples, sample_rate // 20, rng))
    weights = [1.0, rng.uniform(0.05, 0.2), rng.uniform(0.02, 0.08)]
    voice = tone(hz, weights, sample_rate, rng) + 0.6 * tone(1.012 * hz, weights, sample_rate, rng)
    steam = coloured(samples, band(2500.0, 7000.0), sample_rate, rng)
    blown = np.clip((loudness - 0.08) / 0.2, 0.0, 1.0)
    return unit(0.85 * blown * voice + (0.35 + 0.65 * (1.0 - blown)) * steam, loudness)


KETTLE = Kind("kettle", "tonal", simulate, render, WHISTLE_HZ, voices={"steel": whistle})
