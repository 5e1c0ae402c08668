"""Puppets that sound on or not at all: rubbing, stirring, turning, churning, trembling; waving, passing, flickering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frieren.world.puppets.act import Act, ActScene, lag
from frieren.world.puppets.paths import Blow, Curve, Line, slowing, smooth, steady, striking, wander
from frieren.world.puppets.stage import Part


def _bouts(scene: ActScene) -> Curve:
    """How much is going on over time, 0..1: all the time, or in bouts."""
    rng, t = scene.rng, scene.t
    level = np.clip(0.7 + wander(rng, t, 0.7, 0.25), 0.1, 1)
    if rng.random() < 0.5:
        line = Line(float(rng.integers(2)))
        while line.time < scene.seconds:
            line.wait(line.time + rng.uniform(0.3, 1.5)).to(line.time + rng.uniform(0.05, 0.4), 1.0 - line.value)
        level = level * line.at(t)
    return level


def rub(scene: ActScene) -> Act:
    """A hand, stick, saw, brush or cloth that goes to and fro on a surface."""
    rng, t = scene.rng, scene.t
    level, rate = _bouts(scene), np.exp(rng.uniform(np.log(2.5), np.log(7)))  # slower ones scratch
    phase = np.cumsum(level) / len(t) * scene.seconds * rate + rng.random()
    size = rng.uniform(0.05, 0.5)
    way = size * np.sin(2 * np.pi * phase)
    if rng.random() < 0.3:  # sharper turns
        way = size * 2 / np.pi * np.arcsin(0.98 * np.sin(2 * np.pi * phase))
    round_ = rng.choice([0.0, 0.0, rng.uniform(0.2, 1)]) * size * np.cos(2 * np.pi * phase)
    x, y = way + wander(rng, t, 0.5, 0.1), round_ + wander(rng, t, 0.5, 0.05)
    speed = np.abs(np.gradient(way)) * 240
    going = np.clip(speed / (2 * np.pi * rate * size + 1e-6), 0, 1) * level
    skin, tool = scene.look(0.2), rng.random()
    parts = [scene.part("box", 0.0, 0.8, 0.0, rng.uniform(0.5, 3), 0.8)] if rng.random() < 0.7 else []
    if tool < 0.4:
        a, length = rng.uniform(-2.4, -0.7), rng.uniform(0.3, 1)
        parts.append(scene.limb(x, y, x + length * np.cos(a), y + length * np.sin(a), 0.03))
        x, y = x + length * np.cos(a), y + length * np.sin(a)
    elif tool < 0.7:
        parts.append(scene.part("box", x, y, rng.normal(0, 0.2), rng.uniform(0.1, 0.7), rng.uniform(0.04, 0.2)))
    parts.append(scene.limb(x, y, x + rng.normal(0, 0.3) + 0.2 * way, y - 1.2, 0.1, skin))
    parts.append(scene.part("ellipse", x, y, 0.0, 0.14, 0.1, skin))
    return Act("rub", parts, [], going)


def scratch(scene: ActScene) -> Act:
    """Strokes along a surface, each of which sounds as it sets out; back through the air, or along the surface too.

    What comes back goes on at once with the next stroke, or waits. Most pull the tool towards themselves, which is down
    in the picture, since they see their hands from above.
    """
    rng, t = scene.rng, scene.t
    blows = _strokes(scene)
    size, share = rng.uniform(0.15, 0.8), rng.uniform(0.35, 0.65)
    lifted = size * rng.choice([0.0, rng.uniform(0.03, 0.12), rng.uniform(0.12, 0.35)], p=[0.35, 0.45, 0.2])
    both, waits = scene.instants is None and rng.random() < 0.2, rng.random() < 0.3
    ease = [smooth, slowing(rng.uniform(1.2, 2.0)), steady][int(rng.choice(3, p=[0.2, 0.4, 0.4]))]
    along, up, going, sounding = Line(-size / 2), Line(lifted), np.zeros_like(t), []
    ends = [*(blow.time for blow in blows[1:]), scene.seconds + 1]
    for blow, end in zip(blows, ends, strict=True):
        room = end - blow.time
        stroke = min(share * room * rng.uniform(0.85, 1.15), rng.uniform(0.35, 0.8))
        pause = rng.uniform(0, 0.3) * (room - stroke) if waits else 0.0
        turn, hit = blow.time + stroke, blow.kind == "hit"
        if not along.pieces:
            along.wait(blow.time)
            up.wait(blow.time - 0.2).to(blow.time, 0.0 if hit else lifted, striking(rng.uniform(0.6, 1.0)))
        far = size * (0.35 + 0.65 * blow.strength) * rng.uniform(0.85, 1.15) - size / 2
        along.wait(blow.time).to(turn, far, ease).wait(turn + pause)
        back = min(end - along.time, rng.uniform(0.3, 0.9))
        late = end - along.time - back if rng.random() < 0.5 else 0.0  # stays where the stroke has ended
        along.wait(along.time + late).to(along.time + back, -size / 2)
        up.wait(turn).to(along.time - back / 2, 0.0 if both else lifted, slowing(2)).to(along.time - 0.1 * back, 0.0)
        if hit:
            sounding.append((blow.time, blow.strength))
            going[(t >= blow.time) & (t < turn)] = 0.7 * blow.strength
            if both and room < 1.2:
                sounding.append((along.time - back, blow.strength * rng.uniform(0.5, 1)))
                going[(t >= along.time - back) & (t < along.time)] = 0.5 * blow.strength
    return Act("scratch", _scratcher(scene, along.at(t), up.at(t)), sounding, going)


def _strokes(scene: ActScene) -> list[Blow]:
    """One after the other in an even rhythm, as people scratch, or in any."""
    rng, blows = scene.rng, scene.blows(0.3)
    if scene.instants is not None or rng.random() < 0.4:
        return blows
    period, first = float(np.exp(rng.uniform(np.log(0.4), np.log(1.1)))), rng.uniform(0, 0.8)
    times = np.arange(first, scene.seconds, period)
    times = times + rng.uniform(0, 0.07) * period * rng.standard_normal(len(times))
    strengths = np.clip(rng.uniform(0.4, 0.7) + rng.uniform(0.02, 0.2) * rng.standard_normal(len(times)), 0.1, 1)
    kind = "miss" if scene.silent else "hit"
    return [
        Blow(time, hard, kind) for time, hard in zip(times.tolist(), strengths.tolist(), strict=True) if time > 0.03
    ]


def _scratcher(scene: ActScene, along: Curve, up: Curve) -> list[Part]:
    """A surface, and a stick, nail or brush whose tip goes along it, in a hand that goes all the way or turns."""
    rng, t = scene.rng, scene.t
    way = np.pi / 2 + rng.normal(0, 0.6) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi)
    flat = rng.uniform(0.4, 1.0)
    x = along * np.cos(way) + wander(rng, t, 0.5, rng.choice([0.0, 0.05, 0.15]))
    y = along * flat * np.sin(way) - up + wander(rng, t, 0.5, rng.choice([0.0, 0.03, 0.1]))
    a, length, follows = rng.uniform(-2.8, -0.3), rng.uniform(0.1, 1.2), rng.choice([1.0, rng.uniform(0.2, 1.0)])
    gx, gy = follows * x + length * np.cos(a), follows * y + length * np.sin(a)
    skin = scene.look(0.15)
    parts = []
    if rng.random() < 0.7:
        parts.append(scene.part("box", 0.0, 0.3, rng.normal(0, 0.1), rng.uniform(0.5, 3), rng.uniform(0.2, 0.8)))
    parts.append(scene.limb(x, y, gx, gy, rng.uniform(0.015, 0.06)))
    if rng.random() < 0.8:
        parts.append(
            scene.limb(gx, gy, gx + rng.normal(0.2, 0.6), gy + rng.uniform(-1, 1), rng.uniform(0.06, 0.14), skin)
        )
        parts.append(scene.part("ellipse", gx, gy, 0.0, 0.13, 0.1, skin))
    if rng.random() < 0.2:  # what it pushes on
        parts.append(scene.part("ellipse", lag(x, 0.1) * 0.5, 0.05, 0.0, rng.uniform(0.05, 0.3), 0.1))
    return parts


def wheel(scene: ActScene) -> Act:
    """Something that turns: wheels, fans, drums of machines, a stirred pot."""
    rng, level = scene.rng, _bouts(scene)
    turned = np.cumsum(level) / 240 * 2 * np.pi * np.exp(rng.uniform(np.log(0.2), np.log(5))) * rng.choice([-1, 1])
    radius, parts = rng.uniform(0.3, 1.0), []
    if rng.random() < 0.6:
        parts.append(scene.part("ellipse", 0.0, 0.0, turned, radius, radius))
    for spoke in range(rng.integers(0, 6)):
        a = turned + spoke * 2 * np.pi / 5
        parts.append(scene.limb(0.0, 0.0, radius * np.cos(a), radius * np.sin(a), rng.uniform(0.02, 0.1)))
    return Act("turn", parts, [], level)


def churn(scene: ActScene) -> Act:
    """Water, fire, smoke, leaves: textures that slide over one another inside a shape."""
    rng, t = scene.rng, scene.t
    level, parts = _bouts(scene), []
    speed, a = np.exp(rng.uniform(np.log(0.2), np.log(4))), rng.uniform(0, 2 * np.pi)
    way = np.cumsum(level) / 240 * speed
    for layer in range(rng.integers(2, 5)):
        b = a + rng.normal(0, 0.5)
        slide_x = way * np.cos(b) * rng.uniform(0.5, 1.5) + wander(rng, t, 2, 0.1 * speed)
        slide_y = way * np.sin(b) + wander(rng, t, 2, 0.1 * speed)
        shown = 1.0 if layer == 0 else float(rng.uniform(0.3, 0.7))
        look = replace(scene.look(0.5), slide_x=slide_x, slide_y=slide_y, shown=shown)
        shape = "box" if rng.random() < 0.5 else "ellipse"
        parts.append(
            scene.part(
                shape, rng.normal(0, 0.2), rng.normal(0, 0.2), 0.0, rng.uniform(0.1, 0.9), rng.uniform(0.3, 1.2), look
            )
        )
    return Act("churn", parts, [], level)


def tremble(scene: ActScene) -> Act:
    """A machine that shakes on its stand, a string or a membrane that quivers."""
    rng, t = scene.rng, scene.t
    level, rate, size = _bouts(scene), rng.uniform(6, 30), np.exp(rng.uniform(np.log(0.004), np.log(0.05)))
    phase = 2 * np.pi * rate * t
    x = level * size * np.sin(phase) + wander(rng, t, 1, 0.02)
    y = level * size * np.sin(phase * 1.01 + 1) * rng.random()
    look, parts = scene.look(0.5), []
    parts.append(
        scene.part(str(rng.choice(["box", "ellipse"])), x, y, 0.0, rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), look)
    )
    if rng.random() < 0.5:
        parts.append(scene.part("ellipse", x * 1.5 + 0.3, y - 0.4, 0.0, 0.2, 0.15))
    return Act("tremble", parts, [], level)


def wave(scene: ActScene) -> Act:
    """An arm, tail, branch or flag that goes to and fro in the air, without a sound; smoothly or in quick jerks."""
    rng, t = scene.rng, scene.t
    if rng.random() < 0.5:
        rate = rng.uniform(0.4, 4)
        turn = np.sin(2 * np.pi * rate * t + rng.uniform(0, 6)) * _bouts(scene)
    else:  # from pose to pose, each reached smoothly
        line = Line(0.0)
        while line.time < scene.seconds:
            line.wait(line.time + rng.choice([0.0, rng.uniform(0, 0.6)]))
            line.to(
                line.time + rng.uniform(0.12, 0.8),
                rng.uniform(-1, 1),
                smooth if rng.random() < 0.6 else slowing(rng.uniform(1.3, 3)),
            )
        turn = line.at(t)
    a, b = turn * rng.uniform(0.1, 0.9) - 1.2, turn * rng.uniform(0.1, 1.5) - 0.9
    first, second = rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.9)
    ex, ey = first * np.cos(a), first * np.sin(a)
    hx, hy = ex + second * np.cos(b), ey + second * np.sin(b)
    skin = scene.look(0.2)
    parts = [
        scene.limb(0.0, 0.0, ex, ey, 0.1, skin),
        scene.limb(ex, ey, hx, hy, 0.08, skin),
        scene.part("ellipse", hx, hy, b, 0.14, 0.1, skin),
    ]
    if rng.random() < 0.4:
        c = b + lag_angle(turn, rng.uniform(0, 0.3))
        parts.insert(2, scene.limb(hx, hy, hx + 0.6 * np.cos(c), hy + 0.6 * np.sin(c), 0.03))
    return Act("wave", parts)


def lag_angle(turn: Curve, size: float) -> Curve:
    """A tool in a loose hand turns a little further."""
    return size * turn


def passer(scene: ActScene) -> Act:
    """Somebody or something that comes in, passes, stops or leaves again."""
    rng, t = scene.rng, scene.t
    line = Line(float(rng.uniform(-4, 4)))
    while line.time < scene.seconds:
        line.wait(line.time + rng.choice([0.0, rng.uniform(0, 1)]))
        line.to(
            line.time + rng.uniform(0.4, 2.5), float(rng.uniform(-4, 4)), smooth if rng.random() < 0.7 else slowing(2)
        )
    x, skin = line.at(t), scene.look(0.4)
    bob = 0.02 * np.sin(2 * np.pi * 2 * t) * rng.choice([0, 1, 2])
    half_x, half_y = rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.0)
    parts = [scene.part(str(rng.choice(["box", "ellipse"])), x, bob, 0.0, half_x, half_y, skin)]
    if rng.random() < 0.6:
        parts.append(scene.part("ellipse", x + 0.05, bob - half_y - 0.15, 0.0, 0.2, 0.25))
    return Act("pass", parts)


def fidget(scene: ActScene) -> Act:
    """Somebody who sits or stands there: breathes, turns the head, shifts a hand."""
    rng, t = scene.rng, scene.t
    skin, cloth = scene.look(0.2), scene.look(0.4)
    parts: list[Part] = [
        scene.part("ellipse", wander(rng, t, 0.6, 0.03), wander(rng, t, 0.6, 0.02) + 0.7, 0.0, 0.6, 0.8, cloth)
    ]
    parts.append(
        scene.part(
            "ellipse",
            wander(rng, t, 1.2, 0.06),
            -0.35 + wander(rng, t, 1.2, 0.03),
            wander(rng, t, 1, 0.1),
            0.25,
            0.32,
            skin,
        )
    )
    for side in (-1, 1):
        hx, hy = side * 0.5 + wander(rng, t, 1.5, 0.12), 0.9 + wander(rng, t, 1.5, 0.15)
        parts.append(scene.limb(side * 0.5, 0.2, hx, hy, 0.1, skin))
    return Act("wave", parts)


def flicker(scene: ActScene) -> Act:
    """A screen or a lamp: its picture changes, its brightness jumps, nothing moves."""
    rng, t = scene.rng, scene.t
    line = Line(1.0)
    while line.time < scene.seconds:
        line.wait(line.time + rng.exponential(0.4)).to(
            line.time + rng.choice([0.01, 0.2]), float(rng.uniform(0.3, 1.6))
        )
    jumps = np.floor(np.cumsum(rng.random(len(t)) < rng.choice([0.0, 0.01])) * 0.37 * 100) / 100
    look = replace(scene.look(0.5), light=line.at(t), slide_x=jumps * 7.3)
    return Act("flicker", [scene.part("box", 0.0, 0.0, 0.0, rng.uniform(0.2, 1.2), rng.uniform(0.2, 1.0), look)])
