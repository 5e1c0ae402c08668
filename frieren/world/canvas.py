"""Canvas: anti-aliased signed-distance shapes, drawn on all frames of a clip at once.

Screen coordinates run 0..1 from the left and from the top; a picture that is not square is stretched, so that a script
means the same at every size. A shape is evaluated only inside the smallest window that holds it, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

F32 = np.float32


@dataclass(frozen=True)
class Pose:
    """Where a source stands: its own coordinates (about -1..1, y down) -> screen.

    Attributes:
        x, y: screen position of the source's origin.
        scale: screen units per own unit.
        tilt: radians, clockwise.
        mirror: flip left and right.
    """

    x: float = 0.5
    y: float = 0.5
    scale: float = 0.4
    tilt: float = 0.0
    mirror: bool = False

    def apply(self, x, y):
        """Own coordinates -> screen coordinates before the camera."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        x = -x if self.mirror else x
        cos, sin = np.cos(self.tilt) * self.scale, np.sin(self.tilt) * self.scale
        return self.x + cos * x - sin * y, self.y + sin * x + cos * y


@dataclass(frozen=True)
class View:
    """The camera at each frame: screen position = centre + zoom * rotation(roll) (position - centre) + shift.

    Attributes:
        zoom, roll, dx, dy: [F] each; roll in radians, shifts in screen units.
    """

    zoom: np.ndarray
    roll: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    @property
    def still(self) -> bool:
        """True if the camera never moves."""
        return all(np.ptp(path) == 0 for path in (self.zoom, self.roll, self.dx, self.dy))

    def apply(self, x, y, frames=slice(None)):
        """Screen position before the camera -> after it, at the given frames."""
        x, y = np.asarray(x) - 0.5, np.asarray(y) - 0.5
        cos, sin = (self.zoom * np.cos(self.roll))[frames], (self.zoom * np.sin(self.roll))[frames]
        return 0.5 + cos * x - sin * y + self.dx[frames], 0.5 + sin * x + cos * y + self.dy[frames]


class Canvas:
    """Pixels [3, F, H, W] float32 in 0..1, and the camera through which brushes see them."""

    def __init__(self, pixels: np.ndarray, view: View) -> None:
        self.pixels = pixels
        self.view = view
        _, self.count, self.height, self.width = pixels.shape

    def brush(self, pose: Pose | None = None) -> Brush:
        """A brush that draws in the coordinates of `pose` (of the screen itself if None, still under the camera)."""
        return Brush(self, pose or Pose(0.0, 0.0, 1.0))


