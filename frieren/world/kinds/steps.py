"""Steps: somebody walks, seen from the side; each step is heel, then toe, on the ground's own sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Number, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, skin, struck, tinted, vivid
from frieren.world.modal import Body, Build, hit, layered
from frieren.world.motion import GAP, HEAD, IN, OUT, SMOOTH, TAIL, Path, path, ring, spaced
from frieren.world.noises import scattered
from frieren.world.script import Source

FLOOR = 0.8
TOE = 0.095  # seconds after the heel
LOOSE = 0.9  # contact noise from which on a ground is of grains


@dataclass(frozen=True)
class Foot:
    """Height of a foot over the ground, its place along the way, and when it comes down."""

    lift: Path
    place: Path
    times: Array


@dataclass(frozen=True)
class StepsLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    ground: Array
    spots: Array
    shoe: Array
    tip: Array
    leg: Array
    coat: Array
    face: Array
    texture: str
    near: bool
    dust: float
    grain: Array
    thick: float
    heel: bool
    feet: tuple[Foot, ...]
    run: Path
    tall: float
    stride: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[StepsLook]:
    """Walks, runs and stands; the feet take turns, and each comes down in front of the other."""
    size = float(rng.uniform())
    times, hard = _gait(rng, task)
    if task.mute:
        times, hard = times[:0], hard[:0]
    strengths = np.clip(hard + rng.normal(0, 0.06, len(times)), 0.35, 1.0)
    made_of = material(task, rng)
    stride = float(rng.uniform(0.25, 0.4))
    feet = tuple(_foot(rng, times[number::2], stride, hard[number::2]) for number in (0, 1))
    # The ground runs by while it walks, a stride for every step, fastest right after the foot is set down.
    until = np.append(times, times[-1] + 0.6 if len(times) else 0.0)
    run = path([(time, 1.6 * stride * count, OUT) for count, time in enumerate(until)], 2.5)
    tints = {"gravel": "stone", "snow": "ceramic"}
    ground = tinted(tints.get(made_of, made_of), looks)
    look = StepsLook(
        finish=finish(looks),
        ground=ground,
        spots=np.clip(ground * looks.uniform(0.5, 0.75), 0, 1),
        shoe=apart(vivid(looks), ground, 0.35),
        tip=apart(vivid(looks), ground, 0.35),
        leg=vivid(looks),
        coat=vivid(looks),
        face=skin(looks),
        texture={"wood": "planks", "stone": "tiles"}.get(made_of, "grains"),
        near=bool(looks.random() < 0.5),
        dust=float(looks.uniform(0.0, 0.8)) if made_of in ("gravel", "snow") else 0.0,
        grain=looks.uniform(-1, 1, (14, 2)),
        thick=float(looks.uniform(0.1, 0.15)),
        heel=bool(looks.random() < 0.5),
        feet=feet,
        run=run,
        tall=0.75 + 0.3 * size,
        stride=stride,
    )
    return Source(task.kind.name, size, look, events=contacts(task, made_of, size, times, strengths, stride, FLOOR))


def _gait(rng: np.random.Generator, task: Task) -> tuple[np.ndarray, np.ndarray]:
    times, hard, now = [], [], -rng.uniform(0, 1.0)
    while now < task.seconds:
        period, force = rng.uniform(0.28, 0.75), rng.uniform(0.4, 0.9)
        for _ in range(int(rng.integers(3, 10))):
            now += max(GAP + 0.02, period * np.exp(rng.normal(0, 0.07)))
            times.append(now)
            # Who walks faster comes down harder.
            hard.append(float(np.clip(force + 0.25 * (0.5 - period), 0.35, 1.0)))
        now += rng.uniform(0.3, 1.5) if rng.random() < 0.6 else 0.0
    kept = spaced([time for time in times if HEAD < time < task.seconds - TAIL], task.taken)
    return kept, np.array([hard[times.index(time)] for time in kept])


def _foot(rng: np.random.Generator, times: np.ndarray, stride: float, hard: np.ndarray) -> Foot:
    """Height over the ground, 0 at each contact, and place along the way: in front when it comes down."""
    lift, place, before = [(-3.0, 0.0, SMOOTH)], [(-3.0, -stride, SMOOTH)], -3.0
    for time, force in zip(times, hard, strict=True):
        gap = time - before
        rise = min(0.5 * gap, 0.45)
        top = 0.12 + 0.3 * force
        lift += [(time - rise, 0.0, SMOOTH), (time - 0.45 * rise, top, OUT), (float(time), 0.0, IN)]
        place += [(time - rise, -stride, SMOOTH), (float(time), stride, SMOOTH)]
        before = time
    lift.append((before + 5.0, 0.0, SMOOTH))
    place.append((before + 0.7, 0.2 * stride, SMOOTH))
    return Foot(path(lift), path(place), np.asarray(times))


def render(canvas: Canvas, pose: Pose, source: Source[StepsLook], times: np.ndarray) -> None:
    """Ground that runs by, legs with a knee each, shoes that turn over from heel to toe, and the body if it fits."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    run = look.run.at(times)
    brush.box(0, FLOOR + 1.5, 4.0, 1.5, look.ground)
    if look.texture == "grains":
        for u, v in look.grain:
            brush.disc(np.mod(1.4 * u - run + 1.6, 3.2) - 1.6, FLOOR + 0.2 + 0.15 * v, 0.045, look.spots)
    else:
        for k in range(4):
            brush.box(np.mod(0.8 * k - run, 3.2) - 1.6, FLOOR + 0.25, 0.03, 0.25, look.spots)
    hip = FLOOR - (1.3 if look.near else 1.02) * look.tall
    bob = 0.07 * np.minimum(ring(times, hits, power, 0.0, 0.09), 1.0)
    for number, foot in enumerate(look.feet):
        _leg(brush, look, foot, times, hip + bob, 1.0 if number else 0.75)
    if not look.near:
        brush.stick(0.0, hip - 0.05 + bob, 0.05, hip - 0.42 + bob, 0.18, look.coat, **look.finish.gloss)
        brush.disc(0.08, hip - 0.76 + bob, 0.17, look.face, **look.finish.gloss)
    else:
        brush.box(0.0, hip - 0.25 + bob, 0.32, 0.35, look.coat, corner=0.08, **look.finish.gloss)
    if look.dust and len(hits):
        age = times[:, None] - hits[None]
        frames, which = np.nonzero((age >= 0) & (age < 0.35))
        s = age[frames, which] / 0.35
        for side in (-1, 1):
            brush.disc(
                look.stride + side * 0.25 * s,
                FLOOR - 0.05 - 0.15 * s * power[which],
                0.05 + 0.06 * s,
                look.spots,
                opacity=look.dust * (1 - s),
                frames=frames,
            )


