"""frieren.picture: orientation, size and range of a frame, against brute force, PIL and the standards' own formulas."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import av
import clips
import numpy as np
import pytest

from frieren import picture
from frieren.openvideo import open_video


@pytest.mark.parametrize(
    "matrix",
    [
        [[x, 0], [0, y]] if straight else [[0, x], [y, 0]]
        for straight, x, y in itertools.product((True, False), (1, -1), (1, -1))
    ],
    ids=str,
)
def test_each_pixel_goes_where_the_display_matrix_says(matrix):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    places = {(x, y): tuple(np.array([x, y]) @ np.array(matrix)) for x in range(5) for y in range(3)}
    left, top = (min(place[axis] for place in places.values()) for axis in (0, 1))
    displayed = picture.upright(pixels, np.array(matrix, float))
    assert displayed.shape == ((5, 3, 3) if matrix[0][0] == 0 else (3, 5, 3))
    for (x, y), (to_x, to_y) in places.items():
        assert (displayed[to_y - top, to_x - left] == pixels[y, x]).all()


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_a_rotated_frame_is_rotated_back_as_ffmpeg_says(tmp_path, rotation):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = [255, 0, 0]
    image[24:, :32] = [0, 0, 255]
    path = clips.video(tmp_path / "a.mp4", [0, 0.5], rotation=rotation, images=[image, image])
    with open_video(path) as video:
        frame, _ = next(video.frames())
    assert picture.is_transposed(picture.display_matrix(frame)) == (rotation in (90, -90))
    displayed = picture.image(frame, 32).astype(int)
    # FFmpeg gives the angle counter-clockwise (av_display_rotation_get), as np.rot90 takes it.
    expected = np.rot90(np.kron(image[::24, ::32], np.ones((16, 16, 1), int)), round(frame.rotation / 90))
    assert np.abs(displayed - expected).mean() < 10


def to_pq(light: float) -> float:
    """Light in cd/m2 -> PQ signal, by SMPTE ST 2084's own direction."""
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def to_hlg(light: float) -> float:
    """Scene light in 0..1 -> HLG signal, by ITU-R BT.2100's own direction."""
    return (3 * light) ** 0.5 if light <= 1 / 12 else 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073


def srgb(light: float) -> float:
    """Linear light in 0..1 -> sRGB code, 0..255."""
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("light", [0.0, 0.001, 0.01, 0.1, 0.3, 0.5])
def test_below_half_of_reference_white_high_dynamic_range_is_srgb(light):
    white = 0.26496256  # scene light of the HLG signal 0.75
    for signal, transfer in ((to_pq(203 * light), picture.PQ), (to_hlg(white * light), picture.HLG)):
        grey = picture.standard_range(np.full((1, 1, 3), signal), transfer)[0, 0]
        assert np.abs(grey - srgb(light)).max() <= 1


@pytest.mark.parametrize("transfer", [picture.PQ, picture.HLG])
def test_brighter_stays_brighter_and_fits(transfer):
    signal = np.repeat(np.linspace(0, 1, 100)[None, :, None], 3, axis=2)
    grey = picture.standard_range(signal, transfer)[0, :, 1].astype(int)
    assert grey[0] == 0 and grey[-1] >= 250 and (np.diff(grey) >= 0).all()


@pytest.mark.parametrize(("shape", "size"), [((90, 160, 3), 64), ((333, 200, 3), 224), ((48, 64, 3), 224)])
def test_the_published_resize_is_pils(shape, size):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = np.asarray(image.fromarray(pixels).resize((size, size), image.BILINEAR)).astype(int)
    difference = np.abs(picture.resized(pixels, size, size, "bilinear") - expected)
    assert difference.max() <= 2 and difference.mean() < 0.3  # PIL rounds between its two passes


def frame_of(pixels: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def test_how_an_image_gets_its_size():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    whole = picture.image(frame_of(pixels), 20, "whole")
    assert whole.shape == (20, 30, 3) and (whole == picture.resized(pixels, 20, 30, "bicubic")).all()
    assert (picture.image(frame_of(pixels), 20, "crop") == whole[:, 5:25]).all()
    assert (picture.image(frame_of(pixels), 20, "bilinear") == picture.resized(pixels, 20, 20, "bilinear")).all()
    grey = np.repeat(pixels[..., :1], 3, axis=2)
    means = grey.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(picture.image(frame_of(grey), 20, "area") - means).max() <= 2


def test_the_middle_of_an_image():
    pixels = np.arange(5 * 9 * 3, dtype=np.uint8).reshape(5, 9, 3)
    assert (picture.middle(pixels, 5) == pixels[:, 2:7]).all()
    assert (picture.middle(pixels.swapaxes(0, 1), 3) == pixels.swapaxes(0, 1)[3:6, 1:4]).all()


@pytest.mark.parametrize("data", [None, bytes(36)])
def test_without_a_display_matrix_or_with_an_empty_one_nothing_is_turned(data):
    frame = SimpleNamespace(side_data={} if data is None else {"DISPLAYMATRIX": data})
    assert (picture.display_matrix(frame) == np.eye(2)).all()
