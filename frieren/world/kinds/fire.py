"""Fire: flames that leap and sink, sparks with the crackle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import going, material, timeline, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import swells
from frieren.world.noises import arrivals, clicks, scattered, unit, wander
from frieren.world.script import Source

CRACKLE_HZ = (1500.0, 6500.0)
TONGUES, SPARKS = 9, 14


@dataclass(frozen=True)
class FireLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    colour: Array
    hot: Array
    log: Array
    ash: Array
    pit: str
    x: Array
    tall: Array
    hz: Array
    phase: Array
    fly: Array
    start: Array
    aim: Array
    glow: float
    smoke: bool
    grid: Array
    level: Array
    size: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[FireLook]:
    """The blaze swells and sinks; the rate is crackles per second."""
    grid, size = timeline(task), float(rng.uniform())
    level = swells(rng, grid, calm=0.3) * (not task.mute)
    made_of = material(task, rng)
    loud = np.where(level > 0.02, (0.12 + 0.88 * level) * (0.6 + 0.4 * size), 0.0)
    activity = going(task, made_of, grid, loud, (3 + 45 * level) * (0.7 + 0.6 * size))
    hot = np.array([1.0, looks.uniform(0.6, 0.95), looks.uniform(0.1, 0.5)])
    return Source(
        task.kind.name,
        size,
        FireLook(
            colour=np.array([looks.uniform(0.8, 1.0), looks.uniform(0.2, 0.5), looks.uniform(0.0, 0.15)]),
            hot=hot if looks.random() < 0.85 else vivid(looks),
            log=tinted("wood", looks) * 0.6,
            ash=vivid(looks) * 0.5,
            pit=str(looks.choice(["logs", "bowl", "bars"])),
            x=np.linspace(-0.55, 0.55, TONGUES) + looks.normal(0, 0.05, TONGUES),
            tall=looks.uniform(0.6, 1.2, TONGUES),
            hz=looks.uniform(1.2, 3.6, TONGUES),
            phase=looks.uniform(0, 6.3, TONGUES),
            fly=looks.uniform(0.5, 1.1, SPARKS),
            start=looks.uniform(0, 1, SPARKS),
            aim=looks.uniform(-0.6, 0.6, SPARKS),
            glow=float(looks.uniform(0.0, 0.35)),
            smoke=bool(looks.random() < 0.4),
            grid=grid,
            level=level,
            size=size,
        ),
        activity=activity,
    )


def render(canvas: Canvas, pose: Pose, source: Source[FireLook], times: np.ndarray) -> None:
    """Glow, flames outer to inner, sparks, what burns."""
    look = source.look
    brush = canvas.brush(Pose(pose.x, pose.y, pose.scale, 0.2 * pose.tilt, pose.mirror))
    level = np.interp(times, look.grid, look.level)
    wide = 0.7 + 0.4 * look.size
    base = 0.62
    if look.glow:
        brush.disc(0, base - 0.4, 0.5 + 0.8 * level, look.hot, opacity=look.glow * level)
    if look.smoke:
        for k in range(4):
            s = np.mod(times * 0.4 + 0.25 * k, 1)
            brush.disc(
                0.3 * np.sin(4 * s + k),
                base - 0.6 - 1.1 * s,
                0.12 + 0.25 * s,
                (0.5, 0.5, 0.5),
                opacity=0.35 * level * (1 - s),
            )
    if look.pit == "bowl":
        brush.ellipse(0, base + 0.2, 0.8, 0.35, look.ash, shade=0.3)
    for share, tone in ((1.0, look.colour), (0.62, look.hot), (0.3, (1.0, 0.97, 0.8))):
        for k in range(TONGUES):
            beat = np.sin(2 * np.pi * look.hz[k] * times + look.phase[k])
            quick = np.sin(2 * np.pi * 2.7 * look.hz[k] * times + 2 * look.phase[k])
            tall = share * look.tall[k] * level * (0.95 + 0.25 * beat + 0.12 * quick)
            x = wide * look.x[k]
            lean = 0.12 * beat * share
            brush.stick(
                x,
                base,
                x * 0.7 + lean,
                base - 1.15 * tall,
                0.015 + 0.1 * share * np.sqrt(level),
                tone,
                opacity=np.minimum(1, 6 * level),
            )
    _sparks(brush, look, level, times, base)
    _fuel(brush, look, base, wide)


def _sparks(brush: Brush, look: FireLook, level: Array, times: Array, base: float) -> None:
    """Sparks fly as often as it crackles: each lane is lit while the blaze is above its own threshold."""
    run = times[:, None] * look.fly + look.start
    s = run % 1.0
    over = (np.arange(SPARKS) * 7 % SPARKS + 1) / (SPARKS + 1)
    frames, lane = np.nonzero(level[:, None] > over)
    s = s[frames, lane]
    x = look.aim[lane] * (0.5 + s) + 0.1 * np.sin(9 * s + lane)
    brush.disc(x, base - 0.3 - 1.3 * s, 0.035, look.hot, opacity=1 - s, frames=frames)


def _fuel(brush: Brush, look: FireLook, base: float, wide: float) -> None:
    if look.pit == "bars":
        for k in range(5):
            brush.box((k - 2) * 0.35, base + 0.05, 0.04, 0.28, look.ash)
    if look.pit != "bowl":
        brush.stick(-0.75 * wide, base + 0.22, 0.6 * wide, base + 0.02, 0.1, look.log, shade=0.3)
        brush.stick(0.75 * wide, base + 0.22, -0.6 * wide, base + 0.02, 0.1, look.log * 0.8, shade=0.3)


def crackle(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Cracks as a Poisson process of `rate` [S] per second, of very unequal size, over a low roar; [S] float32."""
    samples = len(rate)
    bank = clicks(24, 0.03, (0.0008, 0.006), CRACKLE_HZ, sample_rate, rng)
    wave = scattered(arrivals(rate, sample_rate, rng), bank, samples, rng, spread=1.0)
    roar = coloured(samples, band(50.0, 350.0), sample_rate, rng)
    roar = roar * (1.0 + 0.4 * wander(samples, sample_rate // 6, rng))
    return unit(0.55 * unit(np.clip(wave, -9.0, 9.0), loudness) + 0.75 * unit(roar, loudness), loudness)


FIRE = Kind("fire", "continuous", simulate, render, CRACKLE_HZ, voices={"wood": crackle})
