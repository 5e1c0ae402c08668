"""Overlapping windows: they cover everything, share enough, and their weights add up to one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frieren.windows import unfold, weights, window_starts

layouts = st.tuples(st.integers(1, 900), st.integers(2, 200)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(0, pair[1] - 1))
)


@given(layouts)
def test_windows_cover_the_axis_without_remainder(layout):
    length, window, overlap = layout
    starts, size = window_starts(length, window, overlap)
    assert starts[0] == 0 and starts[-1] + size == length and size == min(window, length)
    for start, following in zip(starts, starts[1:], strict=False):
        assert start < following <= start + size - overlap


@given(layouts)
def test_weights_add_up_to_one(layout):
    length, window, overlap = layout
    starts, size = window_starts(length, window, overlap)
    total = torch.zeros(length)
    for row, start in zip(weights(starts, size, length), starts, strict=True):
        assert (row >= 0).all()
        total[start : start + size] += row
    torch.testing.assert_close(total, torch.ones(length))


def test_cutting_and_laying_together_is_the_identity():
    x = torch.randn(2, 3, 500)
    starts, size = window_starts(500, 160, 48)
    whole = torch.zeros_like(x)
    for start, share, window in zip(starts, weights(starts, size, 500), unfold(x, starts, size).unbind(1), strict=True):
        whole[..., start : start + size] += share * window
    torch.testing.assert_close(whole, x)


def test_weights_ramp_across_the_overlap():
    first, second = weights([0, 6], 10, 16)
    assert first[:6].tolist() == [1] * 6 and second[4:].tolist() == [1] * 6
    assert first[6:].tolist() == pytest.approx([0.875, 0.625, 0.375, 0.125])
