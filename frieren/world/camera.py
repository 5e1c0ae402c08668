"""The camera: shape, frame rate, exposure and motion; background and occluders; what lens, sensor and codec add."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from frieren.world.canvas import F32, Canvas, View
from frieren.world.matter import vivid
from frieren.world.motion import drift

REACH = 0.5  # scene units of background beyond each edge of its square
ASPECTS = {16 / 9: 0.42, 4 / 3: 0.14, 1.0: 0.2, 3 / 4: 0.06, 9 / 16: 0.18}  # width over height -> share of the clips
RATES = {12.0: 0.05, 15.0: 0.1, 24.0: 0.2, 25.0: 0.2, 30000 / 1001: 0.1, 30.0: 0.15, 50.0: 0.1, 60.0: 0.1}
BLURRED = (0.1, 0.25, 0.25, 0.35)  # share of the clips of each level whose exposure takes time
TAPS = 3  # instants that stand for an exposure


@dataclass(frozen=True)
class Capture:
    """What the camera records on; the scene does not depend on it.

    Attributes:
        aspect: width over height of the picture.
        rate: its own frames per second, whatever the clock at which the clip is shown.
        exposure: seconds for which a frame gathers light; 0 for an instant.
    """

    aspect: float = 1.0
    rate: float = 25.0
    exposure: float = 0.0

    @property
    def aspect_scale(self) -> tuple[float, float]:
        """The part of the screen, across and down, that one unit of the scene takes."""
        return min(1.0, 1 / self.aspect), min(1.0, self.aspect)

    def shape(self, size: int) -> tuple[int, int]:
        """Height and width in pixels, both even, of a picture whose shorter side is `size`."""
        height, width = (2 * round(size / (2 * part)) for part in self.aspect_scale[::-1])
        return height, width

    def shown(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the frames that are displayed at `times` [T]: their own seconds [F], and which is there when [T]."""
        numbers, which = np.unique(np.floor(times * self.rate + 1e-6), return_inverse=True)
        return numbers / self.rate, which

    def instants(self, moments: np.ndarray) -> np.ndarray:
        """The seconds [F * taps] that an exposure at each of `moments` [F] gathers; one that ends there."""
        if not self.exposure:
            return moments
        return (moments[:, None] - np.linspace(self.exposure, 0, TAPS)).ravel()


def draw_capture(rng: np.random.Generator, level: int) -> Capture:
    """Any shape of picture and frame rate at every level; exposures that blur what moves mostly from level 1 on."""
    aspect, rate = (float(rng.choice(list(table), p=list(table.values()))) for table in (ASPECTS, RATES))
    blurred, share = rng.random() < BLURRED[level], rng.uniform(0.4, 1.0)
    return Capture(aspect, rate, share / rate if blurred else 0.0)


@dataclass(frozen=True)
class Camera:
    """Motion of the camera as functions of time, drawn once per clip.

    Attributes:
        seed: of its shake and drift.
        pan, push, roll, shake: sizes of slow shift, slow zoom, slow roll and quick shake (0 for none).
        cut: seconds of a hard cut, or None.
        shot: zoom, dx, dy after the cut.
        slide: size of the background's own slow shift, against the scene.
    """

    seed: int
    pan: float = 0.0
    push: float = 0.0
    roll: float = 0.0
    shake: float = 0.0
    cut: float | None = None
    shot: tuple[float, float, float] = (1.0, 0.0, 0.0)
    slide: float = 0.0

    def at(self, times: np.ndarray) -> View:
        """The camera at each time [F]."""
        rng = np.random.default_rng(self.seed)
        slow = [drift(rng, times, 0.03, 0.2, 3) for _ in range(4)]
        quick = [drift(rng, times, 0.8, 4.0) for _ in range(2)]
        zoom, roll = 1 + self.push * slow[0], self.roll * slow[1]
        dx, dy = (self.pan * slow[2 + k] + self.shake * quick[k] for k in range(2))
        if self.cut is not None:
            after = times >= self.cut
            zoom = np.where(after, zoom * self.shot[0], zoom)
            dx, dy = dx + after * self.shot[1], dy + after * self.shot[2]
        return View(zoom, roll, dx, dy)

    def behind(self, times: np.ndarray) -> View:
        """The camera as the background has it, which may slide against the scene."""
        view, rng = self.at(times), np.random.default_rng(self.seed + 1)
        if not self.slide:
            return view
        dx, dy = (self.slide * drift(rng, times, 0.03, 0.3, 3) for _ in range(2))
        return replace(view, dx=view.dx + dx, dy=view.dy + dy)


