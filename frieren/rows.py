"""Rows of numbers that come bit by bit and are kept in one piece."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor


class Rows:
    """What is kept of every moment of a long video, [N, D] float32.

    A list of small tensors, kept while large ones come and go, breaks the memory up: a film of an hour then takes
    1.5 GB in place of 0.5.
    """

    def __init__(self) -> None:
        self._values = array("f")
        self._width = 0

    def append(self, rows: Tensor) -> None:
        """Copy the next rows [n, D], of any type and of the same D every time."""
        self._values.frombytes(rows.to("cpu", torch.float32).numpy().tobytes())
        self._width = rows.shape[1]

    def tensor(self) -> Tensor:
        """All rows so far, [N, D]; [0, 0] if there are none."""
        if not self._values:
            return torch.zeros(0, 0)
        return torch.frombuffer(self._values, dtype=torch.float32).view(-1, self._width).clone()
