"""Shatter: something of glass or clay slips off, falls and breaks into pieces that fly and come to rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Number, Pose, Style
from frieren.world.kind import Kind, Task
from frieren.world.matter import Finish, apart, contacts, finish, material, struck, tinted, vivid
from frieren.world.modal import Body, Build, hit, layered
from frieren.world.motion import HEAD, TAIL, since, spaced
from frieren.world.noises import scattered
from frieren.world.script import Source

PIECES = 14
FLOOR = 0.6
AFTER = 0.8  # seconds, at least, until the next one breaks


@dataclass(frozen=True)
class ShatterLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    finish: Finish
    shape: str
    big: float
    ground: Array
    colour: Array
    band: Array
    turn: float
    vx: Array
    vy: Array
    spin: Array
    bit: Array
    stay: float
    flash: float
    top: Array
    fall: float
    x: Array
    swing: float


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[ShatterLook]:
    """Falls that end at random instants; a mute one is let down softly."""
    size = float(rng.uniform())
    times = (
        HEAD
        + rng.uniform(0.0, 1.4)
        + np.concatenate([[0.0], np.cumsum(AFTER + np.minimum(rng.exponential(0.8, 12), 2.0))])
    )
    times = spaced([t for t in times if t < task.seconds - TAIL - 0.3], task.taken)
    top = rng.uniform(0.8, 1.3, len(times))
    fall = float(rng.uniform(0.3, 0.5))
    strengths = np.clip(0.3 + 0.5 * top + rng.normal(0, 0.08, len(times)), 0.35, 1.0)
    if task.mute:
        times, strengths = times[:0], strengths[:0]
    made_of = material(task, rng)
    x = rng.uniform(-0.45, 0.45, len(times))
    ground = vivid(looks)
    angle = looks.uniform(-np.pi + 0.15, -0.15, PIECES)
    speed = looks.uniform(0.6, 2.8, PIECES)
    look = ShatterLook(
        finish=finish(looks),
        shape=str(looks.choice(["vase", "plate", "bottle", "cup"])),
        big=0.22 + 0.14 * size,
        ground=ground,
        colour=apart(tinted(made_of, looks), ground, 0.35),
        band=vivid(looks),
        turn=float(looks.uniform(-5, 5)),
        vx=np.cos(angle) * speed,
        vy=np.sin(angle) * speed,
        spin=looks.uniform(-14, 14, PIECES),
        bit=looks.uniform(0.25, 0.6, PIECES),
        stay=float(looks.uniform(0.3, 0.7)),
        flash=float(looks.choice([0.0, looks.uniform(0.2, 0.5)])),
        top=top,
        fall=fall,
        x=x,
        swing=float(rng.uniform(0.2, 0.6)),
    )
    events = contacts(task, made_of, size, times, strengths, x, FLOOR)
    return Source(task.kind.name, size, look, events=events)


def render(canvas: Canvas, pose: Pose, source: Source[ShatterLook], times: np.ndarray) -> None:
    """Floor, the pieces of the last one, and the next on its way down."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    brush.box(0, FLOOR + 1.5, 4.0, 1.5, look.ground)
    if len(hits) == 0:  # let down on a string and drawn up again
        _whole(brush, look, 0.0, 0.2 + 0.25 * np.sin(2 * np.pi * look.swing * times), 0.0 * times, None)
        return
    _pieces(brush, look, times, hits, power)
    after = np.searchsorted(hits, times, "right")
    frames = np.flatnonzero(after < len(hits))
    number = after[frames]
    left = hits[number] - times[frames]  # until it breaks
    s = np.clip(1 - left / look.fall, 0, 1)
    # It waits at the top, appears at the earliest a while after the one before broke, and falls as a parabola.
    shown = np.clip((look.fall + 0.45 - left) / 0.15, 0, 1)
    y = FLOOR - look.big - look.top[number] * (1 - s * s)
    _whole(brush, look, look.x[number], y, look.turn * (1 - s) * s, frames, shown)


