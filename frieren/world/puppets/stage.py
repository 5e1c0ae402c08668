"""Textured parts on a stage, and how they are rasterised: grey pictures, all frames of a clip at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.world.puppets.paths import RATE, Curve

TILE = 64  # pixels, side of a texture


@dataclass(frozen=True)
class Look:
    """How a part is painted.

    Attributes:
        tone, contrast: mean and contrast of its texture, 0..1.
        texture: number of the clip's texture that it wears.
        grain: texture tiles per unit of length.
        slide_x, slide_y: by how much the texture moves inside the shape, in units of length.
        light: factor on its brightness over time.
        shown: opacity over time.
    """

    tone: float = 0.5
    contrast: float = 0.3
    texture: int = 0
    grain: float = 1.0
    slide_x: Curve | float = 0.0
    slide_y: Curve | float = 0.0
    light: Curve | float = 1.0
    shown: Curve | float = 1.0


@dataclass
class Part:
    """One textured shape and its path, sampled at `RATE`; y points down, the picture's shorter half side is 1.

    Attributes:
        shape: "box", "ellipse", or "limb" (a capsule along x).
        x, y, angle: of its centre; numbers or curves.
        half_x, half_y: half extents; numbers or curves.
        look: how it is painted.
    """

    shape: str
    x: Curve | float
    y: Curve | float
    angle: Curve | float
    half_x: Curve | float
    half_y: Curve | float
    look: Look


@dataclass
class Framing:
    """Where the camera looks: centre, roll and zoom over time, sampled at `RATE`."""

    x: Curve | float = 0.0
    y: Curve | float = 0.0
    angle: Curve | float = 0.0
    zoom: Curve | float = 1.0


def limb(x0: Curve, y0: Curve, x1: Curve, y1: Curve, width: float, look: Look) -> Part:
    """A limb between two moving points."""
    dx, dy = x1 - x0, y1 - y0
    return Part("limb", (x0 + x1) / 2, (y0 + y1) / 2, np.arctan2(dy, dx), np.hypot(dx, dy) / 2, width, look)


def draw_textures(rng: np.random.Generator, count: int) -> Tensor:
    """Draws tiles [count, TILE, TILE] of mean 0 that wrap around: noise of any colour, stripes, tiles, spots."""
    f = np.fft.fftfreq(TILE)
    radius = np.hypot(f[:, None], f[None, :])
    radius[0, 0] = 1
    tiles = []
    for _ in range(count):
        white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
        shape = radius ** -rng.uniform(0.4, 2.0)
        if rng.random() < 0.3:  # grain in one direction, as of wood or cloth
            a = rng.uniform(0, np.pi)
            along = f[:, None] * np.cos(a) + f[None, :] * np.sin(a)
            shape = shape / (1 + (along / 0.02) ** 2)
        shape[0, 0] = 0
        tile = np.fft.ifft2(white * shape).real
        tile /= tile.std() + 1e-9
        style = rng.random()
        if style < 0.2:
            n, m = rng.integers(0, 6, 2)
            grid = np.arange(TILE) / TILE
            tile = 0.5 * tile + 1.5 * np.sign(np.sin(2 * np.pi * (n * grid[:, None] + m * grid[None, :]) + 1e-3))
        elif style < 0.4:
            tile = np.tanh(3 * (tile - rng.uniform(-1, 1)))
        tiles.append(tile / (tile.std() + 1e-9))
    return torch.from_numpy(np.stack(tiles).astype(np.float32))


def _at(curve: Curve | float, times: Curve) -> Tensor:
    """The curve at the times, [N, 1, 1]."""
    if isinstance(curve, np.ndarray):
        curve = np.interp(times, np.arange(len(curve)) / RATE, curve)
        return torch.from_numpy(curve.astype(np.float32)).view(-1, 1, 1)
    return torch.full((1, 1, 1), float(curve))


def _distance(shape: str, x: Tensor, y: Tensor, half_x: Tensor, half_y: Tensor) -> Tensor:
    """Signed distance of points in a part's own frame."""
    if shape == "limb":
        return torch.hypot(x.abs().sub(half_x).clamp_(min=0), y) - half_y
    if shape == "box":
        qx, qy = x.abs() - half_x, y.abs() - half_y
        return torch.hypot(qx.clamp(min=0), qy.clamp(min=0)) + torch.maximum(qx, qy).clamp_(max=0)
    return (torch.hypot(x / half_x, y / half_y) - 1) * torch.minimum(half_x, half_y)