def draw_camera(rng: np.random.Generator, level: int, seconds: float) -> Camera:
    """Still at level 0; slow moves from level 1; stronger shake and a cut in some clips at level 3."""
    seed, strong = int(rng.integers(2**31)), 1.0 if level < 3 else 1.8
    if level == 0 or rng.random() < 0.3:
        moves = (0.0, 0.0, 0.0, 0.0)
    else:
        some = rng.random(4) < (0.6, 0.5, 0.35, 0.5)
        pan, push, roll, shake = (some * strong * rng.uniform(0.2, 1.0, 4) * (0.04, 0.05, 0.04, 0.006)).tolist()
        moves = (pan, push, roll, shake)
    cut = float(rng.uniform(1.5, seconds - 1.5)) if level == 3 and rng.random() < 0.4 else None
    zoom, (dx, dy) = float(rng.uniform(0.75, 1.3)), rng.uniform(-0.1, 0.1, 2).tolist()
    slide = float(rng.uniform(0.03, 0.25)) if level and rng.random() < 0.2 else 0.0
    return Camera(seed, *moves, cut, (zoom, dx, dy), slide)


@dataclass(frozen=True)
class Occluder:
    """Something in front of the scene for a while: a box that passes, or that hangs there.

    Attributes:
        start, stop: seconds.
        x, y: scene position of its centre at `start`; vx: scene units per second.
        rx, ry: half sides.
        colour: [3].
    """

    start: float
    stop: float
    x: float
    y: float
    vx: float
    rx: float
    ry: float
    colour: np.ndarray

    def centre(self, times: np.ndarray) -> np.ndarray:
        """Horizontal position at each time."""
        return self.x + self.vx * (times - self.start)

    def hides(self, x: float, y: float, time: float) -> bool:
        """Whether the point is behind it at that time."""
        here = self.start <= time <= self.stop
        return here and abs(x - float(self.centre(np.array(time)))) < self.rx and abs(y - self.y) < self.ry

    def render(self, canvas: Canvas, times: np.ndarray) -> None:
        """In front of everything drawn so far."""
        shown = ((times >= self.start) & (times <= self.stop)).astype(float)
        canvas.brush().box(
            self.centre(times), self.y, self.rx, self.ry, self.colour, opacity=shown, corner=0.02, shade=0.2
        )


def draw_occluders(
    rng: np.random.Generator, level: int, seconds: float, x: float, y: float, width: float
) -> tuple[Occluder, ...]:
    """At level 3, in most clips, one or two things that pass in front of the place x, y; the frame is `width` wide."""
    if level < 3 or rng.random() < 0.25:
        return ()
    occluders = []
    for _ in range(int(rng.integers(1, 3))):
        rx, ry, start = rng.uniform(0.12, 0.3), rng.uniform(0.3, 0.8), rng.uniform(0.0, seconds - 2)
        if rng.random() < 0.6:  # a passer-by
            speed = rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
            across = (width + 2 * rx) / abs(speed)
            left = 0.5 - np.copysign(width / 2 + rx, speed)
            occluders.append(
                Occluder(start, start + across, left, float(rng.uniform(0.4, 0.7)), speed, rx, ry, vivid(rng))
            )
        else:
            stop = start + rng.uniform(0.8, 2.5)
            occluders.append(
                Occluder(start, stop, x + rng.uniform(-0.1, 0.1), y, 0.0, rx, max(0.2, ry * 0.6), vivid(rng))
            )
    return tuple(occluders)


