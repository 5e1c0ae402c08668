"""Rain and wind: streaks whose density swells in showers; tree, grass or flag that bend in gusts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose, Style
from frieren.world.kind import Kind, Task
from frieren.world.matter import material, timeline, tinted, vivid
from frieren.world.modal import band, coloured, fade_out
from frieren.world.motion import swells
from frieren.world.noises import arrivals, scattered, sliding
from frieren.world.script import Activity, Source

DROPS_HZ, GUSTS_HZ = (1200.0, 4500.0), (180.0, 1200.0)  # of the bubbles of rain; of the middle of the band of wind
MOST_DROPS = 300.0  # drops per second that are made one by one; more of them are heard as noise
DROPS = 24  # different drops in a shower


@dataclass(frozen=True)
class WindLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    shape: str
    leaves: Array
    trunk: Array
    ground: Array
    lean: float
    flutter: float
    hz: float
    phase: Array
    crown: float
    spots: Array
    tall: Array
    shade: float
    second: Array
    grid: Array
    level: Array


@dataclass(frozen=True)
class RainLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    x: Array
    phase: Array
    over: Array
    speed: float
    slant: float
    long: float
    thick: float
    colour: Array
    opacity: float
    ground: float
    soil: Array
    pool: bool
    grid: Array
    level: Array


def simulate_rain(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[RainLook]:
    """Showers: loudness swells and calms; the rate is drops per second."""
    grid, level, size, made_of = _swelling(task, rng, calm=0.3)
    loud = np.where(level > 0.02, 0.1 + 0.9 * level, 0.0) * rng.uniform(0.5, 1.0)
    activity = None if task.mute else Activity(task.kind.name, made_of, grid, loud, (20 + 380 * level) * (level > 0.02))
    return Source(task.kind.name, size, _rain_look(looks, grid=grid, level=level), activity=activity)


def simulate_wind(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[WindLook]:
    """Gusts: loudness swells and calms; the rate is the gust itself."""
    grid, level, size, made_of = _swelling(task, rng, calm=0.35)
    gust = level * rng.uniform(0.5, 1.0)
    activity = None if task.mute else Activity(task.kind.name, made_of, grid, gust, gust * (gust > 0.02))
    return Source(task.kind.name, size, _wind_look(looks, grid=grid, level=gust), activity=activity)


def _swelling(task: Task, rng: np.random.Generator, calm: float) -> tuple[Array, Array, float, str]:
    """Seconds [N], how strongly it blows or rains there [N] in 0..1, size and material."""
    grid = timeline(task)
    level = swells(rng, grid, calm=calm)
    return grid, level, float(rng.uniform()), material(task, rng)


def _rain_look(rng: np.random.Generator, *, grid: Array, level: Array) -> RainLook:
    count = 40
    return RainLook(
        x=rng.uniform(-1.7, 1.7, count),
        phase=rng.uniform(0, 1, count),
        over=(np.arange(count) + 0.5) / count,
        speed=rng.uniform(1.2, 2.6),
        slant=rng.uniform(-0.35, 0.35),
        long=rng.uniform(0.15, 0.5),
        thick=rng.uniform(0.018, 0.04),
        colour=np.ones(3) * rng.uniform(0.6, 1.0) if rng.random() < 0.7 else vivid(rng),
        opacity=rng.uniform(0.5, 0.95),
        ground=rng.uniform(0.4, 0.9),
        soil=vivid(rng) * 0.7,
        pool=bool(rng.random() < 0.7),
        grid=grid,
        level=level,
    )


def _wind_look(rng: np.random.Generator, *, grid: Array, level: Array) -> WindLook:
    leaves = tinted("leaves", rng)
    return WindLook(
        shape=str(rng.choice(["tree", "grass", "flag"])),
        leaves=leaves,
        trunk=tinted("wood", rng) * 0.7,
        ground=vivid(rng) * 0.8,
        lean=rng.uniform(0.3, 0.6),
        flutter=rng.uniform(0.1, 0.3),
        hz=rng.uniform(1.5, 3.5),
        phase=rng.uniform(0, 6, 16),
        crown=rng.uniform(0.28, 0.45),
        spots=rng.uniform(-1, 1, (5, 2)),
        tall=rng.uniform(0.6, 1.1, 16),
        shade=rng.uniform(0.1, 0.5),
        second=vivid(rng),
        grid=grid,
        level=level,
    )


def render_rain(canvas: Canvas, pose: Pose, source: Source[RainLook], times: np.ndarray) -> None:
    """Streaks over the whole picture, and rings where drops meet the ground."""
    look = source.look
    level = np.interp(times, look.grid, look.level)
    brush = canvas.brush(Pose(0.5, 0.5, 0.4, pose.tilt * 0.3, pose.mirror))
    ground = look.ground
    if look.pool:
        brush.box(0, ground + 1.2, 4, 1.3, look.soil, opacity=0.8)
    fall = look.phase[None] + look.speed * times[:, None]
    turn = np.floor(fall)
    frames, lane = np.nonzero(level[:, None] > look.over[None])
    s, turn = fall[frames, lane] - turn[frames, lane], turn[frames, lane]
    x = np.mod(look.x[lane] + 1.7 + turn * 0.77, 3.4) - 1.7
    y = -1.4 + 2.8 * s
    style: Style = {"opacity": look.opacity, "frames": frames}
    brush.stick(
        x + look.slant * y,
        y,
        x + look.slant * (y - look.long),
        y - look.long,
        look.thick,
        look.colour,
        **style,
    )
    if look.pool:  # rings where earlier drops have met the ground
        near = ground + 0.05 + 0.5 * look.phase[lane]
        brush.ellipse(
            x * 0.9,
            near,
            0.02 + 0.2 * s,
            0.01 + 0.06 * s,
            look.colour,
            hollow=0.015,
            opacity=(1 - s) * look.opacity,
            frames=frames,
        )


def render_wind(canvas: Canvas, pose: Pose, source: Source[WindLook], times: np.ndarray) -> None:
    """A tree, grass or a flag that bends in the gusts."""
    look = source.look
    level = np.interp(times, look.grid, look.level)
    brush = canvas.brush(Pose(pose.x, pose.y, pose.scale, 0.2 * pose.tilt, pose.mirror))

    def wave(k: int) -> Array:
        return level * np.sin(2 * np.pi * look.hz * times + look.phase[k])

    bend = look.lean * level + look.flutter * wave(0)
    if look.shape != "flag":
        brush.ellipse(0, 1.0, 1.6, 0.25, look.ground)
    if look.shape == "tree":
        x, y = 0.8 * np.sin(bend), 0.9 - 1.0 * np.cos(bend * 0.7)
        brush.stick(0, 0.95, x * 0.4, y * 0.5 + 0.45, 0.1, look.trunk, shade=look.shade)
        brush.stick(x * 0.4, y * 0.5 + 0.45, x, y, 0.07, look.trunk)
        for k, (u, v) in enumerate(look.spots):
            shift = look.flutter * 0.6 * wave(k + 1) + 0.25 * bend
            tone = look.leaves * (0.75 + 0.1 * k)
            brush.disc(x + shift + 0.38 * u, y - 0.15 + 0.3 * v, look.crown, np.clip(tone, 0, 1), shade=look.shade)
    elif look.shape == "grass":
        count = len(look.tall)
        foot = np.linspace(-1.1, 1.1, count)
        angle = bend[:, None] * 1.3 + look.flutter * level[:, None] * np.sin(
            2 * np.pi * look.hz * times[:, None] - 2 * foot + look.phase
        )
        frames = np.repeat(np.arange(len(times)), count)
        foot, tall = np.tile(foot, len(times)), np.tile(look.tall, len(times))
        angle = angle.ravel()
        mx, my = foot + 0.5 * tall * np.sin(angle * 0.5), 0.95 - 0.5 * tall * np.cos(angle * 0.5)
        tone = np.clip(look.leaves, 0, 1)
        brush.stick(foot, 0.95, mx, my, 0.06, tone * 0.8, frames=frames)
        brush.stick(
            mx,
            my,
            mx + 0.6 * tall * np.sin(angle * 1.3),
            my - 0.6 * tall * np.cos(angle * 1.3),
            0.05,
            tone,
            frames=frames,
        )
    else:
        brush.box(-0.95, 0.1, 0.06, 1.1, look.trunk)
        droop = 1 - np.clip(level * 1.6, 0, 1)
        x, y = np.full(len(times), -0.88), np.full(len(times), -0.55)
        for k in range(7):
            turn = 1.3 * droop + (0.2 + look.flutter * 2) * level * np.sin(2 * np.pi * look.hz * times - k * 0.9)
            step = 0.26
            nx, ny = x + step * np.cos(turn), y + step * np.sin(turn)
            brush.box(
                (x + nx) / 2,
                (y + ny) / 2,
                step * 0.62,
                0.42,
                look.leaves if k % 2 else look.second,
                angle=turn * 0.6,
                shade=look.shade,
            )
            x, y = nx, ny


def rain(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Drops as a Poisson process of `rate` [S] per second over a bed of noise; [S] float32, RMS about 1."""
    samples = len(rate)
    first = arrivals(np.minimum(rate, MOST_DROPS), sample_rate, rng)
    length = int(0.02 * sample_rate)
    t = np.arange(length) / sample_rate
    bank = np.empty((DROPS, length))
    for drop in bank:
        pitch = np.exp(rng.uniform(*np.log(DROPS_HZ)))
        bubble = np.sin(2.0 * np.pi * pitch * t * (1.0 + 4.0 * t)) * np.exp(-t / rng.uniform(0.002, 0.005))
        splash = coloured(length, band(800.0, 6000.0), sample_rate, rng) * np.exp(-t / rng.uniform(0.0005, 0.002))
        drop[:] = fade_out(rng.uniform(0.3, 1.0) * bubble + 0.5 * splash)
    wave = scattered(first, bank, samples, rng)
    bed = coloured(samples, lambda hz: band(500.0, 5000.0)(hz) ** 0.7, sample_rate, rng)
    # Few drops are heard one by one, many melt into the bed.
    density = np.minimum(rate / MOST_DROPS, 1.0)
    return ((2.0 - 0.7 * density) * wave + (0.1 + 0.6 * np.sqrt(density)) * bed).astype(np.float32)


def wind(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Band-passed noise whose centre rises with loudness and with the gust `rate` [S] 0..1; [S] float32, RMS near 1."""
    low, high = np.array(GUSTS_HZ) * rng.uniform(0.8, 1.25)
    where = 2.0 * np.clip(0.7 * rate + 0.3 * loudness, 0.0, 1.0)
    return sliding(where, np.geomspace(low, high, 3), sample_rate, rng)


RAIN = Kind("rain", "continuous", simulate_rain, render_rain, DROPS_HZ, voices={"water": rain}, fills=True)
WIND = Kind("wind", "continuous", simulate_wind, render_wind, GUSTS_HZ, voices={"air": wind})
