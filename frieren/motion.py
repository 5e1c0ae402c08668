"""How things move in a video: local motion [T, 7, h, w] at 25 frames a second, from any frame rate, in flat memory.

Frames are made grey and scaled by area to 64 pixels on the longer side. Between one of the video's own frames and the
next, the motion of 4-pixel cells is estimated at two scales (Lucas and Kanade 1981), spread evenly over the time
between them and read 25 times a second. Nothing of what things look like remains, and a change of brightness or
contrast leaves the motion as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frieren import picture
from frieren.clock import Clock

if TYPE_CHECKING:
    from av import VideoFrame

CLOCK = Clock(fps=25.0)  # of the motion
RATE = CLOCK.fps
SIZE = 64  # pixels, longer side of the grey frames
CELL = 4  # pixels, side of a cell
CHANNELS = 7  # u, v and residual at two scales, size of the difference
AROUND = 150  # frames (6 s) before and after over which the motion is normalised
STILL = (0.02, 0.02, 0.03, 0.01, 0.01, 0.03, 0.03)  # root mean squares below which nothing moves: pixels, contrasts
MOST = 8.0  # times its root mean square, by which a channel is cut
DAMPING = 0.1  # of the normal equations, as a share of the frame's mean structure
REPEATED = 0.006  # difference from the frame before, in standard deviations, below which a frame is its copy
LONGEST = 0.09  # s, time after which a copy counts: nothing moves
BLOCK = 64  # frames worked on at once


def grey(frame: VideoFrame) -> Tensor:
    """A decoded frame, upright, as a grey image [h, w] in 0..1 whose longer side has SIZE pixels."""
    scale = SIZE / max(frame.width, frame.height)
    width, height = (max(2 * CELL, round(side * scale)) for side in (frame.width, frame.height))
    small = picture.reformatter().reformat(frame, width, height, "gray", interpolation="AREA")
    pixels = picture.upright(small.to_ndarray().astype(np.uint8, copy=False), picture.display_matrix(frame))
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def local_motion(frames: Tensor) -> Tensor:
    """Motion [T - 1, CHANNELS, h, w] of each cell from every frame [T, H, W] to the next.

    The channels are u and v in pixels and the residual that no shift explains, at the scale of the frame and at half of
    it, and the size of the difference. Residuals and difference are shares of the frames' contrast.
    """
    height, width = (side // CELL * CELL for side in frames.shape[1:])
    before, after = frames[:-1, :height, :width], frames[1:, :height, :width]
    contrast = after.std((1, 2), keepdim=True) + 1e-3
    u, v, residual, size = _shifts(before, after, CELL)
    half_u, half_v, half_residual, _ = _shifts(F.avg_pool2d(before, 2), F.avg_pool2d(after, 2), CELL // 2)
    return torch.stack([u, v, residual / contrast, half_u, half_v, half_residual / contrast, size / contrast], 1)


def _shifts(before: Tensor, after: Tensor, cell: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Least-squares shift of every cell, the root of what it leaves, and the root of the squared difference."""
    padded = F.pad((before + after)[:, None] / 2, (1, 1, 1, 1), mode="replicate")[:, 0]
    gx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    gy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    gt = after - before
    products = torch.stack([gx * gx, gx * gy, gy * gy, gx * gt, gy * gt, gt * gt], 1)
    xx, xy, yy, xt, yt, tt = _smooth(F.avg_pool2d(products, cell)).unbind(1)
    damping = DAMPING * (xx + yy).mean((1, 2), keepdim=True) + 1e-7
    xx, yy = xx + damping, yy + damping
    scale = xx * yy - xy * xy
    u, v = (xy * yt - yy * xt) / scale, (xy * xt - xx * yt) / scale
    return u, v, (tt + u * xt + v * yt).clamp(min=0).sqrt(), tt.sqrt()


def _smooth(means: Tensor) -> Tensor:
    """Binomial filter over 3 x 3 cells."""
    kernel = means.new_tensor([0.25, 0.5, 0.25])
    channels = means.shape[1]
    padded = F.pad(means, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, (kernel[:, None] * kernel).expand(channels, 1, 3, 3), groups=channels)