def background(
    rng: np.random.Generator,
    level: int,
    view: View,
    shape: tuple[int, int, int],
    aspect_scale: tuple[float, float],
    avoid: np.ndarray,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Pixels [3, *shape] of the bare place: plain or a gradient at level 0, textures that move with the camera above.

    Args:
        shape: (F, H, W).
        aspect_scale: of the capture.
        avoid: [N, 3] colours of what moves in front of it and should stand out.
        device: where the pixels are to be.
    """
    count, height, width = shape
    side = 2 * max(height, width)
    texture = torch.from_numpy(_texture(rng, level, side, avoid)).reshape(3, -1).to(device)
    frames = 1 if view.still else count
    x, y = (
        torch.arange(size, device=device).add(0.5).div(size).sub(0.5).div(part)
        for size, part in zip((width, height), aspect_scale, strict=True)
    )
    paths = np.stack([view.zoom, view.roll, view.dx, view.dy])[:, :frames]
    zoom, roll, dx, dy = torch.tensor(paths, dtype=torch.float32, device=device)[..., None, None]
    x, y = x - dx, y[:, None] - dy
    cos, sin = roll.cos() / zoom, roll.sin() / zoom
    half = side / 2
    column = ((cos * x + sin * y) * half + half).clamp_(0, side - 1).long()
    row = ((cos * y - sin * x) * half + half).clamp_(0, side - 1).long()
    return texture[:, row * side + column].expand(3, *shape).contiguous()


def _texture(rng: np.random.Generator, level: int, side: int, avoid: np.ndarray) -> np.ndarray:
    """[3, side, side] over the scene and REACH beyond it; its draws do not depend on `side`."""
    tries = np.stack([vivid(rng) for _ in range(6)])
    clear = np.linalg.norm(tries[:, None] - avoid[None], axis=-1).min(1, initial=1.0)
    first = tries[np.argmax(clear >= 0.4) if (clear >= 0.4).any() else np.argmax(clear)]
    second = np.clip(first + rng.normal(0, 0.15 if level == 0 else 0.25, 3), 0, 1)
    axis = np.linspace(-REACH, 1 + REACH, side)
    x, y = axis[None, :], axis[:, None]
    styles = ("plain", "slope") if level == 0 else ("slope", "noise", "noise", "stripes", "tiles", "blotches", "room")
    style, turn = str(rng.choice(styles)), rng.uniform(0, np.pi)
    along = np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)
    pitch, cells = rng.uniform(6, 40), int(rng.choice([6, 12, 24]))
    grain = [_value_noise(rng, cells * 2**k, side) for k in range(3)]
    if style == "plain":
        mix = np.zeros((side, side))
    elif style == "slope":
        mix = np.clip(along + 0.5, 0, 1)
    elif style == "noise":
        mix = grain[0] * 0.6 + grain[1] * 0.3 + grain[2] * 0.1
    elif style == "stripes":
        mix = (np.sin(pitch * along) > 0) * 0.7 + 0.3 * grain[1]
    elif style == "tiles":
        mix = ((np.sin(pitch * x) > 0) ^ (np.sin(pitch * y) > 0)) * 0.7 + 0.3 * grain[0]
    elif style == "room":
        mix = (y > 0.62) * 0.8 + 0.2 * grain[1]
    else:
        mix = np.floor(grain[0] * 4) / 4 + 0.2 * grain[2]
    texture = first[:, None, None] + (second - first)[:, None, None] * mix
    if style == "blotches":  # as in a photograph out of focus: colours differ from place to place
        texture = texture + 0.5 * np.stack([_value_noise(rng, 5, side) - 0.5 for _ in range(3)])
    return np.clip(texture, 0, 1).astype(F32)


def _value_noise(rng: np.random.Generator, cells: int, side: int) -> np.ndarray:
    """[side, side] in 0..1: random values on a grid of `cells`, joined linearly."""
    values = rng.uniform(0, 1, (cells + 1, cells + 1))
    place = np.linspace(0, cells, side, endpoint=False)
    low = place.astype(int)
    part = place - low
    rows = values[low] * (1 - part)[:, None] + values[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def degrade(
    pixels: Tensor, rng: np.random.Generator, grain: np.random.Generator, level: int, moments: np.ndarray
) -> Tensor:
    """What lens, sensor and codec make of a clean picture.

    Args:
        pixels: [3, F, H, W] float32 in 0..1, overwritten.
        rng: what the camera is like; does not depend on the size of the picture.
        grain: the noise of each pixel.
        level: 0..3; nothing happens at level 0 in half of the clips, and level 3 may be dark.
        moments: [F] seconds at which the frames were taken.

    Returns:
        [F, 3, H, W] uint8.
    """
    some = rng.random(6)
    gain = rng.uniform(0.7, 1.25) * rng.uniform(0.92, 1.08, 3)
    dark, vignette, noise = rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.6), rng.uniform(0.004, 0.035)
    block, flicker, hz = int(rng.choice([2, 4], p=[0.8, 0.2])), rng.uniform(0.01, 0.06), rng.uniform(0.1, 2)
    _, count, height, width = pixels.shape
    if level == 0 and some[0] < 0.5:
        return _quantised(pixels)
    if some[1] < 0.35:  # defocus
        _soften(pixels)
    light = np.ones((3, 1, 1, 1)) * gain[:, None, None, None]
    if level == 3 and some[2] < 0.35:
        light = light * dark
        noise *= 1.2
    if level and some[3] < 0.25:
        light = light * (1 + flicker * np.sin(2 * np.pi * hz * moments))[None, :, None, None]
    pixels *= torch.tensor(light, dtype=torch.float32, device=pixels.device)
    if level and some[4] < 0.5:
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        fall = 1 - vignette * (x * x + y * y) / 2
        pixels *= torch.tensor(fall, dtype=torch.float32, device=pixels.device)
    if level and some[5] < 0.3 and height % block == 0 and width % block == 0:
        _blocky(pixels, block)
    if level:
        pool = torch.from_numpy(grain.standard_normal((16, height, width), F32) * F32(noise)).to(pixels.device)
        pixels += pool[torch.as_tensor(grain.integers(0, 16, count), device=pixels.device)]
    return _quantised(pixels)


def _soften(pixels: Tensor) -> None:
    """A quarter of each neighbour, half of the pixel itself, along both axes; the rim stays."""
    for axis in (2, 3):
        size = pixels.shape[axis]
        before, here, after = (pixels.narrow(axis, start, size - 2) for start in range(3))
        here.copy_((before + after) / 4 + here / 2)


def _blocky(pixels: Tensor, block: int) -> None:
    """Pull every block half way to its mean, as a codec short of bits does."""
    mean = torch.nn.functional.avg_pool2d(pixels, block)
    pixels.lerp_(mean.repeat_interleave(block, 2).repeat_interleave(block, 3), 0.6)


def _quantised(pixels: Tensor) -> Tensor:
    return pixels.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8).transpose(0, 1).contiguous()
