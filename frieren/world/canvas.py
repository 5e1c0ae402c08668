"""Canvas: anti-aliased signed-distance shapes, drawn on all frames of a clip at once.

A scene is laid out in a square of side 1 around its middle (0.5, 0.5); a frame that is wider or taller than that shows
more to its sides. Screen coordinates run 0..1 from the left and from the top of the frame, whatever its shape, so that
a script means the same at every size. A shape is evaluated only inside the smallest window that holds it, frame by
frame. One program for two cores and for a GPU: the numbers of each shape are NumPy's, its pixels torch's, on any
device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

F32 = np.float32
Array: TypeAlias = NDArray[Any]
Number: TypeAlias = float | Array  # one for all frames, or one a frame [F]
Colour: TypeAlias = Array | tuple[float, float, float]  # RGB in 0..1: [3], or [F, 3]
Distance: TypeAlias = Callable[..., Tensor]  # (u, v, *lengths) -> signed distance to a shape


class Gloss(TypedDict):
    """Shading and outline, which the shapes of a source share."""

    shade: float
    outline: float


class Style(TypedDict, total=False):
    """What every shape takes beside its place, size and colour; see `Brush`."""

    shade: float
    outline: float
    opacity: Number
    stripe: float
    frames: Array | None


@dataclass(frozen=True)
class Pose:
    """Where a source stands: its own coordinates (about -1..1, y down) -> scene.

    Attributes:
        x, y: scene position of the source's origin.
        scale: scene units per own unit.
        tilt: radians, clockwise.
        mirror: flip left and right.
    """

    x: float = 0.5
    y: float = 0.5
    scale: float = 0.4
    tilt: float = 0.0
    mirror: bool = False

    def apply(self, x: Number | Sequence[float], y: Number | Sequence[float]) -> tuple[Array, Array]:
        """Own coordinates -> scene coordinates before the camera."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        x = -x if self.mirror else x
        cos, sin = np.cos(self.tilt) * self.scale, np.sin(self.tilt) * self.scale
        return self.x + cos * x - sin * y, self.y + sin * x + cos * y


@dataclass(frozen=True)
class View:
    """The camera at each frame: scene position = centre + zoom * rotation(roll) (position - centre) + shift.

    Attributes:
        zoom, roll, dx, dy: [F] each; roll in radians, shifts in scene units.
    """

    zoom: np.ndarray
    roll: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    @property
    def still(self) -> bool:
        """True if the camera never moves."""
        return all(np.ptp(path) == 0 for path in (self.zoom, self.roll, self.dx, self.dy))

    def apply(self, x: Number, y: Number, frames: Array | slice = slice(None)) -> tuple[Array, Array]:
        """Scene position before the camera -> after it, at the given frames."""
        x, y = np.asarray(x) - 0.5, np.asarray(y) - 0.5
        cos, sin = (self.zoom * np.cos(self.roll))[frames], (self.zoom * np.sin(self.roll))[frames]
        return 0.5 + cos * x - sin * y + self.dx[frames], 0.5 + sin * x + cos * y + self.dy[frames]


class Canvas:
    """Pixels [3, F, H, W] float32 in 0..1 on any device, and the camera through which brushes see them.

    `aspect_scale` is the part of the screen, across and down, that one unit of the scene takes.
    """

    def __init__(self, pixels: Tensor, view: View, aspect_scale: tuple[float, float] = (1.0, 1.0)) -> None:
        self.pixels = pixels
        self.view = view
        self.aspect_scale = aspect_scale
        _, self.count, self.height, self.width = pixels.shape

    def brush(self, pose: Pose | None = None) -> Brush:
        """A brush that draws in the coordinates of `pose` (of the scene itself if None, still under the camera)."""
        return Brush(self, pose or Pose(0.0, 0.0, 1.0))


