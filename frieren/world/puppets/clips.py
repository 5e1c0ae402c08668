"""Clips of the puppet world: a pure function of split and index; parts, film and truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from frieren.world.puppets import flows, strikers, things
from frieren.world.puppets.act import Act, ActScene, Place
from frieren.world.puppets.camera import Film, draw_view, shoot
from frieren.world.puppets.paths import RATE, Curve
from frieren.world.puppets.stage import Look, Part, draw_textures

VERSION = 3
SHAPES = ((36, 64), (48, 64), (64, 36), (64, 64))
STRIKING: dict[Callable[[ActScene], Act], float] = {
    strikers.stick: 4, strikers.fist: 2, strikers.knife: 1.5, strikers.fingers: 1.5, strikers.clap: 0.7,
    strikers.drummer: 2, strikers.walker: 1.5, strikers.jumper: 0.7, things.ball: 1, things.barker: 1.5,
    things.recoil: 0.6, things.switch: 0.7, things.faller: 1, things.door: 0.5, things.pendulum: 0.4,
    flows.scratch: 6,
}  # fmt: skip
# Those that can strike at instants that somebody else says; a pendulum has its own.
DRIVEN = {act: weight for act, weight in STRIKING.items() if act is not things.pendulum}
GOING: dict[Callable[[ActScene], Act], float] = {
    flows.rub: 2, flows.wheel: 0.7, flows.churn: 0.8, flows.tremble: 0.5,
}  # fmt: skip
SILENT: dict[Callable[[ActScene], Act], float] = {
    flows.wave: 2, flows.passer: 1, flows.fidget: 2, flows.flicker: 0.4, flows.wheel: 0.3, flows.churn: 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Puppets:
    """One clip.

    Attributes:
        film: its frames.
        seconds: its length.
        blows: [E, 2] instants in s of all contacts that sound, in order, and their strength 0..1.
        going: [N] loudness of what sounds on, at `RATE`.
        ways: how the acts move, the main one first.
    """

    film: Film
    seconds: float
    blows: Curve
    going: Curve
    ways: tuple[str, ...]


def clip(
    split: str, index: int, seconds: float = 3.0, fps: float | None = None, shape: tuple[int, int] | None = None,
    instants: Sequence[tuple[float, float]] | None = None, clean: bool = False,
) -> Puppets:  # fmt: skip
    """One clip; the same for the same arguments.

    Args:
        split: such as "train".
        index: of the clip.
        seconds: its length.
        fps: frame rate; drawn if it is not given.
        shape: (height, width) in pixels; drawn if it is not given.
        instants: (s, strength) of the blows; drawn if they are not given.
        clean: without faults of camera and file.
    """
    digest = hashlib.sha256(f"puppets {VERSION} {split} {index}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    height, width = shape or SHAPES[int(rng.choice(len(SHAPES), p=[0.45, 0.25, 0.1, 0.2]))]
    textures = draw_textures(rng, 6)
    acts, total = _cast(rng, seconds, instants), int(seconds * RATE) + 2
    view = draw_view(rng, seconds)
    ground = Look(float(rng.uniform(0.1, 0.9)), float(rng.uniform(0, 0.5)), 0, float(rng.uniform(0.1, 0.8)))
    parts = [Part("box", 0.0, 0.0, 0.0, 50.0, 50.0, ground), *(part for act in acts for part in act.parts)]
    if rng.random() < 0.4:  # something still in front of it or beside it
        x, y = rng.normal(0, 0.9, 2)
        angle, (half_x, half_y) = rng.normal(0, 0.5), rng.uniform(0.1, 0.5, 2)
        still = Part("box", x, y, angle, half_x, half_y, Look(float(rng.uniform(0.1, 0.9)), 0.3, 1))
        parts.insert(int(rng.integers(1, len(parts) + 1)), still)
    film = shoot(rng, parts, view, seconds, height, width, textures, fps, clean)
    blows = sorted(
        (time - film.start, hard) for act in acts for time, hard in act.blows if film.start <= time < seconds
    )
    going = np.zeros(total)
    for act in acts:
        if len(act.going):
            going = np.maximum(going, act.going[:total])
    going = going[round(film.start * RATE) :]
    return Puppets(film, seconds, np.array(blows, float).reshape(-1, 2), going, tuple(act.way for act in acts))


def _one_of(rng: np.random.Generator, table: dict[Callable[[ActScene], Act], float]) -> Callable[[ActScene], Act]:
    weights = np.array(list(table.values()))
    return list(table)[int(rng.choice(len(table), p=weights / weights.sum()))]


def _cast(rng: np.random.Generator, seconds: float, instants: Sequence[tuple[float, float]] | None) -> list[Act]:
    """Who is on the stage, from the back to the front."""

    def place(size: tuple[float, float], far: float) -> Place:
        turned = rng.choice([0.0, rng.normal(0, 0.3), rng.uniform(-np.pi, np.pi)], p=[0.35, 0.45, 0.2])
        x, y = np.clip(rng.normal(0, far), -0.9, 0.9), np.clip(rng.normal(0.1, far * 0.7), -0.7, 0.7)
        scale, squash = np.exp(rng.uniform(*np.log(size))), rng.choice([1.0, rng.uniform(0.35, 1)])
        return Place(float(x), float(y), float(turned), float(scale), int(rng.choice([-1, 1])), float(squash))

    draw = rng.random()
    if instants is not None:
        main = _one_of(rng, DRIVEN)(ActScene(rng, seconds, place((0.5, 1.7), 0.25), instants))
    elif draw < 0.72:
        main = _one_of(rng, STRIKING)(ActScene(rng, seconds, place((0.5, 1.7), 0.25)))
    elif draw < 0.88:
        main = _one_of(rng, GOING)(ActScene(rng, seconds, place((0.5, 1.7), 0.25)))
    elif draw < 0.94:
        main = _one_of(rng, STRIKING)(ActScene(rng, seconds, place((0.5, 1.7), 0.25), silent=True))
    else:
        main = Act("still", [])
    acts = [main]
    for _ in range(int(rng.choice([0, 1, 2], p=[0.72, 0.22, 0.06]))):
        act = _one_of(rng, SILENT)(ActScene(rng, seconds, place((0.3, 1.2), 0.8), silent=True))
        act.going = np.zeros(0)
        acts.insert(int(rng.integers(0, len(acts) + 1)), act)
    return acts
