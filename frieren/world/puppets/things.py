"""Puppets that strike without a hand: balls, falling and swinging things, doors, switches, jerks of a body, recoil."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frieren.world.puppets.act import Act, ActScene, hits
from frieren.world.puppets.paths import Line, draw_rhythm, shake, slowing, smooth, speeding, wander


def ball(scene: ActScene) -> Act:
    """A ball that bounces on the ground, is dribbled, is kept up by a racket, or goes to and fro between walls."""
    rng, t = scene.rng, scene.t
    gravity = rng.uniform(2, 12)
    blows: list[tuple[float, float]]
    if scene.instants is not None:
        blows = list(scene.instants)
    elif rng.random() < 0.5:  # loses height by itself
        time, blows = rng.uniform(0.1, 0.8), []
        flight, back = rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.9)
        while time < scene.seconds and flight > 0.07:
            blows.append((time, float(np.clip(flight, 0.1, 1))))
            time, flight = time + flight, flight * back
    else:
        blows = [(float(time), 0.7) for time in draw_rhythm(rng, scene.seconds, 0.25)]
    line = Line(gravity * 0.3**2 / 2)
    before = 0.0
    for number, (time, _) in enumerate(blows):
        gap = time - before
        if number == 0:
            line.wait(time - min(0.3, time)).to(time, 0.0, speeding(2))
        elif gap < 0.9:
            line.to(before + gap / 2, gravity * gap**2 / 8, slowing(2)).to(time, 0.0, speeding(2))
        else:  # is caught and let go
            line.to(before + 0.3, gravity * 0.3**2 / 2, slowing(2)).wait(time - 0.3).to(time, 0.0, speeding(2))
        before = time
    if blows:
        line.to(before + 0.25, gravity * 0.25**2 / 2 * 0.7, slowing(2)).to(before + 0.5, 0.0, speeding(2))
    q, radius = line.at(t), rng.uniform(0.06, 0.3)
    x = rng.normal(0, 0.5) * (t - scene.seconds / 2) + wander(rng, t, 0.5, 0.05)
    squash = np.exp(-((q / (0.3 * radius)) ** 2)) * rng.uniform(0, 0.3)
    parts = []
    if rng.random() < 0.6:
        parts.append(scene.part("box", 0.0, 1.0 + 0.0 * t, 0.0, 4.0, 1.0))
    own = scene.part("ellipse", x, -q - radius * (1 - squash), x / radius, radius, radius)
    if rng.random() < 0.4:  # a racket or a hand that meets it
        dip = np.minimum(q, rng.uniform(0.1, 0.4)) * rng.uniform(0.3, 1)
        parts.append(scene.part("box", x, 0.08 + dip, rng.normal(0, 0.1), rng.uniform(0.15, 0.4), 0.05))
    return Act("ball", [*parts, own], [(float(a), float(b)) for a, b in blows])


def barker(scene: ActScene) -> Act:
    """A body that jerks with its own sound or just after it, such as a barking dog: mouth open, head thrown, back."""
    rng, t = scene.rng, scene.t
    blows = hits(scene.blows(0.2))
    jaw, head = Line(0.0), Line(0.0)
    quick, slow = rng.uniform(0.04, 0.16), rng.uniform(0.08, 0.25)
    ahead = rng.uniform(-0.1, 0.04)
    for time, strength in blows:
        jaw.wait(time - ahead).to(time - ahead + quick, strength, slowing(1.5))
        jaw.wait(jaw.time + 0.03).to(jaw.time + slow, 0.0)
        head.wait(time - 0.1).to(time - ahead, -rng.uniform(0, 0.4), smooth)
        head.to(time - ahead + quick, strength, slowing(2)).to(time - ahead + quick + 2 * slow, 0.0)
    open_, nod = jaw.at(t), head.at(t)
    tilt = -nod * rng.uniform(0.05, 0.5) + wander(rng, t, 0.7, rng.choice([0.02, 0.15]))
    x = nod * rng.normal(0, 0.15) + wander(rng, t, 0.6, rng.choice([0.01, 0.1]))
    y = -nod * rng.uniform(0, 0.2) + wander(rng, t, 0.6, 0.02)
    skin, chin = scene.look(0.3), tilt + rng.uniform(0.1, 0.5) * open_
    parts = [
        scene.part("ellipse", x * 0.3 - 0.5, y * 0.3 + 0.7, 0.2, 0.6, 0.5, skin),
        scene.part("ellipse", x + 0.3 * np.cos(chin), y + 0.12 + 0.3 * np.sin(chin), chin, 0.25, 0.08),
        scene.part("ellipse", x, y, tilt, 0.4, 0.33, skin),
        scene.part("ellipse", x + 0.35, y + 0.02, tilt, 0.25, 0.13, skin),
    ]  # fmt: skip
    return Act("burst", parts, blows)


def recoil(scene: ActScene) -> Act:
    """A thing that stands still and is kicked by its own noise: guns, presses, nail guns; perhaps a flash."""
    rng, t = scene.rng, scene.t
    blows = hits(scene.blows(0.08))
    kick = Line(0.0)
    for time, strength in blows:
        kick.wait(time).to(time + rng.uniform(0.02, 0.06), strength, slowing(2)).to(time + rng.uniform(0.15, 0.4), 0.0)
    q = kick.at(t) * rng.uniform(0.05, 0.3)
    x, y = wander(rng, t, 0.8, 0.02) - q, wander(rng, t, 0.8, 0.02) - q * rng.uniform(0, 0.5)
    tilt, skin, iron = -q * rng.uniform(0, 1.5), scene.look(0.2), scene.look(0.3)
    length = rng.uniform(0.2, 0.9)
    parts = [
        scene.limb(x - 1.2, y + 0.6, x - 0.1, y + 0.1, 0.12, skin),
        scene.part("box", x + length / 2 * np.cos(tilt), y + length / 2 * np.sin(tilt), tilt, length / 2, 0.06, iron),
        scene.part("ellipse", x, y + 0.08, tilt, 0.13, 0.15, skin),
    ]
    if rng.random() < 0.5:
        shown = sum((np.exp(-np.maximum(t - a, 0) / 0.03) * (t >= a) for a, _ in blows), np.zeros_like(t)).clip(0, 1)
        bright = replace(scene.look(0.2), tone=1.0, shown=shown)
        parts.append(scene.part("ellipse", x + length + 0.15, y + length * np.sin(tilt), 0.0, 0.25, 0.15, bright))
    return Act("burst", parts, blows)


def switch(scene: ActScene) -> Act:
    """A lever, latch, lid or drawer that snaps from one position to another, by a finger or by itself."""
    rng, t = scene.rng, scene.t
    blows = hits(scene.blows(0.15))
    state, quick = Line(0.0), np.exp(rng.uniform(np.log(0.02), np.log(0.15)))
    near, push = Line(1.0), []
    for number, (time, _) in enumerate(blows):
        near.wait(time - 0.4).to(time - quick - 0.03, 0.05).wait(time).to(time + rng.uniform(0.2, 0.5), 1.0)
        state.wait(time - quick).to(time, float((number + 1) % 2), speeding(rng.uniform(1, 2.5)))
        push.append(time)
    q, far = state.at(t), near.at(t)
    turn, size = rng.uniform(0.3, 1.2), rng.uniform(0.08, 0.3)
    parts = [scene.part("box", 0.0, 0.0, 0.0, rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))]
    parts.append(
        scene.part("box", (q - 0.5) * rng.choice([0, size]), 0.0, (q - 0.5) * turn, size * rng.uniform(0.3, 1), size)
    )
    if rng.random() < 0.75:
        a, reach, skin = rng.uniform(-1, 2), rng.uniform(0.3, 1.2), scene.look(0.15)
        fx, fy = (q - 0.5) * size + far * reach * np.cos(a), size * 0.5 + far * reach * np.sin(a)
        parts.append(scene.limb(fx, fy, fx + 0.9 * np.cos(a), fy + 0.9 * np.sin(a), rng.uniform(0.06, 0.14), skin))
    return Act("strike", parts, [(time, strength * 0.6) for time, strength in blows])


def faller(scene: ActScene) -> Act:
    """Things that fall, topple or are put down: fast and with a bang, or gently."""
    rng, t = scene.rng, scene.t
    parts = [scene.part("box", 0.0, 1.0, 0.0, 4.0, 1.0)] if rng.random() < 0.6 else []
    times = (
        scene.instants
        if scene.instants is not None
        else [(float(a), float(rng.uniform(0.3, 1))) for a in draw_rhythm(rng, scene.seconds, 0.3)][:5]
    )
    blows = []
    for time, strength in times:
        line, gravity = Line(2.2), rng.uniform(5, 14)
        duration = rng.uniform(0.15, 0.5)
        held = scene.instants is None and rng.random() < 0.25
        height = min(gravity * duration**2 / 2, 1.5)
        line.to(1e-3, height)
        if held:  # put down by a hand that brakes
            line.wait(time - 0.5).to(time + 0.1, 0.0, slowing(rng.uniform(1.5, 3)))
        else:
            line.wait(time - duration).to(time, 0.0, speeding(2))
            blows.append((time, strength))
            back, again = rng.uniform(0, 0.35) * duration, time
            while back > 0.06:
                line.to(again + back, gravity * back**2 / 4, slowing(2)).to(again + 2 * back, 0.0, speeding(2))
                again += 2 * back
                if back > 0.08 and scene.instants is None:
                    blows.append((again, strength * 0.3))
                back *= 0.5
        q = line.at(t)
        half_x, half_y, x = rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3), rng.normal(0, 0.6)
        shown = (t >= time - duration - rng.choice([0.0, 0.3, 3.0])).astype(float)
        spin = q * rng.choice([0.0, rng.normal(0, 3)])
        skin = replace(scene.look(0.3), shown=shown)
        parts.append(scene.part(str(rng.choice(["box", "ellipse"])), x, -q - half_y, spin, half_x, half_y, skin))
        if held:
            parts.append(
                scene.limb(x, -q - 1.8 * half_y, x + 0.4, -q - 1.5, 0.1, replace(scene.look(0.15), shown=shown))
            )
    return Act("strike", parts, sorted(blows))


def door(scene: ActScene) -> Act:
    """A large leaf that swings or slides and slams, or is closed with care."""
    rng, t = scene.rng, scene.t
    blows = scene.blows(0.5)
    line, sounding = Line(rng.uniform(0.3, 1)), []
    for blow in blows:
        line.wait(blow.time - 0.7)
        if blow.kind == "hit":
            line.to(blow.time, 0.0, speeding(rng.uniform(1.2, 3)))
            line.to(line.time + 0.08, rng.choice([0, 0.04]), slowing(2)).to(line.time + 0.16, 0.0)
            sounding.append((blow.time, blow.strength))
        else:
            line.to(blow.time + 0.3, 0.0, slowing(2.5))
        line.wait(line.time + 0.1).to(line.time + rng.uniform(0.3, 0.8), rng.uniform(0.3, 1))
    q = line.at(t)
    jolt = shake(t, [a for a, _ in sounding], [0.02 * b for _, b in sounding], rng.uniform(6, 20), 0.1)
    width = rng.uniform(0.4, 1.0)
    parts = [scene.part("box", jolt, 0.0, 0.0, width * 1.15, 1.3)]
    leaf = scene.part("box", 0.0, 0.0, 0.0, width, 1.2)
    if rng.random() < 0.5:
        leaf.x, leaf.y = scene.place.point(q * width * 1.8 + jolt, 0.0)
    else:
        narrow = np.cos(q * 1.4)
        leaf.half_x = width * scene.place.size * narrow
        leaf.x, leaf.y = scene.place.point(-width + width * narrow + jolt, 0.0)
    return Act("strike", [*parts, leaf], sounding)


def pendulum(scene: ActScene) -> Act:
    """Two bodies that meet: a clapper and its bell, balls on strings, a swing that passes without a sound."""
    rng, t = scene.rng, scene.t
    rate, phase, size = rng.uniform(0.5, 2.5), rng.uniform(0, 1), rng.uniform(0.3, 1.0)
    wall = rng.random() < 0.6 and not scene.silent
    turn = np.sin(2 * np.pi * (rate * t + phase))
    blows = []
    if wall:  # it is stopped half way and thrown back
        turn = np.abs(turn)
        blows = [(float(n / 2 - phase) / rate, 0.6) for n in range(40) if 0.03 < (n / 2 - phase) / rate < scene.seconds]
    angle, length = turn * size, rng.uniform(0.6, 1.5)
    x, y = length * np.sin(angle), length * np.cos(angle) - length
    half = rng.uniform(0.06, 0.25)
    parts = [scene.limb(0.0, -length, x, y, 0.02), scene.part("ellipse", x, y, angle, half, half)]
    if wall:
        parts.insert(0, scene.part("box", -half - 0.2, 0.0, 0.0, 0.2, rng.uniform(0.2, 0.8)))
    return Act("strike" if wall else "wave", parts, blows)
