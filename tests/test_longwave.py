"""Waves in pieces against the same wave as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frieren.longwave import LongWave, rechunked

WAVE = np.random.default_rng(0).standard_normal((2, 23)).astype(np.float32)


def test_a_long_wave_is_its_pieces_joined_however_often_it_is_gone_through() -> None:
    wave = LongWave(lambda: (WAVE[0, begin : begin + 5] for begin in range(0, 23, 5)), 23)
    assert len(wave) == 23
    for _ in range(2):
        assert torch.equal(wave.tensor(), torch.from_numpy(WAVE[0]))
        assert np.array_equal(np.concatenate(list(wave)), WAVE[0])
    assert torch.equal((wave * 0.5).tensor(), torch.from_numpy(WAVE[0]) * 0.5)
    assert next(iter(wave * 0.1)).dtype == np.float32


@pytest.mark.parametrize("size", [1, 4, 5, 6, 22, 23, 24])
@pytest.mark.parametrize("lengths", [(23,), (5, 5, 5, 5, 3), (1, 0, 13, 9), (11, 12), (4, 4, 4, 4, 4, 3)])
def test_pieces_of_one_size(size: int, lengths: tuple[int, ...]) -> None:
    pieces = list(rechunked(np.split(WAVE, np.cumsum(lengths)[:-1], axis=-1), size))
    assert [piece.shape[-1] for piece in pieces] == [min(size, 23 - begin) for begin in range(0, 23, size)]
    assert np.array_equal(np.concatenate(pieces, axis=-1), WAVE)


def test_a_piece_comes_as_soon_as_it_is_whole() -> None:
    given: list[int] = []
    pieces = rechunked((given.append(index) or np.zeros(4, np.float32) for index in range(9)), 8)
    next(pieces)
    assert given == [0, 1]


def test_nothing_is_no_piece() -> None:
    assert list(rechunked([], 4)) == []
