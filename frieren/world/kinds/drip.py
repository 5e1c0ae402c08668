"""Drip: a drop swells under a spout, falls, and meets water with a splash and rings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Spray, apart, burst, contacts, material, spray, struck, tinted, vivid
from frieren.world.modal import Build
from frieren.world.motion import rhythm
from frieren.world.script import Source


@dataclass(frozen=True)
class DripLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    radius: float
    level: float
    top: float
    flat: float
    vessel: str
    spout: str
    water: Array
    drop: Array
    rings: Array
    metal: Array
    leaf: Array
    reach: float
    life: float
    crown: float
    shade: float
    spray: Spray
    fall: float
    swing: float
    x: Array


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[DripLook]:
    """Contacts in bursts; several drops may be in the air at once."""
    size = float(rng.uniform())
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    strengths = np.clip(rng.uniform(0.4, 0.9) + rng.normal(0, 0.12, len(times)), 0.35, 1.0)
    made_of = material(task, rng)
    water = tinted("water", looks)
    look = DripLook(
        radius=0.11 + 0.08 * size,
        level=float(looks.uniform(0.35, 0.6)),
        top=float(looks.uniform(-0.95, -0.7)),
        flat=float(looks.choice([looks.uniform(0.12, 0.25), looks.uniform(0.3, 0.7)])),
        vessel=str(looks.choice(["sea", "bowl", "puddle"])),
        spout=str(looks.choice(["tap", "leaf", "none"])),
        water=water,
        drop=apart(vivid(looks), water, 0.35),
        rings=apart(np.ones(3) * looks.uniform(0.2, 1.0), water, 0.25),
        metal=tinted("metal", looks),
        leaf=tinted("leaves", looks),
        reach=float(looks.uniform(0.45, 0.95)),
        life=float(looks.uniform(0.4, 0.9)),
        crown=float(looks.uniform(0.1, 0.45)),
        shade=float(looks.uniform(0.0, 0.5)),
        spray=spray(looks),
        fall=float(rng.uniform(0.28, 0.5)),
        swing=float(rng.uniform(0.3, 1.0)),
        x=looks.normal(0, looks.choice([0.0, 0.12]), len(times)).clip(-0.3, 0.3),
    )
    return Source(
        task.kind.name, size, look, events=contacts(task, made_of, size, times, strengths, look.x, look.level)
    )


def render(canvas: Canvas, pose: Pose, source: Source[DripLook], times: np.ndarray) -> None:
    """Water, rings, drops in the air, spout, splash."""
    look, brush, level = source.look, canvas.brush(pose), source.look.level
    hits, power = struck(source)
    x = look.x
    if look.vessel == "sea":
        brush.box(0, level + 2.0 - 0.5 * look.flat, 4.0, 2.0, look.water)
    else:
        if look.vessel == "bowl":
            brush.ellipse(0, level + 0.15, 1.0, 0.5, look.metal, shade=look.shade)
        brush.ellipse(0, level, 0.95, 0.95 * look.flat, look.water)
    _rings(brush, look, times, hits, power, x)
    _falling(brush, look, times, hits, x)
    top = look.top
    if look.spout == "tap":
        brush.box(-0.5, top - 0.22, 0.6, 0.12, look.metal, corner=0.05, shade=look.shade)
        brush.box(0, top - 0.12, 0.12, 0.16, look.metal, shade=look.shade)
    elif look.spout == "leaf":
        brush.ellipse(-0.35, top - 0.1, 0.5, 0.14, look.leaf, angle=0.4, shade=look.shade)
    burst(brush, look.spray, times, hits, power, x, level)


def _rings(brush: Brush, look: DripLook, times: Array, hits: Array, power: Array, x: Array) -> None:
    """Rings that widen from the last contacts, and the crown that stands up for a moment."""
    if len(hits) == 0:
        return
    age = times[:, None] - hits[None]
    frames, which = np.nonzero((age >= 0) & (age < look.life))
    age = age[frames, which]
    left = 1 - age / look.life
    radius = 0.06 + look.reach * power[which] * np.sqrt(age / look.life)
    for share in (1.0, 0.55):
        r = radius * share
        brush.ellipse(
            x[which],
            look.level,
            r,
            r * look.flat,
            look.rings,
            hollow=0.03,
            opacity=left * share,
            frames=frames,
        )
    crown = look.crown * power[which] * np.sin(np.pi * np.minimum(age / 0.22, 1))
    tip = look.level - crown
    brush.stick(
        x[which],
        look.level,
        x[which],
        tip,
        0.05 + 0.2 * crown,
        look.drop,
        opacity=(crown > 0.02) * 1.0,
        frames=frames,
    )


def _falling(brush: Brush, look: DripLook, times: Array, hits: Array, x: Array) -> None:
    """Drops on their way, each drawn out by its speed, and the next one as it swells under the spout."""
    radius, top, depth = look.radius, look.top, look.level - look.top
    if len(hits):
        age = times[:, None] - (hits - look.fall)[None]
        frames, which = np.nonzero((age >= 0) & (age < look.fall))
        s = age[frames, which] / look.fall
        y = top + (depth - radius) * (0.15 * s + 0.85 * s * s)
        brush.stick(x[which], y - radius * 0.9 * s, x[which], y, radius, look.drop, shade=look.shade, frames=frames)
    starts = hits - look.fall
    after = np.searchsorted(starts, times, "right")
    wait = np.append(starts, 1e3)[after] - times if len(starts) else np.full(len(times), 1e3)
    swell = np.clip(1 - wait / 0.35, 0.0, 1.0)
    if len(hits) == 0:  # a drop that hangs and trembles but never falls
        swell = 0.7 + 0.3 * np.sin(2 * np.pi * look.swing * times)
    brush.ellipse(
        0,
        top + 0.02 + 0.06 * swell,
        radius * swell,
        radius * 1.1 * swell + 1e-3,
        look.drop,
        opacity=(swell > 0.05) * 1.0,
    )


BUBBLE = Build("bubble", (0.05, 0.11), 0.0, 9000, 0.22, 0.010, (1000, 7000))
DRIP = Kind("drip", "impacts", simulate, render, (500.0, 2500.0), {"water": BUBBLE})
