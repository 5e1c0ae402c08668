"""The encoder over chunks: with enough context the chunks cannot be told."""

from __future__ import annotations

import pytest
import torch

from frieren.features import as_batch, encode_frames
from frieren.frames import Frames
from frieren.nets.cavp import CAVPConfig, VideoTower

SMALL = dict(
    width=4, blocks=(1, 1), expansion=2, stem_kernel=(3, 3, 3), temporal_kernels=(3, 3), embed=8, image_size=16
)


def tower(**changes):
    torch.manual_seed(0)
    return VideoTower(CAVPConfig(**SMALL | changes)).eval()


@pytest.mark.parametrize("sizes", [[50], [7, 7, 7, 7, 22], [1] * 50, [49, 1]])
def test_blocks_and_chunks_do_not_change_features(sizes):
    net = tower(chunk=16, context=3)
    assert net.receptive_frames == 3
    images = torch.rand(1, 50, 3, 16, 16)
    joined = torch.cat(list(encode_frames(net, images.split(sizes, dim=1))), dim=1)
    torch.testing.assert_close(joined, net(images), atol=1e-5, rtol=1e-5)


def test_without_context_chunks_stand_alone_as_published():
    net = tower(chunk=20, context=0)
    images = torch.rand(1, 50, 3, 16, 16)
    expected = torch.cat([net(part) for part in images.split(20, dim=1)], dim=1)
    torch.testing.assert_close(torch.cat(list(encode_frames(net, [images])), dim=1), expected)


@pytest.mark.parametrize("count", [1, 2, 16, 17])
def test_any_number_of_frames(count):
    features = torch.cat(list(encode_frames(tower(chunk=16, context=3), [torch.rand(2, count, 3, 16, 16)])), dim=1)
    assert features.shape == (2, count, 8)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, count))


def test_shapes_are_checked_and_sizes_made_to_fit():
    frames = Frames(torch.rand(4, 3, 8, 8), torch.arange(4.0), 1.0)
    assert torch.equal(as_batch(frames, 8)[0], frames.images)
    flat = as_batch(torch.full((2, 4, 3, 9, 12), 0.25), 8)
    assert flat.shape == (2, 4, 3, 8, 8)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.25))
    lines = torch.zeros(1, 3, 32, 32)
    lines[..., ::4] = 1.0  # one column in four is white: smaller, all is a quarter, where a sample would see black
    torch.testing.assert_close(as_batch(lines, 8)[0, ..., 1:7], torch.full((1, 3, 8, 6), 0.25), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match=r"\(4, 8, 8\)"):
        as_batch(torch.rand(4, 8, 8), 8)
    with pytest.raises(ValueError, match=r"\(4, 2, 8, 8\)"):
        as_batch(torch.rand(4, 2, 8, 8), 8)
