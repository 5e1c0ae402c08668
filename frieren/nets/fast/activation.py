"""BigVGAN's anti-aliased activation over [S, C], channels innermost, in one pass over memory.

Both filters are products with a small band matrix. Along the time axis a tensor with its channels innermost is a batch
of overlapping matrices that need no copy, and a tile small enough for the processor's cache goes through all steps
before the next one is read.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from frieren.nets.bigvgan import TAPS, Activation, low_pass

BLOCK = 8  # samples that one product makes; more would multiply more zeros, fewer would be too small
BEFORE = 3  # samples before its own that the first filter sees, and as many after them
REACH = 2 * BEFORE  # of both filters together, rounded up to whole samples
TILE = 1 << 16  # numbers in a tile


@cache
def filters() -> tuple[Tensor, Tensor]:
    """The filters as matrices: to twice the rate [2 n, n + 6] and back [n, 2 n + 10], n = BLOCK."""
    taps, up, down = low_pass(), torch.zeros(2 * BLOCK, BLOCK + 2 * BEFORE), torch.zeros(BLOCK, 2 * BLOCK + TAPS - 2)
    for row in range(2 * BLOCK):
        for column in range(BLOCK + 2 * BEFORE):
            tap = row + TAPS // 2 - 1 - 2 * (column - BEFORE)
            if 0 <= tap < TAPS:
                up[row, column] = 2 * taps[tap]
    for row in range(BLOCK):
        down[row, 2 * row : 2 * row + TAPS] = taps
    return up, down


def overlapping(x: Tensor, count: int, size: int, step: int) -> Tensor:
    """`count` matrices [size, C] of the rows of x [S, C], each `step` rows after the one before; no copy."""
    width = x.shape[1]
    return x.as_strided((count, size, width), (step * width, width, 1), x.storage_offset())


class FastActivation(nn.Module):
    """An `Activation`. Within, it is float32 whatever comes and goes, which costs less than to round at every step."""

    alpha: Tensor
    beta: Tensor
    up: Tensor
    down: Tensor

    def __init__(self, plain: Activation) -> None:
        super().__init__()
        self.register_buffer("alpha", plain.alpha.detach().exp())
        self.register_buffer("beta", 1 / (plain.beta.detach().exp() + 1e-9))
        up, down = filters()
        self.register_buffer("up", up, persistent=False)
        self.register_buffer("down", down, persistent=False)

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """x [S, C] -> out [S, C]."""
        rows, width = x.shape
        most = max(1, TILE // width // BLOCK)  # blocks in a tile
        wide = torch.empty(2 * (most + 1) * BLOCK, width)
        spare = torch.empty_like(wide)
        for first in range(0, rows, most * BLOCK):
            size = min(most * BLOCK, rows - first)
            blocks = -(-size // BLOCK)
            twice = wide[: 2 * (blocks + 1) * BLOCK]
            begin, end = first - REACH, first + blocks * BLOCK + BLOCK
            if begin < 0 or end > rows:
                self._rise(x[torch.arange(begin, end).clamp(0, rows - 1)], twice)
                # What is beyond the ends is the last sample of the higher rate, not what the filter makes of the lower.
                before, after = max(0, BEFORE - first) * 2, 2 * (rows - first + BEFORE)
                twice[:before] = twice[before : before + 1]
                twice[after:] = twice[after - 1 : after]
            else:
                self._rise(x[begin:end], twice)
            self._snake(twice, spare[: len(twice)])
            self._fall(twice[1:], blocks, out[first : first + size])
        return out

    def _rise(self, x: Tensor, out: Tensor) -> None:
        """x [b n + 6, C] -> out [2 b n, C] at twice the rate, its ends cut off."""
        x, blocks = x.float(), len(out) // (2 * BLOCK)
        windows = overlapping(x, blocks, BLOCK + 2 * BEFORE, BLOCK)
        torch.bmm(self.up.expand(blocks, -1, -1), windows, out=out.view(blocks, 2 * BLOCK, -1))

    def _snake(self, x: Tensor, spare: Tensor) -> None:
        """x + sin^2(x alpha) beta, in place."""
        torch.mul(x, self.alpha, out=spare)
        x.addcmul_(spare.sin_().square_(), self.beta)

    def _fall(self, x: Tensor, blocks: int, out: Tensor) -> None:
        """x [2 b n + 10, C] at least -> out [S, C], S at most b n, at the rate of the beginning."""
        windows, down = overlapping(x, blocks, 2 * BLOCK + TAPS - 2, 2 * BLOCK), self.down.expand(blocks, -1, -1)
        if out.dtype == x.dtype and len(out) == blocks * BLOCK:
            torch.bmm(down, windows, out=out.view(blocks, BLOCK, -1))
        else:
            out.copy_(torch.bmm(down, windows).view(blocks * BLOCK, -1)[: len(out)])
