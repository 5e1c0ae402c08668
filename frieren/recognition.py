"""What a video shows: frames -> probabilities of the table's categories over time, smoothed within each shot."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren import picture
from frieren.categories import CLASSES, categories
from frieren.clock import Clock
from frieren.openvideo import FrameGrid
from frieren.rows import Rows
from frieren.weights import load_part

if TYPE_CHECKING:
    from av import VideoFrame

CLASSIFIER = Path(__file__).parent / "models" / "eyes" / "classifier"
FPS = 2.0  # frames a second that are looked at
SIZE = 224  # pixels
FAINT = 0.02  # classes below it are noise: 118 dogs add up
PRIOR = 0.2  # exponent by which the number of its classes counts against a category
SMOOTHING = 7  # frames: three seconds from the first to the last
CUT = 0.4  # share of pixels whose colour changes from one frame to the next at a hard cut
BATCH = 4  # frames at once; more are slower and take more memory


@cache
def classifier() -> nn.Module:
    """The network that ships: images [B, 3, 224, 224] in 0..1 -> logits [B, 1000]."""
    return load_part(CLASSIFIER).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@cache
def _weights() -> Tensor:
    """[1000] what a class counts: n ** -PRIOR if its category has n of them, 1 if the table does not know it."""
    weights = torch.ones(CLASSES)
    for category in categories():
        weights[list(category.classes)] = float(max(len(category.classes), 1)) ** -PRIOR
    return weights


def category_probabilities(classes: Tensor) -> Tensor:
    """Probabilities of ImageNet's classes [..., 1000] -> of the table's categories [..., C].

    The classifier takes each of its classes for as likely as any other, and so a dog, of which it knows 118, for a
    hundred times as likely as a harp. Part of that is divided out. The categories sum to at most 1; the rest is what
    the table does not know.
    """
    table = [(number, row) for row, category in enumerate(categories()) for number in category.classes]
    numbers, rows = (torch.tensor(column, device=classes.device) for column in zip(*table, strict=True))
    weighed = classes * _weights().to(classes.device)
    weighed = weighed / weighed.sum(-1, keepdim=True).clamp(min=1e-9)
    known = torch.where(classes < FAINT, 0.0, weighed)[..., numbers]
    return known.new_zeros(*known.shape[:-1], len(categories())).index_add_(-1, rows, known)


class Recogniser:
    """Takes the frames of a video one by one and looks at two a second."""

    def __init__(self) -> None:
        self._grid = FrameGrid(FPS)
        self._last: tuple[VideoFrame, Tensor] | None = None  # one that stays is converted once
        self._images: list[Tensor] = []  # that wait, less than BATCH
        self._colours: Tensor | None = None  # [1, 64] of the image before those
        self._seen = Rows()  # the categories' probabilities, and whether a shot begins

    def push(self, frame: VideoFrame, time: float) -> None:
        """Take the next decoded frame, `time` seconds after the first one."""
        for chosen in self._grid.push(frame, time):
            self._take(chosen)

    def finish(self, seconds: float) -> tuple[Tensor, Tensor]:
        """What has been seen of a video of this length.

        Returns:
            Probabilities [F, C] of the categories, not smoothed, and whether each frame begins a shot, [F] bool.

        Raises:
            ValueError: no frame was given.
        """
        total = Clock(fps=FPS).frames(seconds)
        for chosen in self._grid.finish(total):
            self._take(chosen)
        if self._images:
            self._look()
        seen = self._seen.tensor()[:total]
        if not len(seen):
            raise ValueError("no frame was given")
        starts = seen[:, -1] > 0
        starts[0] = True
        return seen[:, :-1], starts

    def _take(self, frame: VideoFrame) -> None:
        if self._last is None or self._last[0] is not frame:
            pixels = np.ascontiguousarray(picture.image(frame, SIZE, "crop"))
            self._last = frame, torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        self._images.append(self._last[1])
        if len(self._images) == BATCH:
            self._look()

    @torch.inference_mode()
    def _look(self) -> None:
        """Classify the images that wait, and compare the colours of each with those of the one before."""
        images = torch.stack(self._images).contiguous(memory_format=torch.channels_last)
        probabilities = category_probabilities(classifier()(images).softmax(-1))
        colours = torch.stack([_colours(image) for image in images])
        before = torch.cat([colours[:1] if self._colours is None else self._colours, colours[:-1]])
        starts = (colours - before).abs().sum(-1) / 2 > CUT
        self._seen.append(torch.cat([probabilities, starts[:, None]], 1))
        self._images, self._colours = [], colours[-1:]


def smooth(probabilities: Tensor, starts: Tensor) -> Tensor:
    """The mean over three seconds around each frame, of those that belong to its shot.

    Args:
        probabilities: [F, C].
        starts: [F] bool, whether a frame begins a shot.
    """
    shots = torch.tensor_split(probabilities, starts.nonzero().flatten()[1:].tolist())
    return torch.cat([_mean_around(shot) for shot in shots])


def _mean_around(shot: Tensor) -> Tensor:
    """[F, C] -> [F, C], over the frames that are there."""
    return F.avg_pool1d(shot.T[None], SMOOTHING, 1, SMOOTHING // 2, count_include_pad=False)[0].T


def _colours(image: Tensor) -> Tensor:
    """How many of an image's pixels [3, H, W] have each of 64 colours, [64], summing to 1."""
    levels = (image * 4).long().clamp(0, 3)
    codes = (levels[0] * 16 + levels[1] * 4 + levels[2]).flatten()
    return torch.bincount(codes, minlength=64) / codes.numel()
