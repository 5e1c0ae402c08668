"""Frames -> features: the visual encoder, chunk by chunk, so that a film needs no more memory than a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.frames import Frames

if TYPE_CHECKING:
    from frieren.nets.cavp import VideoTower


@torch.inference_mode()
def encode_frames(tower: VideoTower, images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Features of a run of images that arrives in blocks.

    Each chunk of `config.chunk` frames is encoded with up to `config.context` frames more on each side. With a context
    of at least `tower.receptive_frames` the result does not depend on the chunks; the published setting is none.

    Args:
        images: blocks [B, f, 3, H, W] in 0..1, in order; H = W = config.image_size.

    Yields:
        [B, f', D] features, which joined make [B, F, D].
    """
    chunk, context = tower.config.chunk, tower.config.context
    device = next(tower.parameters()).device
    held = torch.empty(0)  # images from frame `offset` on
    offset = done = 0  # first frame held; frames encoded
    for block in chain(images, [None]):
        if block is not None:
            held = torch.cat([held, block], dim=1) if held.numel() else block
        end = offset + (held.shape[1] if held.numel() else 0)
        while done < end and (block is None or end >= done + chunk + context):
            stop, first = min(done + chunk, end), max(done - context, 0)
            features = tower(held[:, first - offset : stop + context - offset].to(device))
            yield features[:, done - first : stop - first]
            done, drop = stop, max(stop - context, 0) - offset
            held, offset = held[:, drop:], offset + drop


def as_batch(frames: Frames | Tensor, size: int) -> Tensor:
    """Frames or a bare tensor [F, 3, H, W] or [B, F, 3, H, W] -> [B, F, 3, size, size], resized where need be.

    Raises:
        ValueError: for any other shape.
    """
    images = frames.images if isinstance(frames, Frames) else frames
    if images.ndim not in (4, 5) or images.shape[-3] != 3:
        raise ValueError(f"images must be [F, 3, H, W] or [B, F, 3, H, W], got {tuple(images.shape)}")
    batch = images if images.ndim == 5 else images[None]
    if batch.shape[-2:] == (size, size):
        return batch
    resized = F.interpolate(batch.flatten(0, 1), (size, size), mode="bilinear", antialias=True)
    return resized.unflatten(0, batch.shape[:2])