def _leg(brush: Brush, look: StepsLook, foot: Foot, times: Array, hip: Number, tone: float) -> None:
    x, lift = foot.place.at(times), foot.lift.at(times)
    thick = look.thick
    ankle_x, ankle_y = x - 0.08, FLOOR - 0.16 - lift
    # The knee bends forward as far as the foot is lifted.
    knee_x, knee_y = 0.5 * ankle_x + 0.05 + 0.45 * lift, 0.5 * (hip + ankle_y)
    leg = np.clip(look.leg * tone, 0, 1)
    brush.stick(0.0, hip, knee_x, knee_y, thick, leg, shade=look.finish.shade)
    brush.stick(knee_x, knee_y, ankle_x, ankle_y, 0.85 * thick, leg, shade=look.finish.shade)
    age = np.min(np.where(times[:, None] >= foot.times, times[:, None] - foot.times, 9.0), axis=1, initial=9.0)
    # The toe is up as the heel meets the ground and comes down after it; behind, the heel lifts first.
    turn = -0.45 * np.clip(1 - age / TOE, 0, 1) * (age < 8) + np.where(x < 0, 1.0, -0.6) * np.clip(2.0 * lift, 0, 0.6)
    heel = 0.05 if look.heel else 0.0
    shoe = np.clip(look.shoe * tone, 0, 1)
    brush.box(ankle_x + 0.1, ankle_y + 0.09, 0.2, 0.075, shoe, angle=turn, corner=0.05, **look.finish.gloss)
    if heel:
        brush.box(ankle_x - 0.05, ankle_y + 0.13, 0.05, heel, shoe * 0.6)


def step(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Heel, then a softer and higher toe, and the scuff between them on loose ground; [N] float32."""
    heel = hit(body, strength, sample_rate, rng)
    toe = hit(body.at_pitch(1.35), strength, sample_rate, rng)
    rise = np.linspace(0, 1, int(0.07 * sample_rate))  # it rolls down; only the heel strikes
    toe[: len(rise)] *= rise[: len(toe)]
    parts = [(0, 1.0, heel), (int(0.5 * TOE * rng.uniform(0.7, 1.3) * sample_rate), 0.12, toe)]
    if body.noise > LOOSE:
        grain = heel[: sample_rate // 100] * np.linspace(1, 0, sample_rate // 100)
        first = (np.sort(rng.uniform(0.0, 0.25, 200)) * sample_rate).astype(int)
        fall = np.exp(-np.arange(int(0.3 * sample_rate)) / (0.06 * sample_rate))
        parts.append((0, 0.12, scattered(first, grain[None], len(fall), rng, 0.6) * fall))
    return layered(*parts)


STEPS = Kind(
    "steps",
    "rhythmic",
    simulate,
    render,
    (110.0, 260.0),
    {
        "wood": Build("panel", (0.03, 0.06), 0.8, 1800, 0.35, 0.012, (300, 3000)),
        "stone": Build("block", (0.012, 0.03), 0.4, 5000, 0.60, 0.008, (1200, 6500)),
        "gravel": Build("block", (0.02, 0.03), 0.9, 1500, 1.40, 0.030, (1500, 7500)),
        "snow": Build("block", (0.03, 0.05), 1.0, 900, 1.30, 0.060, (500, 2800)),
    },
    hit=step,
)
