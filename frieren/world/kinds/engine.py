"""Engine: a wheel, rotor or crank whose speed can be seen; the firing rate follows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Gloss, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import GRID, apart, material, tinted, vivid
from frieren.world.modal import band, coloured
from frieren.world.motion import swells
from frieren.world.noises import wander
from frieren.world.script import Activity, Source

FIRING_HZ = (20.0, 120.0)


@dataclass(frozen=True)
class EngineLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    shape: str
    spokes: int
    body: Array
    hub: Array
    case: Array
    mark: Array
    thick: float
    shake: float
    shade: float
    outline: float
    smoke: bool
    phase: Array
    grid: Array
    angle: Array
    speed: Array


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[EngineLook]:
    """Speed swells and stops; the angle is its integral; loudness and firing rate rise with it."""
    grid = np.arange(round(task.seconds * GRID) + 1) / GRID
    speed = swells(rng, grid, calm=0.25)
    turns = rng.uniform(1.5, 3.0) * speed
    angle = 2 * np.pi * np.cumsum(turns) / GRID * rng.choice([-1, 1])
    size, made_of = float(rng.uniform()), material(task, rng)
    runs = np.clip(speed / 0.05, 0, 1)
    rate = (12 + rng.uniform(30, 80) * speed) * (runs > 0)
    activity = None if task.mute else Activity(task.kind.name, made_of, grid, runs * (0.25 + 0.7 * speed), rate)
    if task.mute:  # coasts slowly
        angle = 0.25 * angle
    body = tinted(made_of, looks)
    look = EngineLook(
        shape=str(looks.choice(["wheel", "rotor", "crank", "gear"])),
        spokes=int(looks.integers(2, 5)),
        body=body,
        hub=apart(vivid(looks), body, 0.3),
        case=apart(vivid(looks), body, 0.2),
        mark=apart(vivid(looks), body, 0.4),
        thick=float(looks.uniform(0.08, 0.16)),
        shake=float(looks.uniform(0.0, 0.05)),
        shade=float(looks.uniform(0, 0.4)),
        outline=float(looks.choice([0.0, 0.04])),
        smoke=bool(looks.random() < 0.4),
        phase=looks.uniform(0, 1, 6),
        grid=grid,
        angle=angle,
        speed=speed * (not task.mute),
    )
    return Source(task.kind.name, size, look, activity=activity)


def render(canvas: Canvas, pose: Pose, source: Source[EngineLook], times: np.ndarray) -> None:
    """What turns, what is driven by it, and smoke with the speed."""
    look, brush = source.look, canvas.brush(pose)
    angle = np.interp(times, look.grid, look.angle)
    speed = np.interp(times, look.grid, look.speed)
    x = look.shake * speed * np.sin(2 * np.pi * 11.3 * times)
    y = look.shake * speed * np.sin(2 * np.pi * 9.1 * times + 1)
    style = Gloss(shade=look.shade, outline=look.outline)
    if look.smoke:
        for k, phase in enumerate(look.phase):
            s = np.mod(times * 0.9 + phase, 1)
            brush.disc(
                -0.7 + 0.3 * s * (k % 3), -0.6 - 0.8 * s, 0.1 + 0.2 * s, (0.6, 0.6, 0.6), opacity=0.6 * speed * (1 - s)
            )
    if look.shape in ("rotor", "crank"):
        brush.box(x, y + 0.3, 0.85, 0.75, look.case, corner=0.12, **style)
    if look.shape in ("wheel", "gear"):
        brush.ellipse(x, y, 0.85, 0.85, look.body, hollow=look.thick)
        if look.shape == "gear":
            brush.disc(x, y, 0.62, look.case)
    for k in range(look.spokes):
        turn = angle + 2 * np.pi * k / look.spokes
        u, v = np.cos(turn), np.sin(turn)
        if look.shape == "gear":
            brush.box(x + 0.88 * u, y + 0.88 * v, 0.14, 0.14, look.body, angle=turn)
            brush.disc(x + 0.38 * u, y + 0.38 * v, 0.14, look.mark if k == 0 else look.body)
        elif look.shape == "rotor":
            brush.ellipse(
                x + 0.45 * u,
                y + 0.45 * v,
                0.45,
                look.thick * 1.6,
                look.mark if k == 0 else look.body,
                angle=turn,
                **style,
            )
        else:
            brush.stick(x, y, x + 0.8 * u, y + 0.8 * v, look.thick * 0.7, look.mark if k == 0 else look.body)
    if look.shape == "crank":
        u, v = 0.4 * np.cos(angle), 0.4 * np.sin(angle)
        brush.disc(x, y, 0.55, look.body, **style)
        brush.stick(x + u, y + v, x, y - 0.75 + v * 0.7, look.thick * 0.8, look.mark)
        brush.box(x, y - 0.85 + v * 0.7, 0.28, 0.18, look.hub, **style)
    brush.disc(x, y, 0.16, look.hub, **style)


def engine(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Harmonics of the firing rate [S] Hz with jitter and exhaust noise; [S] float32, RMS about 1.

    One turn of two to four unequal firings is a table read at the integrated phase, so that a changing rate sweeps
    without breaks; a dull and a bright table are mixed by speed.
    """
    samples, cylinders = len(rate), int(rng.integers(2, 5))
    jitter = 0.006 * wander(samples, sample_rate // 16, rng)
    phase = np.cumsum(rate * (1.0 + jitter)) / sample_rate + rng.uniform()
    size = 4096
    order = np.arange(1, size // 2)
    harmonic = order / cylinders
    onset = rng.uniform(0.0, 2.0 * np.pi, len(order))
    body = 1.0 + 1.5 * np.exp(-0.5 * ((np.log2(harmonic) - rng.uniform(1.0, 3.0)) / 0.5) ** 2)
    between = np.where(order % cylinders == 0, 1.0, rng.uniform(0.04, 0.15))
    fits = harmonic * max(float(rate.max()), 1.0) < 0.45 * sample_rate
    position = ((phase / cylinders) % 1.0 * size).astype(np.int32) % size
    speed = np.clip(np.log2(np.maximum(rate, 1.0) / FIRING_HZ[0]) / 2.6, 0.0, 1.0).astype(np.float32)
    tables = []
    for fall in (1.5, 0.8):
        spectrum = np.zeros(size // 2 + 1, dtype=complex)
        spectrum[1:-1] = harmonic**-fall * body * between * fits * np.exp(1j * onset)
        table = np.fft.irfft(spectrum)
        tables.append((table / np.sqrt(np.mean(table**2))).astype(np.float32)[position])
    tone = (1.0 - speed) * tables[0] + speed * tables[1]
    puff = (0.5 + 0.5 * np.cos(2.0 * np.pi * phase)).astype(np.float32) ** 2
    noise = coloured(samples, band(150.0, 2500.0), sample_rate, rng) * (0.3 + puff)
    return 0.93 * tone + (0.15 + 0.3 * speed) * noise


ENGINE = Kind("engine", "continuous", simulate, render, FIRING_HZ, voices={"metal": engine}, near=True)