class Normalisation:
    """Each channel by its root mean square over AROUND frames before and after; u and v share one.

    A window around every frame, not the whole video: memory is the same for a video of any length, and one of up to
    AROUND frames is normalised as a whole.
    """

    def __init__(self) -> None:
        self._waiting: deque[Tensor] = deque()
        self._powers: deque[Tensor] = deque()  # mean squares from AROUND frames before the next one on
        self._behind = 0  # how many of them lie before it

    def push(self, motion: Tensor) -> list[Tensor]:
        """Take motion [T, CHANNELS, h, w]; return normalised frames [CHANNELS, h, w] whose window is complete."""
        power = motion.double().square().mean((2, 3))
        power[:, 0:2] = power[:, 0:2].mean(1, keepdim=True)
        power[:, 3:5] = power[:, 3:5].mean(1, keepdim=True)
        self._waiting.extend(motion)
        self._powers.extend(power)
        return [self._next() for _ in range(len(self._waiting) - AROUND)]

    def finish(self) -> list[Tensor]:
        """What is left."""
        return [self._next() for _ in range(len(self._waiting))]

    def _next(self) -> Tensor:
        power = torch.stack(list(islice(self._powers, self._behind + 1 + AROUND))).mean(0)
        self._behind += 1
        if self._behind > AROUND:
            self._powers.popleft()
            self._behind -= 1
        scale = (power + torch.tensor(STILL).square()).rsqrt().float()
        return (self._waiting.popleft() * scale[:, None, None]).clamp(-MOST, MOST)


class MotionReader:
    """Frames of a video one by one -> its normalised local motion, the same however the frames come in."""

    def __init__(self) -> None:
        self._normalisation = Normalisation()
        self._before: Tensor | None = None  # the frame that came last
        self._frames: list[Tensor] = []  # those between which the motion is still to be estimated
        self._times: list[float] = []
        self._row = 0  # of the grid, the first that is not complete
        self._open: Tensor | None = None  # what is known of it [1, CHANNELS, h, w]

    def push(self, image: Tensor, time: float) -> list[Tensor]:
        """Take the next grey frame [h, w], `time` seconds after the first one.

        Returns:
            Frames of motion [CHANNELS, h, w] that are complete, 6 s and more behind.
        """
        if self._before is not None:
            if image.shape != self._before.shape:  # a stream that changes its size keeps the first one
                image = F.interpolate(image[None, None], size=self._before.shape, mode="area")[0, 0]
            repeated = (image - self._before).abs().mean() < REPEATED * image.std()
            if time <= self._times[-1] or (repeated and time < self._times[-1] + LONGEST):
                return []
        self._before = image
        self._frames.append(image)
        self._times.append(time)
        return self._normalisation.push(self._resampled()) if len(self._frames) > BLOCK else []

    def finish(self, seconds: float) -> list[Tensor]:
        """The rest of the motion of a video of this length; after its last frame nothing moves."""
        if not self._frames:
            return []
        wanted = CLOCK.frames(seconds) - self._row
        self._frames.append(self._frames[-1])
        self._times.append(max(seconds, self._times[-1]) + 1 / RATE)
        rest = self._resampled()[: max(0, wanted)]
        return [*self._normalisation.push(rest), *self._normalisation.finish()]

    def _resampled(self) -> Tensor:
        """Motion between the frames that wait, spread evenly over the time between them: rows that are complete.

        A row has what moves within half a period of its instant, so that the motion of a film does not depend on its
        frame rate.
        """
        times = np.array(self._times)
        rows = np.arange(self._row, int(times[-1] * RATE + 0.5) + 1)[:, None]
        overlap = np.minimum(times[1:], (rows + 0.5) / RATE) - np.maximum(times[:-1], (rows - 0.5) / RATE)
        shares = torch.from_numpy((overlap.clip(0) / np.diff(times)).astype(np.float32))
        found: Tensor = torch.tensordot(shares, local_motion(torch.stack(self._frames)), 1)
        if self._open is not None:
            found[:1] += self._open
        done = len(rows) - 1
        self._row, self._open = self._row + done, found[done:]
        self._frames, self._times = self._frames[-1:], self._times[-1:]
        return found[:done]


def motion_of(frames: Iterable[tuple[Tensor, float]], seconds: float) -> Tensor:
    """Normalised local motion [T, CHANNELS, h, w] of a short video: grey frames [h, w] and their times in s."""
    reader = MotionReader()
    found = [each for image, time in frames for each in reader.push(image, time)]
    return torch.stack([*found, *reader.finish(seconds)])
