"""Drum, hammer and knife: a tool that is swung at a surface, seen from the side, straight on or from above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.canvas import Array, Brush, Canvas, Gloss, Pose
from frieren.world.kind import Kind, Task
from frieren.world.matter import Spray, apart, burst, contacts, material, skin, spray, struck, tinted, vivid
from frieren.world.modal import Build
from frieren.world.motion import Path, glide, rhythm, ring, strokes
from frieren.world.script import Source

# What is written twice is drawn twice as often; clips depend on these tuples.
TOOLS = {
    "drum": ("stick", "mallet", "hand", "stick", "stick"),
    "hammer": ("hammer", "hammer", "mallet", "stick", "fist"),
    "chop": ("knife", "knife", "hand", "cleaver", "hammer"),
}
GROUNDS = {
    "drum": ("drum", "skin", "bag", "cymbal", "kit", "table"),
    "hammer": ("anvil", "nail", "table", "bag", "stone"),
    "chop": ("board", "board", "table", "stone"),
}
VIEWS = {"drum": (0.5, 0.2, 0.3), "hammer": (0.6, 0.25, 0.15), "chop": (0.3, 0.55, 0.15)}
HOLD = {"drum": 0.0, "hammer": 0.06, "chop": 0.16}


@dataclass(frozen=True)
class Swing:
    """One tool: its height over the surface (1: a full swing), where it comes down, its side (1 right, -1 left)."""

    height: Path
    across: Path
    side: int


@dataclass(frozen=True)
class StrikeLook:
    """How it looks and moves: lengths in own units, colours [3] in 0..1, angles in radians, curves over time."""

    view: str
    tool: str
    ground: str
    level: float
    reach: float
    length: float
    lean: float
    thick: float
    head: float
    slope: float
    heading: float
    width: float
    depth: float
    body: Array
    top: Array
    grip: Array
    tip: Array
    skin: Array
    sleeve: Array
    arm: bool
    shade: float
    outline: float
    dent: float
    hz: float
    shadow: float
    spray: Spray
    swings: tuple[Swing, ...]
    hits: Array


def simulate(task: Task, rng: np.random.Generator, looks: np.random.Generator) -> Source[StrikeLook]:
    """Contacts in bursts; one tool, or two that take turns; strengths from the size of the swings."""
    size, kind = float(rng.uniform()), task.kind.name
    times = np.array([]) if task.mute else rhythm(rng, task.seconds, task.taken)
    hands = 2 if rng.random() < (0.4 if kind == "drum" else 0.06) else 1
    turn = rng.random(len(times)) < 0.2
    owner = (np.arange(len(times)) + np.cumsum(turn)) % hands
    spread = rng.uniform(0, 0.28)
    x = np.clip(np.cumsum(rng.normal(0, spread / 2, len(times))), -spread, spread)
    strengths, swings = np.zeros(len(times)), list[Swing]()
    for hand in range(hands):
        mine = owner == hand
        height, power = strokes(rng, times[mine], task.seconds, hold=float(rng.uniform(0, HOLD[kind])))
        strengths[mine] = power
        across = glide(times[mine], x[mine]) if mine.any() else glide([0.0], [0.0])
        swings.append(Swing(height, across, 1 - 2 * hand))
    made_of = material(task, rng)
    body = tinted(made_of, looks)
    look = StrikeLook(
        view=str(looks.choice(["lever", "plumb", "above"], p=VIEWS[kind])),
        tool=str(looks.choice(TOOLS[kind])),
        ground=str(looks.choice(GROUNDS[kind])),
        level=float(looks.uniform(0.3, 0.5)),
        reach=float(looks.uniform(0.45, 0.85)),
        length=float(looks.uniform(0.8, 1.3)),
        lean=float(looks.uniform(-0.25, 0.5)),
        thick=float(looks.uniform(0.05, 0.1)),
        head=float(looks.uniform(0.13, 0.24)),
        slope=float(looks.uniform(-0.5, 0.5)),
        heading=float(looks.uniform(0, 2 * np.pi)),
        width=float(looks.uniform(0.45, 0.85)),
        depth=float(looks.uniform(0.08, 0.3)),
        body=body,
        top=apart(vivid(looks), body, 0.2),
        grip=apart(vivid(looks), body, 0.3),
        tip=apart(tinted("metal" if kind != "drum" else "wood", looks), body, 0.35),
        skin=skin(looks),
        sleeve=vivid(looks),
        arm=bool(looks.random() < 0.5),
        shade=float(looks.uniform(0, 0.5)),
        outline=float(looks.choice([0.0, 0.0, 0.025, 0.04])),
        dent=float(looks.uniform(0.0, 0.12)),
        hz=float(looks.choice([0.0, looks.uniform(6, 11)])),
        shadow=float(looks.uniform(0.1, 0.5)),
        spray=spray(looks),
        swings=tuple(swings),
        hits=x,
    )
    events = contacts(task, made_of, size, times, strengths, x, look.level)
    return Source(kind, size, look, events=events)


def render(canvas: Canvas, pose: Pose, source: Source[StrikeLook], times: np.ndarray) -> None:
    """Surface, then tools, then what flies off."""
    look, brush = source.look, canvas.brush(pose)
    hits, power = struck(source)
    shake = look.dent * ring(times, hits, power, look.hz, 0.09)
    above = look.view == "above"
    (_ground_above if above else _ground)(brush, look, shake)
    for swing in look.swings:
        height, across = swing.height.at(times), swing.across.at(times)
        sunk = look.level + np.where(height < 0.02, np.maximum(shake, 0) * 0.5, 0)
        tip, grip, scale = _swing(look, height, across, sunk, swing.side)
        if above or look.shadow > 0.25:
            spread = 0.1 + 0.12 * height
            offset = 0.5 * height * (1 if above else 0)
            brush.ellipse(
                tip[0] + offset,
                look.level + 0.03 + 0.3 * offset,
                spread,
                spread * (0.8 if above else 0.25),
                (0, 0, 0),
                opacity=look.shadow * (1 - 0.6 * np.clip(height, 0, 1)),
            )
        _tool(brush, look, tip, grip, scale)
    burst(brush, look.spray, times, hits, power, look.hits, look.level)


def _swing(
    look: StrikeLook, height: Array, across: Array, level: Array, side: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """Where tip and grip are: ((x, y), (x, y), thickness factor), each [F], for a tool at `height` over the surface."""
    length, reach = look.length, look.reach
    if look.view == "lever":
        lean = look.lean
        wrist = 0.25 * reach * height
        turn = lean - height * reach * 1.1 / length
        x = across + side * length * np.cos(lean)
        y = level - length * np.sin(lean) - wrist
        tip = x - side * length * np.cos(turn), y + length * np.sin(turn)
        return tip, (x, y), np.ones_like(height)
    if look.view == "plumb":
        slope = look.slope * side
        tip = across + slope * 0.5 * height * reach + 0.1 * (1 - side), level - 1.1 * reach * height
        return tip, (tip[0] + length * np.sin(slope), tip[1] - length * np.cos(slope)), np.ones_like(height)
    heading = look.heading + (0.7 if side < 0 else 0)
    ux, uy = np.cos(heading), np.sin(heading)
    near = 1 + 0.6 * height
    tip = across + ux * 0.55 * reach * height, level + (uy * 0.55 - 0.35) * reach * height
    return tip, (tip[0] + ux * length * near, tip[1] + uy * length * near), near


def _tool(brush: Brush, look: StrikeLook, tip: tuple[Array, Array], grip: tuple[Array, Array], scale: Array) -> None:
    """The tool from tip to grip, and the hand or handle that holds it."""
    (x, y), (gx, gy), thick, head = tip, grip, look.thick * scale, look.head * scale
    style = Gloss(shade=look.shade, outline=look.outline)
    length = np.hypot(gx - x, gy - y) + 1e-6
    ux, uy = (gx - x) / length, (gy - y) / length
    angle, name = np.arctan2(uy, ux), look.tool
    # The part that touches stands a little off the tip, so that its edge and not its centre meets the surface.
    off = {"stick": thick, "mallet": head, "fist": head, "hammer": head * 0.9, "hand": thick}.get(name, head * 0.7)
    y = y - off
    if name in ("knife", "cleaver"):
        tall = head * (0.5 if name == "knife" else 0.9)
        brush.box(
            x + ux * length * 0.45,
            y + uy * length * 0.45,
            length * 0.5,
            tall,
            look.tip,
            angle=angle,
            corner=0.03,
            **style,
        )
        brush.stick(gx, gy, gx + ux * 0.35, gy + uy * 0.35, thick * 1.1, look.grip, **style)
        return
    if name == "fist":
        brush.stick(x, y, gx, gy, thick * 1.7, look.grip, **style)
        brush.disc(x, y, head, look.skin, **style)
        return
    if name == "hand":
        brush.stick(x + ux * 0.4, y + uy * 0.4, gx, gy, thick * 2.2, look.skin, **style)
        for finger in (-1, 0, 1):
            spread = 0.1 * finger
            brush.stick(
                x - uy * spread,
                y + ux * spread,
                x + ux * 0.4 - uy * spread,
                y + uy * 0.4 + ux * spread,
                thick * 0.9,
                look.skin,
                **style,
            )
        return
    brush.stick(x, y, gx, gy, thick, look.grip if name == "hammer" else look.tip, **style)
    if name == "hammer":
        brush.box(x, y, head * 0.65, head * 1.25, look.tip, angle=angle, corner=0.02, **style)
    elif name == "mallet":
        brush.ellipse(x, y, head, head * 0.9, look.tip, angle=angle, **style)
    if look.arm:
        brush.stick(gx, gy, gx + ux * 0.7, gy + uy * 0.7 + 0.2, 0.13 * scale, look.sleeve, shade=look.shade)
    if look.shadow > 0.2:
        brush.disc(gx, gy, 0.17 * scale, look.skin, **style)


def _ground(brush: Brush, look: StrikeLook, shake: Array) -> None:
    """The struck body seen from the side; `shake` [F] moves or dents it."""
    width, level, style = look.width, look.level, Gloss(shade=look.shade, outline=look.outline)
    y, name = level + shake * 0.6, look.ground
    if name in ("drum", "skin", "kit"):
        drop = 0.3 + look.depth
        brush.box(0, y + drop / 2, width, drop / 2 + 0.05, look.body, corner=0.06, **style)
        if name == "kit":
            brush.ellipse(width + 0.1, level - 0.35, 0.4, 0.07, look.top, angle=0.3, **style)
        brush.ellipse(0, y + 0.02, width, 0.09 + look.depth * 0.3 - shake * 0.3, look.top, **style)
    elif name == "bag":
        squash = np.maximum(shake, 0)
        brush.ellipse(0, level + 0.45 + squash * 0.5, width * (1 + squash), 0.47 - squash * 0.4, look.body, **style)
        brush.ellipse(0, level + 0.3, width * 0.5, 0.1, look.top, opacity=0.4)
    elif name == "cymbal":
        tilt = shake * 3
        brush.stick(0, level + 0.05, 0, level + 1, 0.04, look.top)
        brush.ellipse(0, y + 0.06, width, 0.07 + look.depth * 0.3, look.body, angle=tilt, **style)
    elif name == "anvil":
        brush.box(0, y + 0.13, width, 0.13, look.body, corner=0.05, **style)
        brush.box(0, y + 0.42, width * 0.5, 0.25, look.body * 0.8, corner=0.05, **style)
    elif name == "nail":
        brush.box(0, level + 0.55, width, 0.3, look.body, stripe=0.2, **style)
        brush.stick(0, y + 0.04, 0, level + 0.3, 0.05, look.top, **style)
        brush.box(0, y + 0.04, 0.14, 0.04, look.top, **style)
    elif name == "stone":
        brush.ellipse(0, y + 0.3, width, 0.3, look.body, **style)
    else:
        thick = 0.08 + look.depth * 0.4
        brush.box(
            0, y + thick, width * 1.2, thick, look.body, corner=0.03, stripe=0.25 if name == "board" else 0, **style
        )
        if name == "board" and look.dent > 0.05:
            brush.ellipse(0.1, y - 0.03, width * 0.5, 0.08, look.top, opacity=0.9, **style)


def _ground_above(brush: Brush, look: StrikeLook, shake: Array) -> None:
    """The struck body seen from above; it widens and brightens as it shakes."""
    width, y, style = look.width * 1.1, look.level, Gloss(shade=look.shade, outline=look.outline)
    flat = 0.45 + look.depth * 1.6
    swell = 1 + 0.5 * shake
    if look.ground in ("board", "table", "anvil", "stone"):
        brush.box(
            0,
            y,
            width * 1.15 * swell,
            width * flat * 0.8 * swell,
            look.body,
            angle=look.slope * 0.4,
            corner=0.06,
            stripe=0.25 if look.ground == "board" else 0,
            **style,
        )
        return
    if look.ground == "kit":
        brush.ellipse(-width * 1.3, y - 0.4, width * 0.7, width * 0.6 * flat, look.body, **style)
        brush.ellipse(width * 1.2, y - 0.7, width * 0.6, width * 0.5 * flat, look.top, **style)
    brush.ellipse(0, y + 0.08, width * swell, width * flat * swell, look.body, **style)
    tone = np.clip(look.top[None] + 1.5 * np.abs(shake)[:, None], 0, 1)
    brush.ellipse(0, y, width * 0.88 * swell, width * 0.88 * flat * swell, tone)


DRUM = Kind(
    "drum",
    "rhythmic",
    simulate,
    render,
    (70.0, 260.0),
    {
        "skin": Build("membrane", (0.12, 0.30), 0.6, 2000, 0.40, 0.014, (200, 4500)),
        "plastic": Build("membrane", (0.08, 0.20), 0.7, 3500, 0.45, 0.010, (400, 6000)),
        "bag": Build("membrane", (0.05, 0.10), 1.0, 1000, 0.55, 0.025, (120, 3000)),
    },
    near=True,
    tilts=True,
)
HAMMER = Kind(
    "hammer",
    "impacts",
    simulate,
    render,
    (240.0, 1400.0),
    {
        "metal": Build("plate", (0.25, 0.80), 0.4, 6500, 0.45, 0.008, (1200, 7500)),
        "wood": Build("bar", (0.04, 0.08), 0.6, 3500, 0.45, 0.012, (250, 5000)),
        "stone": Build("plate", (0.03, 0.09), 0.5, 6000, 0.55, 0.012, (800, 7500)),
    },
    near=True,
    tilts=True,
)
CHOP = Kind(
    "chop",
    "impacts",
    simulate,
    render,
    (160.0, 600.0),
    {
        "wood": Build("block", (0.03, 0.08), 0.7, 3500, 0.55, 0.035, (1200, 7500)),
        "plastic": Build("block", (0.03, 0.06), 0.6, 4500, 0.60, 0.030, (1500, 7500)),
    },
    near=True,
    tilts=True,
)
