"""Scrape and saw: something is drawn to and fro over a body; the sound follows its speed and turns with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Number, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import (
    GRID,
    Finish,
    apart,
    finish,
    going,
    material,
    skin,
    timeline,
    tinted,
    vivid,
)
from frieren.world.modal import band, coloured
from frieren.world.motion import SMOOTH, path
from frieren.world.noises import tone, unit, wander
from frieren.world.script import Source

TEETH_HZ = (40.0, 320.0)  # of a saw at full speed, from coarse to fine


@dataclass(frozen=True)
class RubLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    body: Array
    colour: Array
    grip: Array
    finger: Array
    dust: Array
    grain: float
    tilt: float
    shape: str
    aim: Array
    start: Array
    log: bool
    low: float
    hand: Array
    grid: Array
    x: Array
    speed: Array
    size: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[RubLook]:
    """Strokes of unequal length and speed, with rests; the rate is the speed 0..1, for a saw its teeth per second."""
    grid, size = timeline(task), float(rng.uniform())
    now, x, side, knots = -rng.uniform(0, 1.0), -0.5, 1.0, []
    knots.append((now - 0.1, x, SMOOTH))
    while now < task.seconds + 1:
        length, pace = rng.uniform(0.4, 1.0), rng.uniform(0.3, 0.75)
        for _ in range(int(rng.integers(2, 9))):
            now += pace * np.exp(rng.normal(0, 0.12))
            x = side * 0.55 * length * rng.uniform(0.75, 1.0)
            side = -side
            knots.append((now, x, SMOOTH))
        now += rng.uniform(0.3, 1.4)
        knots.append((now, x, SMOOTH))
    place = path(knots).at(grid)
    speed = np.abs(np.gradient(place)) * GRID
    made_of = material(task, rng)
    saw = task.kind.name == "saw"
    fast = np.clip(speed / 3.5, 0, 1)
    # A saw cuts on the push and hardly on the pull.
    bite = np.where(np.gradient(place) > 0, 1.0, 0.55) if saw else 1.0
    loud = np.where(speed > 0.08, fast**0.6 * bite * (0.65 + 0.35 * size), 0.0)
    rate = fast * task.kind.pitch(size) if saw else fast * (1.25 - 0.5 * size)
    body = tinted(made_of, looks)
    look = RubLook(
        finish=finish(looks),
        body=body,
        colour=apart(tinted("steel" if task.kind.name == "saw" else "wood", looks), body, 0.3),
        grip=vivid(looks),
        finger=apart(skin(looks), body, 0.2),
        dust=np.clip(body * 1.3, 0, 1),
        grain=float(looks.choice([0.0, looks.uniform(0.12, 0.3)])),
        tilt=float(looks.uniform(0.0, 0.3)),
        shape=str(looks.choice(["block", "brush", "stone"])),
        aim=looks.uniform(-1, 1, 12),
        start=looks.uniform(0, 1, 12),
        log=bool(looks.random() < 0.5),
        low=float(looks.uniform(0.1, 0.35)),
        hand=skin(looks),
        grid=grid,
        x=place,
        speed=fast,
        size=size,
    )
    return Source(task.kind.name, size, look, activity=going(task, made_of, grid, loud, rate))


def render(canvas: Canvas, pose: Pose, source: Source[RubLook], times: np.ndarray) -> None:
    """The body, dust, and what is drawn over it with the hand that holds it."""
    look, brush = source.look, canvas.brush(pose)
    x, speed = (np.interp(times, look.grid, curve) for curve in (look.x, look.speed))
    low = look.low
    if source.kind == "saw":
        _cut(brush, look, x, low, times)
    else:
        _rubbed(brush, look, x, low)
    run = times[:, None] * 1.7 + look.start
    frames, lane = np.nonzero(speed[:, None] > np.linspace(0.05, 0.9, 12))
    s = (run % 1.0)[frames, lane]
    at = 0.0 if source.kind == "saw" else x[frames]
    brush.disc(
        at + look.aim[lane] * (0.15 + 0.4 * s),
        low + 0.05 - 0.2 * s + 0.75 * s * s,
        0.045,
        look.dust,
        opacity=1 - 0.6 * s,
        frames=frames,
    )


def _rubbed(brush: Brush, look: RubLook, x: Number, low: float) -> None:
    wide, tall = 0.22 + 0.18 * look.size, 0.13
    brush.box(0, low + 0.3, 1.1, 0.3, look.body, stripe=look.grain, **look.finish.gloss)
    brush.stick(x + 0.1, low - 2.4 * tall, x + 0.75, low - 1.05, 0.13, look.hand, shade=look.finish.shade)
    brush.box(
        x, low - tall, wide, tall, look.colour, corner=0.1 if look.shape == "stone" else 0.02, **look.finish.gloss
    )
    if look.shape == "brush":
        for k in (-0.75, -0.25, 0.25, 0.75):
            brush.box(x + k * wide, low - 0.03, wide * 0.14, 0.06, look.grip)
    brush.disc(x, low - 2.2 * tall, 0.17, look.finger, **look.finish.gloss)


def _cut(brush: Brush, look: RubLook, x: Number, low: float, times: Array) -> None:
    """A blade in a beam or log; it sinks a little with the time."""
    deep = 0.02 + 0.2 * times / times[-1] if times[-1] > 0 else 0.1
    tilt = look.tilt
    long = 1.0
    u, v = np.cos(tilt), np.sin(tilt)
    bx, by = x * u, low - 0.12 + deep + x * v
    brush.box(bx, by, long, 0.12, look.colour, angle=tilt, **look.finish.gloss)
    coarse = 0.03 + 0.04 * look.size  # large teeth meet the wood less often
    for s in np.arange(-0.92, 0.93, 3.4 * coarse):
        brush.disc(bx + s * u - 0.13 * v, by + s * v + 0.13 * u, coarse, look.colour * 0.8)
    gx, gy = bx - 1.1 * u, by - 1.1 * v
    brush.ellipse(gx, gy, 0.2, 0.24, look.grip, hollow=0.07)
    brush.disc(gx - 0.1, gy, 0.17, look.finger, **look.finish.gloss)
    brush.stick(gx - 0.1, gy, gx - 0.8, gy - 0.35, 0.12, look.hand, shade=look.finish.shade)
    # The near half of the work hides the edge that is in the cut.
    if look.log:
        brush.disc(0, low + 0.42, 0.42, look.body, **look.finish.gloss)
        brush.disc(0, low + 0.42, 0.25, look.body * 1.15 if look.body.max() < 0.85 else look.body * 0.85)
    else:
        brush.box(0, low + 0.3, 0.75, 0.28, look.body, stripe=look.grain, **look.finish.gloss)
    brush.box(0, low + 0.02 + 0.5 * deep, 0.035, 0.5 * deep + 0.03, look.body * 0.4)


def rasp(
    rate: np.ndarray,
    loudness: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    low: float,
    high: float,
    rough: float,
) -> np.ndarray:
    """Noise through the two resonances of what is rubbed, rough at a rate that follows the speed [S]; [S] float32.

    Args:
        low, high: Hz of the resonances.
        rough: depth of the roughness, 0..1.
    """
    samples = len(rate)
    modes = np.array([low, high]) * rng.uniform(0.8, 1.25, 2)

    def resonance(centre: float) -> Array:
        return coloured(samples, lambda hz: band(0.8 * centre, 1.25 * centre)(hz) ** 2, sample_rate, rng)

    dull, sharp = map(resonance, modes)
    grit = tone(
        40.0 + 130.0 * rate * (1.0 + 0.15 * wander(samples, sample_rate // 60, rng)), [1.0, 0.6], sample_rate, rng
    )
    wave = ((1.1 - 0.6 * rate) * dull + (0.2 + 1.0 * rate) * sharp) * (1.0 + rough * 0.7 * grit)
    return unit(wave, loudness)


def teeth(
    rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator, *, ring: float
) -> np.ndarray:
    """The buzz of teeth at `rate` [S] per second through a blade that rings near `ring` Hz; [S] float32."""
    samples = len(rate)
    hz = rate * (1.0 + 0.03 * wander(samples, sample_rate // 40, rng))
    order = np.arange(1, 25)
    buzz = tone(hz, order**-0.6, sample_rate, rng)
    hum = coloured(samples, lambda f: band(0.85 * ring, 1.2 * ring)(f) ** 3, sample_rate, rng)
    dust = coloured(samples, band(1500.0, 6000.0), sample_rate, rng)
    return unit(buzz + (0.35 * hum + 0.5 * dust) * (1.0 + 0.6 * buzz), loudness)


SCRAPE = Kind(
    "scrape",
    "continuous",
    simulate,
    render,
    (500.0, 5000.0),
    voices={
        "wood": partial(rasp, low=600.0, high=2200.0, rough=0.6),
        "stone": partial(rasp, low=1100.0, high=3800.0, rough=1.0),
        "metal": partial(rasp, low=1800.0, high=5200.0, rough=0.5),
    },
)
SAW = Kind(
    "saw",
    "continuous",
    simulate,
    render,
    TEETH_HZ,
    voices={"wood": partial(teeth, ring=900.0), "metal": partial(teeth, ring=2600.0)},
)
