"""What a video shows: frames -> probabilities of the table's categories over time, smoothed within each shot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.categories import categories
from frieren.frames import Frames
from frieren.weights import load_part

CLASSIFIER = Path(__file__).parent / "models" / "eyes" / "classifier"
FPS = 2.0  # frames a second that are looked at
SIZE = 224  # pixels
FAINT = 0.015  # classes below it are noise: 118 dogs add up
SMOOTHING = 5  # frames: two seconds from the first to the last
CUT = 0.6  # share of pixels whose colour changes from one frame to the next at a hard cut
BATCH = 16  # frames at once, whatever blocks they come in, so that sums are made in one order


@cache
def classifier() -> nn.Module:
    """The network that ships: images [B, 3, 224, 224] in 0..1 -> logits [B, 1000]."""
    return load_part(CLASSIFIER).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def category_probabilities(classes: Tensor) -> Tensor:
    """Probabilities of ImageNet's classes [..., 1000] -> of the table's categories [..., C].

    They sum to at most 1; the rest is what the table does not know.
    """
    table = [(number, row) for row, category in enumerate(categories()) for number in category.classes]
    numbers, rows = (torch.tensor(column, device=classes.device) for column in zip(*table, strict=True))
    known = torch.where(classes < FAINT, 0.0, classes)[..., numbers]
    return known.new_zeros(*known.shape[:-1], len(categories())).index_add_(-1, rows, known)


def recognise(blocks: Iterable[Frames]) -> tuple[Tensor, Tensor]:
    """Look at frames that come twice a second, in blocks of any length.

    Args:
        blocks: of images [F, 3, 224, 224], see `video.stream_frames`.

    Returns:
        Probabilities [F, C] of the categories, not smoothed, and whether each frame begins a shot, [F] bool.
    """
    probabilities, starts, last = [], [], None
    for images in _batches(image for block in blocks for image in block.images):
        with torch.inference_mode():
            classes = classifier()(images.contiguous(memory_format=torch.channels_last)).softmax(-1)
            probabilities.append(category_probabilities(classes))
        colours = torch.stack([_colours(image) for image in images])
        before = torch.cat([colours[:1] if last is None else last, colours[:-1]])
        change = (colours - before).abs().sum(-1) / 2
        starts.append(change > CUT)
        last = colours[-1:]
    first = torch.cat(starts)
    first[0] = True
    return torch.cat(probabilities), first


def smooth(probabilities: Tensor, starts: Tensor) -> Tensor:
    """The mean over two seconds around each frame, of those that belong to its shot.

    Args:
        probabilities: [F, C].
        starts: [F] bool, whether a frame begins a shot.
    """
    shots = torch.tensor_split(probabilities, starts.nonzero().flatten()[1:].tolist())
    return torch.cat([_mean_around(shot) for shot in shots])


def _mean_around(shot: Tensor) -> Tensor:
    """[F, C] -> [F, C], over the frames that are there."""
    return F.avg_pool1d(shot.T[None], SMOOTHING, 1, SMOOTHING // 2, count_include_pad=False)[0].T


def _batches(images: Iterator[Tensor]) -> Iterator[Tensor]:
    """Images one by one -> [B, 3, H, W] of BATCH each, the last of what is left."""
    held: list[Tensor] = []
    for image in images:
        held.append(image)
        if len(held) == BATCH:
            yield torch.stack(held)
            held = []
    if held:
        yield torch.stack(held)


def _colours(image: Tensor) -> Tensor:
    """How many of an image's pixels [3, H, W] have each of 64 colours, [64], summing to 1."""
    levels = (image * 4).long().clamp(0, 3)
    codes = (levels[0] * 16 + levels[1] * 4 + levels[2]).flatten()
    return torch.bincount(codes, minlength=64) / codes.numel()
