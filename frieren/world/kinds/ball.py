"""Ball: dropped, bounces by restitution until the bounces are too quick to count, is lifted and dropped again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Canvas, Gloss, Number, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Spray, apart, burst, contacts, material, spray, struck, tinted, vivid
from frieren.world.modal import Build
from frieren.world.motion import GAP, HEAD, IN, OUT, SMOOTH, TAIL, Path, glide, path, ring
from frieren.world.script import Source


@dataclass(frozen=True)
class BallLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    radius: float
    shape: str
    above: bool
    colour: Array
    mark: Array
    ground: Array
    floor: str
    stripe: float
    spin: float
    shade: float
    outline: float
    squash: float
    shadow: float
    spray: Spray
    height: Path
    across: Path
    hits: Array


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[BallLook]:
    """Drops at random times; between two contacts the height is a parabola, so its knots ease out and in by squares."""
    top = rng.uniform(0.75, 1.15)
    gravity = 8 * top / rng.uniform(0.55, 0.85) ** 2
    bounce = rng.uniform(0.55, 0.9)
    knots = [(-2.0, top * rng.uniform(0.5, 1), SMOOTH)]
    times, speeds, places = list[float](), list[float](), list[float]()
    now, x = -rng.uniform(0, 1.2), rng.uniform(-0.5, 0.5)
    while now < task.seconds:
        drop, flight = _drop(rng, now, top, gravity, bounce)
        if task.mute:
            drop = np.array([])
        elif not _fits(drop, task, times):
            now += rng.uniform(0.05, 0.2)
            continue
        height = float(gravity * flight**2 / 2)
        knots.append((now, height, SMOOTH))
        if task.mute:  # it comes down slowly, as on a string, and turns back before the ground
            knots += [(now + flight * 2, rng.uniform(0.15, 0.4) * top, SMOOTH)]
            now += flight * 2 + rng.uniform(0.5, 1.0)
            continue
        target = float(np.clip(x + rng.uniform(-0.6, 0.6), -0.6, 0.6))
        _bounces(knots, drop, gravity)
        times += list(drop)
        speeds += [gravity * flight] + list(gravity * np.diff(drop) / 2)
        places += list(np.linspace(x, target, len(drop)))
        x = target
        caught = drop[-1] + rng.uniform(0.02, 0.5)
        knots.append((caught, 0.0, SMOOTH))
        now = caught + rng.uniform(0.3, 0.9)
    inside = np.array([i for i, t in enumerate(times) if HEAD < t < task.seconds - TAIL], int)
    size = float(rng.uniform())
    across = glide(times, places) if times else glide([0.0], [x])
    made_of = material(task, rng)
    ground = vivid(looks)
    look = BallLook(
        radius=0.22 + 0.14 * size,
        shape=str(looks.choice(["ball", "ball", "ball", "box", "egg"])),
        above=bool(looks.random() < 0.15),
        colour=apart(tinted(made_of, looks), ground, 0.3),
        mark=vivid(looks),
        ground=ground,
        floor=str(looks.choice(["plain", "plank", "line"])),
        stripe=float(looks.choice([0.0, looks.uniform(0.15, 0.3)])),
        spin=float(looks.uniform(-6, 6)),
        shade=float(looks.uniform(0.1, 0.6)),
        outline=float(looks.choice([0.0, 0.03, 0.045])),
        squash=float(looks.uniform(0.05, 0.35)),
        shadow=float(looks.uniform(0.0, 0.5)),
        spray=spray(looks),
        height=path(knots),
        across=across,
        hits=np.array(places)[inside],
    )
    strength = np.clip(0.3 + 0.7 * np.array(speeds) / np.sqrt(2 * gravity * top), 0.35, 1.0)
    events = contacts(task, made_of, size, np.array(times)[inside], strength[inside], look.hits, 0.5)
    return Source(task.kind.name, size, look, events=events)


def _drop(rng: np.random.Generator, now: float, top: float, gravity: float, bounce: float) -> tuple[np.ndarray, float]:
    """Contact times of one drop that starts at `now`, and how long it fell before the first."""
    flight = float(np.sqrt(2 * rng.uniform(0.55, 1.0) * top / gravity))
    most, gaps, gap = int(rng.integers(1, 9)), [now + flight], 2 * flight * bounce
    while gap > GAP and len(gaps) < most:
        gaps.append(gap)
        gap *= bounce * rng.uniform(0.93, 1.04)
    return np.cumsum(gaps), flight


def _fits(drop: np.ndarray, task: Task, times: list[float]) -> bool:
    others = np.array([*task.taken, *times[-1:], -9.0])
    edges = ((drop > -0.5) & (drop <= HEAD)) | ((drop >= task.seconds - TAIL) & (drop < task.seconds))
    return bool(np.abs(drop[:, None] - others).min() >= GAP and not edges.any())


def _bounces(knots: list[tuple[float, float, int]], drop: np.ndarray, gravity: float) -> None:
    knots.append((drop[0], 0.0, IN))
    for start, stop in zip(drop[:-1], drop[1:], strict=True):
        knots.append(((start + stop) / 2, gravity * (stop - start) ** 2 / 8, OUT))
        knots.append((stop, 0.0, IN))


def render(canvas: Canvas, pose: Pose, source: Source[BallLook], times: np.ndarray) -> None:
    """Ground, shadow, ball, dust."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    height, x = look.height.at(times), look.across.at(times)
    radius: Number = look.radius
    flat = 1 - look.squash * np.minimum(ring(times, hits, power, 0.0, 0.05), 1)
    style = Gloss(shade=look.shade, outline=look.outline)
    if look.above:
        brush.box(0, 0.1, 1.1, 0.9, look.ground, corner=0.1, stripe=0.3 if look.floor == "plank" else 0)
        brush.ellipse(
            x + 0.45 * height,
            0.5 - radius + 0.25 * height,
            radius,
            radius * 0.9,
            (0, 0, 0),
            opacity=0.15 + look.shadow,
        )
        radius = radius * (1 + 0.5 * height)
        y = 0.5 - look.radius - 0.45 * height
    else:
        if look.floor == "line":
            brush.box(0, 0.54, 1.4, 0.04, look.ground)
        elif look.floor == "plank":
            brush.box(0, 0.64, 1.1, 0.14, look.ground, corner=0.03, stripe=0.3, **style)
        else:
            brush.box(0, 2.0, 4.0, 1.5, look.ground)
        spread = radius * (1 + 0.3 * height)
        brush.ellipse(x, 0.52, spread, spread * 0.25, (0, 0, 0), opacity=look.shadow / (1 + 2 * height))
        y = 0.5 - radius * flat - height
    turn = look.spin * x
    shape = look.shape
    if shape == "box":
        brush.box(x, y, radius * 0.85 / flat, radius * flat, look.colour, corner=0.05, stripe=look.stripe, **style)
    else:
        wide = radius * (1.2 if shape == "egg" else 1.0) / flat
        brush.ellipse(x, y, wide, radius * flat, look.colour, stripe=look.stripe, **style)
        mark = 0.55 * radius
        brush.disc(x + mark * np.cos(turn), y + mark * np.sin(turn) * flat, 0.3 * radius, look.mark, opacity=0.8)
    burst(brush, look.spray, times, hits, power, look.hits, 0.5)


# Wood, rubber and skin lose a ring within a tenth of a second, glass and metal within most of a second.
BALL = Kind(
    "ball",
    "impacts",
    simulate,
    render,
    (160.0, 900.0),
    {
        "rubber": Build("membrane", (0.04, 0.08), 0.8, 1500, 0.35, 0.012, (150, 2500)),
        "wood": Build("block", (0.03, 0.08), 0.8, 4000, 0.40, 0.010, (300, 5000)),
        "plastic": Build("shell", (0.04, 0.10), 0.6, 5000, 0.40, 0.008, (600, 6500)),
        "glass": Build("shell", (0.20, 0.60), 0.4, 7000, 0.35, 0.006, (1500, 7500)),
    },
    tilts=True,
)
