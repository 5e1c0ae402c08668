"""Engine: a wheel, rotor or crank whose speed can be seen; the firing rate follows it."""

from __future__ import annotations

import numpy as np

from frieren.world.canvas import Canvas, Pose
from frieren.world.kinds.matter import Task, apart, material, tinted, vivid
from frieren.world.kinds.weather import GRID
from frieren.world.motion import swells
from frieren.world.script import Activity, Source


def write(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source:
    """Speed swells and stops; the angle is its integral; loudness and firing rate rise with it."""
    grid = np.arange(round(task.seconds * GRID) + 1) / GRID
    speed = swells(rng, grid, calm=0.25)
    turns = rng.uniform(1.5, 3.0) * speed
    angle = 2 * np.pi * np.cumsum(turns) / GRID * rng.choice([-1, 1])
    size, made_of = float(rng.uniform()), material(task.kind, rng)
    runs = np.clip(speed / 0.05, 0, 1)
    rate = (12 + rng.uniform(30, 80) * speed) * (runs > 0)
    activity = None if task.mute else Activity(task.kind, made_of, grid, runs * (0.25 + 0.7 * speed), rate)
    if task.mute:  # coasts slowly
        angle = 0.25 * angle
    look = _look(made_of, looks) | {"grid": grid, "angle": angle, "speed": speed * (not task.mute)}
    return Source(task.kind, size, (), activity, look)


def _look(made_of: str, rng: np.random.Generator) -> dict:
    body = tinted(made_of, rng)
    return {
        "shape": str(rng.choice(["wheel", "rotor", "crank", "gear"])),
        "spokes": int(rng.integers(2, 5)),
        "body": body,
        "hub": apart(vivid(rng), body, 0.3),
        "case": apart(vivid(rng), body, 0.2),
        "mark": apart(vivid(rng), body, 0.4),
        "thick": float(rng.uniform(0.08, 0.16)),
        "shake": float(rng.uniform(0.0, 0.05)),
        "shade": float(rng.uniform(0, 0.4)),
        "outline": float(rng.choice([0.0, 0.04])),
        "smoke": bool(rng.random() < 0.4),
        "phase": rng.uniform(0, 1, 6),
    }


def draw(canvas: Canvas, pose: Pose, source: Source, times: np.ndarray) -> None:
    """What turns, what is driven by it, and smoke with the speed."""
    look, brush = source.look, canvas.brush(pose)
    angle = np.interp(times, look["grid"], look["angle"])
    speed = np.interp(times, look["grid"], look["speed"])
    x = look["shake"] * speed * np.sin(2 * np.pi * 11.3 * times)
    y = look["shake"] * speed * np.sin(2 * np.pi * 9.1 * times + 1)
    style = {"shade": look["shade"], "outline": look["outline"]}
    if look["smoke"]:
        for k, phase in enumerate(look["phase"]):
            s = np.mod(times * 0.9 + phase, 1)
            brush.disc(
                -0.7 + 0.3 * s * (k % 3), -0.6 - 0.8 * s, 0.1 + 0.2 * s, (0.6, 0.6, 0.6), opacity=0.6 * speed * (1 - s)
            )
    if look["shape"] in ("rotor", "crank"):
        brush.box(x, y + 0.3, 0.85, 0.75, look["case"], corner=0.12, **style)
    if look["shape"] in ("wheel", "gear"):
        brush.ellipse(x, y, 0.85, 0.85, look["body"], hollow=look["thick"])
        if look["shape"] == "gear":
            brush.disc(x, y, 0.62, look["case"])
    for k in range(look["spokes"]):
        turn = angle + 2 * np.pi * k / look["spokes"]
        u, v = np.cos(turn), np.sin(turn)
        if look["shape"] == "gear":
            brush.box(x + 0.88 * u, y + 0.88 * v, 0.14, 0.14, look["body"], angle=turn)
            brush.disc(x + 0.38 * u, y + 0.38 * v, 0.14, look["mark"] if k == 0 else look["body"])
        elif look["shape"] == "rotor":
            brush.ellipse(
                x + 0.45 * u,
                y + 0.45 * v,
                0.45,
                look["thick"] * 1.6,
                look["mark"] if k == 0 else look["body"],
                angle=turn,
                **style,
            )
        else:
            brush.stick(x, y, x + 0.8 * u, y + 0.8 * v, look["thick"] * 0.7, look["mark"] if k == 0 else look["body"])
    if look["shape"] == "crank":
        u, v = 0.4 * np.cos(angle), 0.4 * np.sin(angle)
        brush.disc(x, y, 0.55, look["body"], **style)
        brush.stick(x + u, y + v, x, y - 0.75 + v * 0.7, look["thick"] * 0.8, look["mark"])
        brush.box(x, y - 0.85 + v * 0.7, 0.28, 0.18, look["hub"], **style)
    brush.disc(x, y, 0.16, look["hub"], **style)