def _span(low: np.ndarray, high: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """First pixel [n] and common length of windows that hold low..high, in pixels, on an axis of `size`."""
    low, high = np.maximum(low, 0), np.minimum(high, size)
    length = min(size, int(np.ceil((high - low).max())) + 3)
    first = np.clip(np.floor(low).astype(np.int64) - 1, 0, size - length)
    return first, length


class Brush:
    """Draws shapes. Positions and lengths are scalars or [F]; with `frames` [n] (numbers, may repeat) they are [n].

    Every shape takes: colour [3] or [F, 3]; opacity; shade (-1..1, brighter at the upper left); outline (width in
    own units, 0 for none); stripe (own units per period along the shape's first axis, 0 for none).
    """

    def __init__(self, canvas: Canvas, pose: Pose) -> None:
        self.canvas, self.pose = canvas, pose

    def ellipse(
        self,
        x: Number,
        y: Number,
        rx: Number,
        ry: Number,
        colour: Colour,
        *,
        angle: Number = 0.0,
        hollow: Number = 0.0,
        **style: Unpack[Style],
    ) -> None:
        """An ellipse of half axes rx, ry; with `hollow` only its rim, of that half thickness."""

        def distance(u: Tensor, v: Tensor, a: Tensor, b: Tensor, thick: Tensor) -> Tensor:
            near, far = u / a, v / b
            level = torch.hypot(near, far) + 1e-6
            d = level * (level - 1) / (torch.hypot(near / a, far / b) + 1e-6)
            return d if hollow is None or np.all(np.asarray(hollow) <= 0) else d.abs_() - thick

        self._draw(distance, x, y, angle, (rx, ry, hollow), colour, **style)

    def disc(self, x: Number, y: Number, r: Number, colour: Colour, **style: Unpack[Style]) -> None:
        """A disc of radius r."""
        self._draw(lambda u, v, a, _: torch.hypot(u, v) - a, x, y, 0.0, (r, r), colour, **style)

    def box(
        self,
        x: Number,
        y: Number,
        rx: Number,
        ry: Number,
        colour: Colour,
        *,
        angle: Number = 0.0,
        corner: Number = 0.0,
        **style: Unpack[Style],
    ) -> None:
        """A box of half sides rx, ry turned by `angle`, with rounded corners."""

        def distance(u: Tensor, v: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
            p, q = u.abs() - (a - c), v.abs() - (b - c)
            return torch.hypot(p.clamp(min=0), q.clamp(min=0)) + torch.maximum(p, q).clamp_(max=0) - c

        self._draw(distance, x, y, angle, (rx, ry, corner), colour, **style)

    def stick(
        self, x0: Number, y0: Number, x1: Number, y1: Number, r: Number, colour: Colour, **style: Unpack[Style]
    ) -> None:
        """A round-ended stick of radius r between two points."""
        dx, dy = np.subtract(x1, x0), np.subtract(y1, y0)
        half = 0.5 * np.hypot(dx, dy)

        def distance(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
            return torch.hypot((u.abs() - (a - b)).clamp_(min=0), v) - b

        self._draw(distance, np.add(x0, x1) / 2, np.add(y0, y1) / 2, np.arctan2(dy, dx), (half + r, r), colour, **style)

    def _draw(
        self,
        distance: Distance,
        x: Number,
        y: Number,
        angle: Number,
        lengths: Sequence[Number],
        colour: Colour,
        *,
        opacity: Number = 1.0,
        frames: Array | None = None,
        shade: float = 0.0,
        outline: float = 0.0,
        stripe: float = 0.0,
    ) -> None:
        canvas, pose = self.canvas, self.pose
        frames = np.arange(canvas.count) if frames is None else np.asarray(frames)
        opacity = np.broadcast_to(np.asarray(opacity, float), frames.shape)
        x, y = canvas.view.apply(*pose.apply(x, y), frames)
        scale = pose.scale * canvas.view.zoom[frames]
        angle = (-1 if pose.mirror else 1) * np.asarray(angle) + pose.tilt + canvas.view.roll[frames]
        lengths = [np.broadcast_to(np.asarray(value) * scale, frames.shape) for value in lengths]
        a, b = lengths[0], lengths[1]
        rim = lengths[2] if len(lengths) > 2 else 0.0
        cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
        wide, tall = a * cos + b * sin + rim, a * sin + b * cos + rim
        # From the middle of the scene to the edges of the frame.
        across, down = (0.5 / part for part in canvas.aspect_scale)
        keep = (opacity > 0.004) & (np.abs(x - 0.5) < across + wide) & (np.abs(y - 0.5) < down + tall) & (b > 0)
        if not keep.any():
            return
        turn = np.broadcast_to(angle, frames.shape)
        columns = [np.asarray(column)[keep] for column in (x, y, turn, opacity, scale, wide, tall, *lengths)]
        tone = np.asarray(colour, F32)
        tone = tone[frames[keep]] if tone.ndim == 2 else tone[None]
        still = len(columns[0]) == canvas.count and len(tone) == 1 and all(np.ptp(column) == 0 for column in columns)
        if still:
            columns = [column[:1] for column in columns]
        self._paint(
            distance, columns, tone, None if still else frames[keep], shade=shade, outline=outline, stripe=stripe
        )

    def _paint(
        self,
        distance: Distance,
        columns: Sequence[Array],
        colour: Array,
        frames: Array | None,
        *,
        shade: float,
        outline: float,
        stripe: float,
    ) -> None:
        """Blend one shape; `frames` None means that it is the same on every frame."""
        canvas, device = self.canvas, self.canvas.pixels.device
        x, y, angle, opacity, scale, wide, tall, *lengths = columns
        across, down = (
            part * size for part, size in zip(canvas.aspect_scale, (canvas.width, canvas.height), strict=True)
        )
        x, y = canvas.width / 2 + (x - 0.5) * across, canvas.height / 2 + (y - 0.5) * down
        left, cols = _span(x - wide * across, x + wide * across, canvas.width)
        top, rows = _span(y - tall * down, y + tall * down, canvas.height)
        pixels = float(np.sqrt(across * down))  # of a unit of the scene
        # What differs from frame to frame goes to the device at once, in the shape [n, 1, 1] that broadcasts.
        per_frame = [x - left, y - top, np.cos(angle), np.sin(angle), opacity, scale]
        per_frame += [np.minimum(wide, tall) * 1.5 + 1e-6, *lengths]
        x, y, cos, sin, opacity, scale, reach, *lengths = torch.tensor(
            np.array(per_frame), dtype=torch.float32, device=device
        )[..., None, None]
        dy = (torch.arange(rows, device=device).view(1, -1, 1) + 0.5 - y) / down
        dx = (torch.arange(cols, device=device).view(1, 1, -1) + 0.5 - x) / across
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        d = distance(u, v, *lengths) * pixels
        alpha = (0.5 - d).clamp_(0, 1) * opacity
        light = None
        if shade:
            light = 1 - shade * ((dy + 0.5 * dx) / reach).clamp_(-1, 1)
        if outline:
            band = 1 - 0.6 * (d + (outline * scale * pixels + 0.5)).clamp_(0, 1)
            light = band if light is None else light * band
        if stripe:
            wave = 1 + 0.3 * (6 * torch.sin(u * (2 * np.pi / (stripe * scale)))).clamp_(-1, 1)
            light = wave if light is None else light * wave
        self._blend(alpha, light, torch.tensor(colour.T, device=device)[..., None, None], frames, top, left)

    def _blend(
        self, alpha: Tensor, light: Tensor | None, colour: Tensor, frames: Array | None, top: Array, left: Array
    ) -> None:
        """Lay `colour` [3, n, 1, 1] times `light` over windows [n, h, w] that begin at `top` and `left` [n]."""
        canvas, (rows, cols) = self.canvas, alpha.shape[1:]
        paint = colour if light is None else colour * light
        still = np.ptp(top) == 0 and np.ptp(left) == 0
        if still and (frames is None or len(frames) == canvas.count and np.all(np.diff(frames) == 1)):
            patch = canvas.pixels[:, :, top[0] : top[0] + rows, left[0] : left[0] + cols]
            patch += alpha * (paint - patch)
            return
        frames = np.arange(canvas.count) if frames is None else frames
        device = canvas.pixels.device
        first = torch.as_tensor((frames * canvas.height + top) * canvas.width + left, device=device)
        inside = torch.arange(rows, device=device)[:, None] * canvas.width + torch.arange(cols, device=device)
        index, flat = first[:, None, None] + inside, canvas.pixels.view(3, -1)
        for layer in _layers(frames):
            which = slice(None) if layer is None else torch.as_tensor(layer, device=device)
            there, tone = index[which].flatten(), paint if paint.shape[1] == 1 else paint[:, which]
            patch = flat[:, there].view(3, -1, rows, cols)
            flat[:, there] = (patch + alpha[which] * (tone - patch)).view(3, -1)


def _layers(frames: np.ndarray) -> list[np.ndarray | None]:
    """Numbers of shapes that are drawn at once, so that none lies over another of its own frame; None for all."""
    order = np.argsort(frames, kind="stable")
    starts = np.flatnonzero(np.diff(frames[order], prepend=-1))
    if len(starts) == len(frames):
        return [None]
    turn = np.empty(len(frames), np.int64)
    turn[order] = np.arange(len(frames)) - np.repeat(starts, np.diff(starts, append=len(frames)))
    return [np.flatnonzero(turn == number) for number in range(turn.max() + 1)]