def _whole(
    brush: Brush, look: ShatterLook, x: Number, y: Number, turn: Array, frames: Array | None, shown: Number = 1.0
) -> None:
    big = look.big
    style = Style(shade=look.finish.shade, outline=look.finish.outline, frames=frames, opacity=shown)
    if look.shape == "plate":
        brush.ellipse(x, y, big * 1.3, big * 0.4, look.colour, angle=turn, **style)
        brush.ellipse(x, y, big * 0.7, big * 0.2, look.band, angle=turn, frames=frames, opacity=shown)
    elif look.shape == "cup":
        brush.box(x, y, big * 0.8, big * 0.8, look.colour, angle=turn, corner=0.06, **style)
        brush.ellipse(
            x + big * np.cos(turn), y + big * np.sin(turn), big * 0.4, big * 0.4, look.band, hollow=0.03, **style
        )
    else:
        up = (np.sin(turn) * big, -np.cos(turn) * big)
        slim = 0.6 if look.shape == "bottle" else 0.9
        brush.ellipse(x, y, big * slim, big, look.colour, angle=turn, **style)
        brush.box(x + up[0], y + up[1], big * 0.28, big * 0.4, look.colour, angle=turn, **style)
        brush.box(x, y, big * slim * 0.9, big * 0.15, look.band, angle=turn, frames=frames, opacity=shown)


def _pieces(brush: Brush, look: ShatterLook, times: Array, hits: Array, power: Array) -> None:
    """Pieces on parabolas from the place of the last contact; each stays where it meets the floor, then fades."""
    age, number = since(times, hits)
    life = 0.5 + look.stay
    frames = np.flatnonzero(age < life)
    if len(frames) == 0:
        return
    age, number = age[frames], number[frames]
    x0, hard = look.x[number], (0.5 + 0.5 * power[number])
    if look.flash:
        left = np.clip(1 - age / 0.12, 0, 1)
        brush.disc(x0, FLOOR, 0.1 + look.flash * (1 - left), (1, 1, 1), opacity=left, frames=frames)
    vx, vy = np.outer(look.vx, hard), np.outer(look.vy, hard)
    landed = -2 * vy / 9.0
    flown = np.minimum(age[None], landed)
    x, y = x0 + vx * (flown + 0.15 * np.maximum(age - landed, 0).clip(0, 0.3)), FLOOR + vy * flown + 4.5 * flown**2
    turn = look.spin[:, None] * flown
    bit = np.repeat(look.bit * look.big, len(frames))
    brush.box(
        x.ravel(),
        y.ravel() - 0.3 * bit,
        bit,
        bit * 0.55,
        look.colour,
        angle=turn.ravel(),
        opacity=np.tile(np.clip((life - age) / 0.3, 0, 1), PIECES),
        shade=look.finish.shade,
        frames=np.tile(frames, PIECES),
    )


def cascade(body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The break and the pieces after it: many small bodies, ever fewer and softer; [N] float32."""
    samples = int(0.65 * sample_rate)
    small = [hit(body.at_pitch(ratio), strength, sample_rate, rng) for ratio in np.exp(rng.uniform(0.2, 1.6, 8))]
    bank = np.zeros((len(small), int(0.12 * sample_rate)))
    for grain, one in zip(bank, small, strict=True):
        short = one[: bank.shape[1]]
        grain[: len(short)] = short * np.exp(-np.arange(len(short)) / (0.03 * sample_rate))
    # Dense enough to run together: no piece stands out as a contact of its own would.
    first = (np.sort(rng.uniform(0, 0.5, 700)) * sample_rate).astype(int)
    fall = np.exp(-np.arange(samples) / (rng.uniform(0.06, 0.12) * sample_rate))
    pieces = scattered(first, bank, samples, rng, 0.5) * fall
    return layered((0, 1.0, hit(body, strength, sample_rate, rng)), (0, 0.09, pieces))


SHATTER = Kind(
    "shatter",
    "impacts",
    simulate,
    render,
    (900.0, 2400.0),
    {
        "glass": Build("shell", (0.08, 0.2), 0.4, 9000, 0.9, 0.05, (2500, 7800)),
        "ceramic": Build("plate", (0.03, 0.07), 0.5, 6000, 0.8, 0.035, (900, 6000)),
    },
    hit=cascade,
)
