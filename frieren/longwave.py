"""A wave in pieces, so that one of hours is never held as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class LongWave:
    """A wave that is read anew, piece by piece, whenever it is gone through.

    Attributes:
        read: gives float32 pieces [S'], which joined make the wave.
        length: samples in all.
    """

    read: Callable[[], Iterable[Samples]]
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Samples]:
        return iter(self.read())

    def __mul__(self, factor: float) -> LongWave:
        """The wave times a factor."""
        return LongWave(lambda: (piece * np.float32(factor) for piece in self), self.length)

    def tensor(self) -> Tensor:
        """The whole wave [S] after all."""
        import torch

        whole, begin = torch.empty(self.length), 0
        for piece in self:
            whole[begin : begin + len(piece)] = torch.from_numpy(piece)
            begin += len(piece)
        return whole


def rechunked(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Pieces [..., S'] of any length -> pieces of `size` samples, the last of what is left."""
    held: list[Samples] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.shape[-1]
        if count >= size:
            whole = np.concatenate(held, axis=-1)
            for begin in range(0, count - size + 1, size):
                yield whole[..., begin : begin + size]
            held, count = [whole[..., count - count % size :]], count % size
    if count:
        yield np.concatenate(held, axis=-1)
