"""Siren: an alarm whose lamp follows its pitch: it wails, yelps or alternates between two tones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import GRID, Finish, apart, finish, going, material, timeline, tinted, vivid
from frieren.world.noises import tone, unit
from frieren.world.script import Source

ALARM_HZ = (420.0, 1500.0)


@dataclass(frozen=True)
class SirenLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    case: Array
    foot: Array
    lamp: Array
    other: Array
    dark: Array
    shape: str
    halo: float
    beam: float
    waves: bool
    grid: Array
    high: Array
    on: Array
    turn: Array


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[SirenLook]:
    """Spells of one pattern each, with silence between; the rate is the pitch in Hz."""
    grid, size = timeline(task), float(rng.uniform())
    high = np.zeros(len(grid))  # where between its lowest and its highest tone it is
    on = np.zeros(len(grid))
    now = -rng.uniform(0, 1.0)
    while now < task.seconds and not task.mute:
        stop = now + rng.uniform(1.0, 3.5)
        pattern, hz = str(rng.choice(["wail", "yelp", "two"])), rng.uniform(0.8, 1.25)
        age, here = grid - now, (grid >= now) & (grid < stop)
        if pattern == "wail":
            sweep: Array = 0.5 - 0.5 * np.cos(2 * np.pi * 0.5 * hz * age)
        elif pattern == "yelp":
            sweep = np.mod(2.2 * hz * age, 1.0) ** 0.7
        else:
            sweep = (np.mod(1.1 * hz * age, 1.0) > 0.5) * 0.75 + 0.1
        high, on = np.where(here, sweep, high), np.where(here, 1.0, on)
        now = stop + rng.uniform(0.3, 1.2)
    soft = np.hanning(7) / np.hanning(7).sum()
    on, high = np.convolve(on, soft, "same"), np.convolve(high, np.ones(3) / 3, "same")
    low = task.kind.pitch(size) * 0.75
    made_of = material(task, rng)
    loud = on * (0.45 + 0.35 * high) * rng.uniform(0.7, 1.0)
    case = tinted("plastic", looks)
    lit = np.array([[1.0, 0.15, 0.1], [0.15, 0.35, 1.0], [1.0, 0.65, 0.1], [0.9, 0.95, 1.0]])
    first, second = looks.permutation(4)[:2]
    look = SirenLook(
        finish=finish(looks),
        case=case,
        foot=vivid(looks),
        lamp=lit[first],
        other=lit[second],
        dark=apart(lit[first] * 0.3, case, 0.15),
        shape=str(looks.choice(["beacon", "bar", "horn"])),
        halo=float(looks.uniform(0.25, 0.6)),
        beam=float(looks.uniform(0.25, 0.5)),
        waves=bool(looks.random() < 0.5),
        grid=grid,
        high=high,
        on=on,
        turn=2 * np.pi * np.cumsum(0.7 + 1.5 * high) / GRID,
    )
    return Source(
        task.kind.name,
        size,
        look,
        activity=going(task, made_of, grid, np.where(loud > 0.01, loud, 0.0), low * 2.0 ** (high * 0.9)),
    )


def render(canvas: Canvas, pose: Pose, source: Source[SirenLook], times: np.ndarray) -> None:
    """Foot, lamp or two, light that grows with the pitch, sound waves from a horn."""
    look = source.look
    brush = canvas.brush(replace(pose, scale=pose.scale * (0.75 + 0.4 * source.size)))
    high, on = (np.interp(times, look.grid, curve) for curve in (look.high, look.on))
    glow = on * (0.3 + 0.7 * high)
    if look.shape == "bar":  # two lamps: the left one for the low tones, the right one for the high ones
        brush.box(0, 0.3, 0.95, 0.14, look.case, corner=0.05, **look.finish.gloss)
        for side, lamp, lit in ((-1, look.lamp, on * (1 - high)), (1, look.other, on * high)):
            brush.disc(0.5 * side, -0.02, 0.45 + 0.4 * lit, lamp, opacity=look.halo * lit)
            tone_of = look.dark + (lamp - look.dark) * np.clip(1.3 * lit, 0, 1)[:, None]
            brush.box(0.5 * side, 0, 0.4, 0.2, tone_of, corner=0.12, **look.finish.gloss)
        return
    brush.disc(0, -0.15, 0.5 + 0.65 * glow, look.lamp, opacity=look.halo * glow)
    turn = np.interp(times, look.grid, look.turn)
    brush.box(0, 0.65, 0.65, 0.15, look.foot, corner=0.05, **look.finish.gloss)
    if look.shape == "beacon":
        u = np.cos(turn)
        brush.stick(
            0,
            -0.15,
            1.3 * u,
            -0.15 + 0.25 * np.sin(turn),
            look.beam * 0.4 * (0.3 + high),
            look.lamp,
            opacity=0.7 * on,
        )
        brush.box(0, 0.45, 0.5, 0.12, look.case, **look.finish.gloss)
        tone_of = look.dark + (look.lamp - look.dark) * glow[:, None]
        brush.box(0, 0.0, 0.42, 0.45, tone_of, corner=0.3, **look.finish.gloss)
        brush.ellipse(0.25 * u, -0.05, 0.12, 0.25, (1, 1, 1), opacity=0.85 * on * (np.sin(turn) > -0.3))
        return
    brush.box(0, 0.3, 0.09, 0.35, look.case)
    tone_of = look.dark + (look.lamp - look.dark) * glow[:, None]
    brush.ellipse(0.25, -0.15, 0.22 + 0.08 * high * on, 0.5 + 0.1 * high * on, look.case, **look.finish.gloss)
    brush.ellipse(0.3, -0.15, 0.14 + 0.05 * high * on, 0.38, tone_of)
    brush.box(-0.2, -0.15, 0.35, 0.2, look.case, corner=0.08, **look.finish.gloss)
    brush.disc(-0.2, -0.5, 0.2, tone_of, **look.finish.gloss)
    for k in range(3):
        s = np.mod(2.0 * times + k / 3, 1.0)
        brush.ellipse(0.45 + 0.7 * s, -0.15, 0.06, 0.2 + 0.5 * s, look.lamp, hollow=0.025, opacity=on * (1 - s))


def alarm(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A harsh tone at `rate` [S] Hz through a horn; [S] float32, RMS about 1."""
    order = np.arange(1, 10)
    weights = np.where(order % 2, 1.0, rng.uniform(0.3, 0.8)) * order ** -rng.uniform(0.5, 0.9)
    weights[0] = 0.8 * weights.max()
    return unit(tone(rate, weights, sample_rate, rng), loudness)


SIREN = Kind("siren", "tonal", simulate, render, ALARM_HZ, voices={"plastic": alarm})
