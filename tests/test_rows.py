"""Rows that come bit by bit against all of them joined at once."""

from __future__ import annotations

import torch

from frieren.rows import Rows


def test_rows_are_what_was_appended() -> None:
    rows, pieces = Rows(), [torch.randn(count, 5) for count in (1, 3, 0, 2)]
    assert rows.tensor().shape == (0, 0)
    for piece in pieces:
        rows.append(piece)
    first = rows.tensor()
    assert torch.equal(first, torch.cat(pieces))
    rows.append(torch.arange(20, dtype=torch.float64).view(2, 10)[:, ::2])
    assert torch.equal(rows.tensor()[6:], torch.arange(0, 20, 2).float().view(2, 5))
    assert torch.equal(first, torch.cat(pieces))
