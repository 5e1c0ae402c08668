"""Puppets that strike: sticks and hammers, fists and knives, fingers, feet, hands that clap, drummers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frieren.world.puppets.act import Act, ActScene, hits, lag, visits
from frieren.world.puppets.paths import (
    Blow,
    Curve,
    Line,
    draw_manner,
    draw_rhythm,
    shake,
    slowing,
    smooth,
    speeding,
    swing,
    wander,
)
from frieren.world.puppets.stage import Part


def _target(scene: ActScene, blows: list[Blow]) -> list[Part]:
    """What is struck: a ground, a block, a drum, a thing that gives way, or nothing in particular."""
    rng, sounding = scene.rng, hits(blows)
    style = rng.choice(["ground", "block", "disc", "none"], p=[0.3, 0.35, 0.2, 0.15])
    give = rng.choice([0.0, 0.0, rng.uniform(0.005, 0.05)])
    instants, sizes = [t for t, _ in sounding], [give * s for _, s in sounding]
    jolt = shake(scene.t, instants, sizes, rng.uniform(4, 25), rng.uniform(0.03, 0.25))
    if style == "ground":
        return [scene.part("box", jolt * rng.choice([0, 1]), jolt + 1.5, 0.0, 4.0, 1.5)]
    if style == "block":
        half_x, half_y = rng.uniform(0.15, 1.0), rng.uniform(0.08, 0.5)
        tilt = shake(scene.t, instants, sizes, rng.uniform(4, 25), 0.1) * rng.choice([0, 2])
        return [scene.part("box", rng.normal(0, 0.1), jolt + half_y, tilt, half_x, half_y)]
    if style == "disc":
        half = rng.uniform(0.2, 0.7)
        return [
            scene.part("ellipse", 0.0, jolt + 0.2 * half, jolt * rng.choice([0, 3]), half, half * rng.uniform(0.2, 1))
        ]
    return []


def _bits(scene: ActScene, blows: list[Blow]) -> list[Part]:
    """Splinters and crumbs that fly off."""
    rng, t = scene.rng, scene.t
    if rng.random() > 0.15:
        return []
    parts: list[Part] = []
    for time, strength in hits(blows)[:6]:
        for _ in range(rng.integers(1, 4)):
            after = np.maximum(t - time, 0)
            vx, vy = rng.normal(0, 1.2) * strength, -abs(rng.normal(0, 1.5)) * strength
            x, y = vx * after, vy * after + 4 * after**2
            shown = ((t >= time) & (after < rng.uniform(0.2, 0.8))).astype(float)
            size = rng.uniform(0.01, 0.05)
            parts.append(scene.part("ellipse", x, y, 0.0, size, size, replace(scene.look(), shown=shown)))
    return parts


def stick(
    scene: ActScene,
    blows: list[Blow] | None = None,
    origin: tuple[Curve | float, Curve | float] = (0.0, 0.0),
    bare: bool = False,
) -> Act:
    """A stick, hammer, mallet, axe or ladle in a hand, turning at the wrist, the elbow or both."""
    rng, t = scene.rng, scene.t
    blows = scene.blows() if blows is None else blows
    q = swing(rng, blows, draw_manner(rng)).at(t)
    length, span, tilt = rng.uniform(0.3, 1.3), rng.uniform(0.4, 2.2), rng.uniform(-0.6, 0.9)
    arm_share = rng.choice([0.0, rng.uniform(0, 1), rng.uniform(0, 1)])
    angle = tilt - span * (1 - 0.6 * arm_share) * q
    raised = lag(q, rng.choice([0.005, rng.uniform(0.005, 0.08)])) * arm_share * rng.uniform(0.3, 1.0)
    drift = visits(rng, blows, rng.choice([0.0, 0.05, 0.2])).at(t)
    sway = wander(rng, t, 1.0, rng.choice([0, 0.01, 0.03]))
    gx = origin[0] + drift + sway - length * np.cos(tilt)
    gy = origin[1] - length * np.sin(tilt) - raised
    tx, ty = gx + length * np.cos(angle), gy + length * np.sin(angle)
    ex, ey = gx - rng.uniform(0.4, 1.5) + 0.3 * raised, gy + rng.uniform(-0.6, 1.2) + 0.4 * raised
    width = rng.uniform(0.015, 0.06)
    parts = [] if bare else _target(scene, blows)
    skin = scene.look(0.15)
    if rng.random() < 0.8:
        parts.append(scene.limb(ex, ey, gx, gy, rng.uniform(0.06, 0.16), skin))
    parts.append(scene.limb(gx, gy, tx, ty, width))
    if rng.random() < 0.45:  # a head of its own
        head = rng.uniform(0.04, 0.2), rng.uniform(0.04, 0.3)
        parts.append(scene.part(str(rng.choice(["box", "ellipse"])), tx, ty, angle, *head))
    if rng.random() < 0.8:
        size = rng.uniform(0.06, 0.13)
        parts.append(scene.part("ellipse", gx, gy, angle, size * 1.3, size, skin))
    return Act("strike", parts + _bits(scene, blows), hits(blows))


def fist(scene: ActScene) -> Act:
    """A thing that comes down as a whole: a fist, a flat hand, a stamp, a pestle, a cup, a boxing glove."""
    rng, t = scene.rng, scene.t
    blows = scene.blows()
    q = swing(rng, blows, draw_manner(rng)).at(t) * rng.uniform(0.3, 1.1)
    lean = rng.uniform(-0.9, 0.9)
    drift = visits(rng, blows, rng.choice([0.0, 0.1, 0.3])).at(t)
    x, y = drift + q * np.sin(lean), -q * np.cos(lean)
    half_x, half_y = rng.uniform(0.06, 0.35), rng.uniform(0.06, 0.35)
    turn = q * rng.normal(0, 0.4)
    skin = scene.look(0.2)
    parts = _target(scene, blows)
    if rng.random() < 0.7:
        parts.append(
            scene.limb(
                x,
                y - half_y,
                x + 0.9 * np.sin(lean + 0.3) + 0.3 * q,
                y - half_y - 0.9 * np.cos(lean),
                half_x * rng.uniform(0.4, 1.0),
                skin,
            )
        )
    parts.append(scene.part(str(rng.choice(["box", "ellipse"])), x, y - half_y, turn, half_x, half_y, skin))
    return Act("strike", parts + _bits(scene, blows), hits(blows))


def knife(scene: ActScene) -> Act:
    """A blade that chops: up and down as a whole, or rocking on its tip, and moving on by a little each time."""
    rng, t = scene.rng, scene.t
    blows = scene.blows()
    manner = draw_manner(rng)
    q = swing(rng, blows, manner).at(t) * rng.uniform(0.15, 0.6)
    length, deep = rng.uniform(0.35, 0.8), rng.uniform(0.05, 0.14)
    rock = rng.choice([0.0, rng.uniform(0.5, 1.0)])
    angle = rock * np.arcsin(np.clip(q / length, -1, 1)) * 0.8 + rng.normal(0, 0.05)
    on = Line(0.0)
    for blow in blows:
        on.wait(blow.time + 0.05).to(blow.time + 0.15, on.value + rng.uniform(0, 0.05) * rng.choice([-1, 1, 1]))
    x, y = on.at(t) + wander(rng, t, 1, 0.01), -q * (1 - 0.5 * rock) - deep
    parts = _target(scene, blows)
    if rng.random() < 0.6:  # what is cut, and the hand that holds it
        parts.append(
            scene.part("ellipse", on.at(t) * 0.2 + 0.25, -0.12, 0.0, rng.uniform(0.15, 0.4), rng.uniform(0.1, 0.25))
        )
        parts.append(scene.part("ellipse", 0.35 + 0.3 * on.at(t) + wander(rng, t, 2, 0.01), -0.2, 0.3, 0.15, 0.12))
    parts.append(scene.part("box", x, y, angle, length / 2, deep))
    gx, gy = x - length / 2 * np.cos(angle) - 0.1, y - length / 2 * np.sin(angle) - 0.03
    skin = scene.look(0.15)
    parts.append(scene.limb(gx - 0.7, gy - 0.3 * rng.random() + 0.3 * q, gx, gy, 0.09, skin))
    parts.append(scene.part("ellipse", gx, gy, angle, 0.14, 0.1, skin))
    return Act("strike", parts, hits(blows))


def fingers(scene: ActScene) -> Act:
    """Fingers on keys: small and fast, many of them, hands that drift."""
    rng, t = scene.rng, scene.t
    many = int(rng.integers(1, 6))
    blows = [b for b in scene.blows(0.05)]
    owner = rng.integers(0, many, len(blows))
    drift = wander(rng, t, 0.7, rng.choice([0.02, 0.2]))
    bob = wander(rng, t, 2, 0.01)
    tall = rng.uniform(0.08, 0.3)
    pitch, skin = rng.uniform(0.12, 0.22), scene.look(0.15)
    parts = []
    if rng.random() < 0.7:
        parts.append(scene.part("box", 0.0, 0.3, 0.0, rng.uniform(0.8, 2.0), 0.3))
    for number in range(many):
        mine = [blow for blow, k in zip(blows, owner, strict=True) if k == number]
        q = swing(rng, mine, draw_manner(rng)).at(t) * tall
        x = drift + (number - many / 2) * pitch
        parts.append(scene.limb(x, -0.35 + bob - 0.3 * q, x + 0.05, -q, pitch * 0.35, skin))
    parts.append(scene.part("ellipse", drift, -0.5 + bob, 0.0, pitch * many * 0.55 + 0.1, 0.22, skin))
    if rng.random() < 0.6:
        parts.append(scene.limb(drift, -0.5 + bob, drift + rng.normal(0, 0.4), -1.6, 0.15, skin))
    return Act("tap", parts, hits(blows))


def clap(scene: ActScene) -> Act:
    """Two things that meet in the middle: hands, cymbals, blocks, jaws."""
    rng, t = scene.rng, scene.t
    blows = scene.blows()
    q = swing(rng, blows, draw_manner(rng)).at(t) * rng.uniform(0.2, 0.9)
    share, shape = rng.choice([0.5, 1.0, rng.random()]), str(rng.choice(["box", "ellipse"]))
    half_x, half_y = rng.uniform(0.04, 0.25), rng.uniform(0.1, 0.4)
    bob = wander(rng, t, 1.5, 0.02)
    parts = []
    for side, part in ((-1, share), (1, 1 - share)):
        x, skin = side * (half_x + q * part), scene.look(0.2)
        if rng.random() < 0.6:
            parts.append(scene.limb(x, bob + half_y, x + side * 0.6, bob + 1.2, 0.1, skin))
        parts.append(scene.part(shape, x, bob, side * q * rng.uniform(0, 0.6), half_x, half_y, skin))
    return Act("strike", parts, hits(blows))


def drummer(scene: ActScene) -> Act:
    """Two sticks that take turns, on one drum or on several."""
    rng, seconds = scene.rng, scene.seconds
    blows = scene.blows(0.07)
    apart = rng.uniform(0.15, 0.9)
    alternate = rng.random() < 0.6
    parts: list[Part] = []
    for _ in range(rng.integers(1, 5)):
        half = rng.uniform(0.15, 0.5)
        parts.append(
            scene.part("ellipse", rng.normal(0, apart), rng.normal(0.1, 0.3), 0.0, half, half * rng.uniform(0.3, 1))
        )
    mine: tuple[list[Blow], list[Blow]] = ([], [])
    for number, blow in enumerate(blows):
        mine[number % 2 if alternate else int(rng.random() < 0.3)].append(blow)
    for side, own in enumerate(mine):
        other = ActScene(rng, seconds, scene.place)
        parts += stick(other, own, ((side - 0.5) * apart, 0.0), bare=True).parts
    return Act("strike", parts, hits(blows))


def walker(scene: ActScene) -> Act:
    """Legs that walk or run: across the picture, on the spot, or followed by the camera; steps may be silent ones."""
    rng, t, seconds = scene.rng, scene.t, scene.seconds
    if scene.instants is not None:
        falls = np.array([time for time, _ in scene.instants])
    else:
        period = float(np.exp(rng.uniform(np.log(0.25), np.log(0.8))))
        falls = np.arange(rng.uniform(0.0, period), seconds, period)
        falls = falls + rng.uniform(0, 0.06) * period * rng.standard_normal(len(falls))
        if rng.random() < 0.3:  # stands for a while
            stop = rng.uniform(0, seconds)
            falls = falls[(falls < stop) | (falls > stop + rng.uniform(0.5, 2))]
    falls = np.sort(falls[(falls > 0.03) & (falls < seconds)])
    stride = rng.uniform(0.3, 0.9) * rng.choice([0.0, 1.0, 1.0, 1.0])
    lifted, leg = rng.uniform(0.05, 0.3), rng.uniform(0.6, 0.9)
    feet, hip = [], Line(0.0)
    spots = [Line(0.0), Line(stride / 2)]
    heights = [Line(0.0), Line(0.0)]
    place = stride / 2
    for number, time in enumerate(falls):
        foot, start = number % 2, falls[number - 1] if number else max(time - 0.5, 0)
        place += stride
        away = min(time - start, 0.6) * rng.uniform(0.75, 1.0)
        spots[foot].wait(time - away).to(time, place, speeding(rng.uniform(1.0, 1.6)) if rng.random() < 0.5 else smooth)
        heights[foot].wait(time - away).to(time - 0.4 * away, lifted, slowing(2)).to(
            time, 0.0, speeding(rng.uniform(1.3, 2.5))
        )
        hip.wait(start).to(time, place - stride / 2, lambda u: u)
    bob = lag(np.abs(wander(rng, t, 1 / max(np.diff(falls).mean(), 0.2) if len(falls) > 1 else 1, 0.03)), 0.05)
    hx = lag(hip.at(t), 0.1)
    follow = rng.random() < 0.4
    shift = hx if follow else hx[len(hx) // 2]
    parts, skin, cloth = [], scene.look(0.2), scene.look(0.3)
    if rng.random() < 0.7:
        ground = replace(scene.look(), slide_x=shift * scene.place.size if follow else 0.0)
        parts.append(scene.part("box", 0.0, 1.0, 0.0, 5.0, 1.0, ground))
    for foot in (0, 1):
        fx, fy = spots[foot].at(t) - shift, -heights[foot].at(t)
        kx, ky = (fx + hx - shift) / 2 + 0.15 - 0.5 * fy, (fy - leg + bob) / 2
        parts.append(scene.limb(hx - shift, -leg + bob, kx, ky, 0.1, cloth))
        parts.append(scene.limb(kx, ky, fx, fy - 0.05, 0.08, cloth))
        toe = np.clip(-fy * 2, 0, 0.7)
        parts.append(scene.part("ellipse", fx + 0.07, fy - 0.04, toe, 0.14, 0.06, skin))
        feet.append(fx)
    if rng.random() < 0.6:
        parts.append(scene.part("ellipse", hx - shift, -leg - 0.35 + bob, 0.05, 0.2, 0.45, cloth))
        arm = 0.5 * np.tanh(3 * (feet[0] - feet[1]))
        parts.append(scene.limb(hx - shift, -leg - 0.6 + bob, hx - shift + 0.3 * arm, -leg - 0.1 + bob, 0.06, skin))
        parts.append(scene.part("ellipse", hx - shift, -leg - 1.0 + bob, 0.0, 0.13, 0.17, skin))
    silent = scene.silent and scene.instants is None
    loud = rng.uniform(0.2, 0.7)
    return Act("step", parts, [] if silent else [(float(time), float(loud)) for time in falls])


def jumper(scene: ActScene) -> Act:
    """A body that jumps, or a thing that is thrown up, and lands."""
    rng, t = scene.rng, scene.t
    given = scene.instants
    times = [time for time, _ in given] if given is not None else list(draw_rhythm(rng, scene.seconds, 0.35))
    line, gravity = Line(0.0), rng.uniform(3, 9)
    for time in times:
        room = min((time - line.time) * 0.8, rng.uniform(0.25, 0.7))
        if room < 0.05:
            continue
        top = gravity * room**2 / 8
        line.wait(time - room).to(time - room / 2, top, slowing(2)).to(time, 0.0, speeding(2))
        if rng.random() < 0.5:
            line.to(time + 0.08, -rng.uniform(0, 0.12), slowing(2)).to(time + 0.3, 0.0)
    q = line.at(t)
    half_x, half_y = rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.5)
    turn = q * rng.choice([0.0, rng.normal(0, 2)])
    parts = _target(scene, [Blow(time, 0.5) for time in times])
    parts.append(
        scene.part(str(rng.choice(["box", "ellipse"])), wander(rng, t, 0.5, 0.05), -q - half_y, turn, half_x, half_y)
    )
    return Act("strike", parts, [(float(time), float(rng.uniform(0.4, 0.9))) for time in times])