def _span(low: np.ndarray, high: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """First pixel [n] and common length of windows that hold low..high (0..1) on an axis of `size` pixels."""
    length = min(size, int(np.ceil((high - low).max() * size)) + 3)
    first = np.clip(np.floor(low * size).astype(np.int64) - 1, 0, size - length)
    return first, length


class Brush:
    """Draws shapes. Positions and lengths are scalars or [F]; with `frames` [n] (numbers, may repeat) they are [n].

    Every shape takes: colour [3] or [F, 3]; opacity; shade (-1..1, brighter at the upper left); outline (width in
    own units, 0 for none); stripe (own units per period along the shape's first axis, 0 for none).
    """

    def __init__(self, canvas: Canvas, pose: Pose) -> None:
        self.canvas, self.pose = canvas, pose

    def ellipse(self, x, y, rx, ry, colour, *, angle=0.0, hollow=0.0, **style) -> None:
        """An ellipse of half axes rx, ry; with `hollow` only its rim, of that half thickness."""

        def distance(u, v, a, b, thick):
            near, far = u / a, v / b
            level = np.sqrt(near * near + far * far) + F32(1e-6)
            near, far = near / a, far / b
            d = level * (level - 1) / (np.sqrt(near * near + far * far) + F32(1e-6))
            return d if hollow is None or np.all(thick <= 0) else np.abs(d) - thick

        self._draw(distance, x, y, angle, (rx, ry, hollow), colour, **style)

    def disc(self, x, y, r, colour, **style) -> None:
        """A disc of radius r."""
        self._draw(lambda u, v, a, _: np.sqrt(u * u + v * v) - a, x, y, 0.0, (r, r), colour, **style)

    def box(self, x, y, rx, ry, colour, *, angle=0.0, corner=0.0, **style) -> None:
        """A box of half sides rx, ry turned by `angle`, with rounded corners."""

        def distance(u, v, a, b, c):
            p, q = np.abs(u) - (a - c), np.abs(v) - (b - c)
            outside = np.sqrt(np.maximum(p, 0) ** 2 + np.maximum(q, 0) ** 2)
            return outside + np.minimum(np.maximum(p, q), 0) - c

        self._draw(distance, x, y, angle, (rx, ry, corner), colour, **style)

    def stick(self, x0, y0, x1, y1, r, colour, **style) -> None:
        """A round-ended stick of radius r between two points."""
        dx, dy = np.subtract(x1, x0), np.subtract(y1, y0)
        half = 0.5 * np.hypot(dx, dy)

        def distance(u, v, a, b):
            p = np.maximum(np.abs(u) - (a - b), 0)
            return np.sqrt(p * p + v * v) - b

        self._draw(distance, np.add(x0, x1) / 2, np.add(y0, y1) / 2, np.arctan2(dy, dx), (half + r, r), colour, **style)

    def _draw(self, distance: Callable, x, y, angle, lengths, colour, *, frames=None, **style) -> None:
        canvas, pose = self.canvas, self.pose
        frames = np.arange(canvas.count) if frames is None else np.asarray(frames)
        opacity = np.broadcast_to(np.asarray(style.pop("opacity", 1.0), float), frames.shape)
        x, y = canvas.view.apply(*pose.apply(x, y), frames)
        scale = pose.scale * canvas.view.zoom[frames]
        angle = (-1 if pose.mirror else 1) * np.asarray(angle) + pose.tilt + canvas.view.roll[frames]
        lengths = [np.broadcast_to(np.asarray(value) * scale, frames.shape) for value in lengths]
        a, b = lengths[0], lengths[1]
        rim = lengths[2] if len(lengths) > 2 else 0.0
        cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
        wide, tall = a * cos + b * sin + rim, a * sin + b * cos + rim
        keep = (opacity > 0.004) & (x + wide > 0) & (x - wide < 1) & (y + tall > 0) & (y - tall < 1) & (b > 0)
        if not keep.any():
            return
        turn = np.broadcast_to(angle, frames.shape)
        columns = [x, y, turn, opacity, scale, wide, tall, *lengths]
        columns = [np.asarray(column)[keep] for column in columns]
        colour = np.asarray(colour, F32)
        colour = colour[frames[keep]] if colour.ndim == 2 else colour[None]
        still = len(columns[0]) == canvas.count and len(colour) == 1 and all(np.ptp(column) == 0 for column in columns)
        if still:
            columns = [column[:1] for column in columns]
        self._paint(distance, columns, colour, None if still else frames[keep], **style)

    def _paint(self, distance, columns, colour, frames, *, shade=0.0, outline=0.0, stripe=0.0) -> None:
        """Blend one shape; `frames` None means that it is the same on every frame."""
        canvas = self.canvas
        x, y, angle, opacity, scale, wide, tall, *lengths = columns
        top, rows = _span(np.maximum(y - tall, 0), np.minimum(y + tall, 1), canvas.height)
        left, cols = _span(np.maximum(x - wide, 0), np.minimum(x + wide, 1), canvas.width)
        rows, cols = top[:, None] + np.arange(rows), left[:, None] + np.arange(cols)
        dy = ((rows + 0.5) / canvas.height - y[:, None]).astype(F32)[:, :, None]
        dx = ((cols + 0.5) / canvas.width - x[:, None]).astype(F32)[:, None, :]
        cube = lambda value: np.asarray(value, F32).reshape(-1, 1, 1)  # noqa: E731
        cos, sin = cube(np.cos(angle)), cube(np.sin(angle))
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        lengths = [cube(value) for value in lengths]
        pixels = F32(np.sqrt(canvas.height * canvas.width))
        d = distance(u, v, *lengths) * pixels
        alpha = np.clip(0.5 - d, 0, 1) * cube(opacity)
        light = None
        if shade:
            light = 1 - F32(shade) * np.clip((dy + 0.5 * dx) / cube(np.minimum(wide, tall) * 1.5 + 1e-6), -1, 1)
        if outline:
            band = 1 - F32(0.6) * np.clip(d + cube(outline * scale) * pixels + 0.5, 0, 1)
            light = band if light is None else light * band
        if stripe:
            wave = 1 + F32(0.3) * np.clip(6 * np.sin(u * cube(2 * np.pi / (stripe * scale))), -1, 1)
            light = wave if light is None else light * wave
        self._blend(alpha, light, colour, frames, rows, cols)

    def _blend(self, alpha, light, colour, frames, rows, cols) -> None:
        canvas = self.canvas
        whole = len(rows) == 1 or (np.ptp(rows[:, 0]) == 0 and np.ptp(cols[:, 0]) == 0)
        if whole and (frames is None or len(frames) == canvas.count and np.all(np.diff(frames) == 1)):
            area = np.s_[:, rows[0, 0] : rows[0, -1] + 1, cols[0, 0] : cols[0, -1] + 1]
            for plane, tone in zip(canvas.pixels, colour.T, strict=True):
                paint = tone[:, None, None] if light is None else tone[:, None, None] * light
                patch = plane[area]
                patch += alpha * (paint - patch)
            return
        index = (frames[:, None, None] * canvas.height + rows[:, :, None]) * canvas.width + cols[:, None, :]
        for plane, tone in zip(canvas.pixels.reshape(3, -1), colour.T, strict=True):
            paint = tone[:, None, None] if light is None else tone[:, None, None] * light
            patch = plane[index]
            plane[index] = patch + alpha * (paint - patch)
