"""A long axis as overlapping windows: where they lie, how to cut them out, how to lay them together again.

|-------- window --------|
                  |-------- window --------|
                  |overlap|                          weights: \\/ crossing ramps in the overlap, 1 elsewhere
"""

from __future__ import annotations

import torch
from torch import Tensor


def window_starts(length: int, window: int, overlap: int) -> tuple[list[int], int]:
    """Starts of the fewest windows that cover 0..length and share at least `overlap`, evenly spread; and their size.

    The last window ends exactly at `length`: there is no remainder. A length below one window gives one short window.
    """
    if length <= window:
        return [0], length
    count = -(-(length - overlap) // (window - overlap))
    return [round(index * (length - window) / (count - 1)) for index in range(count)], window


def unfold(x: Tensor, starts: list[int], size: int) -> Tensor:
    """x [B, C, L] -> its windows [B, N, C, size]."""
    return torch.stack([x[..., start : start + size] for start in starts], dim=1)


def weights(starts: list[int], size: int, length: int) -> Tensor:
    """Share of each window in each position, [N, size]: linear ramps that add up to 1 at every position."""
    ramp = torch.ones(len(starts), size, dtype=torch.float64)
    for left, (start, following) in enumerate(zip(starts, starts[1:], strict=False)):
        shared = start + size - following
        if shared > 0:
            rise = (torch.arange(shared, dtype=torch.float64) + 0.5) / shared
            ramp[left + 1, :shared] *= rise
            ramp[left, size - shared :] *= rise.flip(0)
    total = torch.zeros(length, dtype=torch.float64)
    for row, start in zip(ramp, starts, strict=True):
        total[start : start + size] += row
    return torch.stack([row / total[start : start + size] for row, start in zip(ramp, starts, strict=True)]).float()