def _wear(tile: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The tile, repeated, at texture coordinates in tiles."""
    grid = torch.stack([x - x.floor(), y - y.floor()], -1) * (2 * TILE / (TILE + 1)) - 1 + 1 / (TILE + 1)
    wrapped = F.pad(tile[None, None], (0, 1, 0, 1), mode="circular")
    flat = grid.reshape(1, -1, x.shape[-1], 2)
    return F.grid_sample(wrapped, flat, align_corners=False)[0, 0].view(x.shape)


def rasterise(parts: list[Part], view: Framing, times: Curve, height: int, width: int, textures: Tensor) -> Tensor:
    """Pictures [N, height, width] in 0..1 at the times; the first part lies at the back and should fill the picture."""
    unit = min(height, width) / 2  # pixels per unit
    vx = (torch.arange(width) + 0.5 - width / 2).view(1, 1, -1) / unit
    vy = (torch.arange(height) + 0.5 - height / 2).view(1, -1, 1) / unit
    zoom, roll, cx, cy = (_at(c, times) for c in (view.zoom, view.angle, view.x, view.y))
    picture = torch.full((len(times), height, width), 0.5)
    for part in parts:
        _paint(picture, part, times, (vx, vy), (zoom, roll, cx, cy), unit, textures)
    return picture


def _paint(
    picture: Tensor,
    part: Part,
    times: Curve,
    pixels: tuple[Tensor, Tensor],
    view: tuple[Tensor, ...],
    unit: float,
    textures: Tensor,
) -> None:
    zoom, roll, cx, cy = view
    look = part.look
    px, py, angle, half_x, half_y = (_at(c, times) for c in (part.x, part.y, part.angle, part.half_x, part.half_y))
    # Its centre and size in the view, in pixels, to leave out what it can never touch.
    dx, dy = px - cx, py - cy
    sx = zoom * (dx * roll.cos() - dy * roll.sin())
    sy = zoom * (dx * roll.sin() + dy * roll.cos())
    reach = zoom * (torch.hypot(half_x, half_y) + half_y) + 2 / unit
    _, height, width = picture.shape
    left = max(0, int(((sx - reach).min() * unit + width / 2).floor()))
    right = min(width, int(((sx + reach).max() * unit + width / 2).ceil()))
    top = max(0, int(((sy - reach).min() * unit + height / 2).floor()))
    bottom = min(height, int(((sy + reach).max() * unit + height / 2).ceil()))
    if right <= left or bottom <= top:
        return
    vx, vy = pixels[0][..., left:right] - sx, pixels[1][:, top:bottom] - sy
    turned = roll + angle
    cos, sin = turned.cos() / zoom, turned.sin() / zoom
    x, y = cos * vx + sin * vy, cos * vy - sin * vx
    cover = (0.5 - _distance(part.shape, x, y, half_x, half_y) * (unit * zoom)).clamp_(0, 1)
    cover = cover * _at(look.shown, times)
    tile = textures[look.texture % len(textures)]
    worn = _wear(tile, (x + _at(look.slide_x, times)) * look.grain, (y + _at(look.slide_y, times)) * look.grain)
    colour = (look.tone + look.contrast * 0.5 * worn) * _at(look.light, times)
    area = picture[:, top:bottom, left:right]
    area += cover * (colour - area)
