"""One decoded video frame -> an upright, square RGB image in standard dynamic range.

What a player does between the decoder and the screen: the file's rotation, its colour matrix, and a tone curve for high
dynamic range.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

Fit = Literal["area", "bilinear", "crop", "whole"]  # how a picture gets its size, see `image`
THREAD = threading.local()  # converters are not shared between threads
PQ, HLG = 16, 18  # transfer characteristics of high dynamic range (ITU-T H.273)
BT2020_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def matrix(frame: VideoFrame) -> np.ndarray:
    """The linear part [2, 2] of the display matrix: seen (x, y) = stored (x, y) @ matrix, y downwards."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2)
    numbers = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2] / 65536
    return numbers if np.abs(numbers).max() > 0 else np.eye(2)


def turned(linear: np.ndarray) -> bool:
    """Whether width and height change places."""
    return abs(linear[0, 1]) > abs(linear[0, 0])


def _oriented(pixels: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """A stored image [H, W, 3] as it is to be seen: mirrored and turned by quarters."""
    if turned(linear):
        pixels, linear = pixels.swapaxes(0, 1), linear[::-1]
    return pixels[:: -1 if linear[1, 1] < 0 else 1, :: -1 if linear[0, 0] < 0 else 1]


def reformatter() -> VideoReformatter:
    """This thread's converter of frames: one per frame, as `frame.reformat` has, sets up its filters each time."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(THREAD, "reformatter"):
        THREAD.reformatter = VideoReformatter()
    return THREAD.reformatter


def image(frame: VideoFrame, size: int, fit: Fit = "area") -> np.ndarray:
    """uint8 RGB [size, size, 3] of a frame, upright and in standard dynamic range.

    Args:
        fit: "area" squashes the whole picture with anti-aliasing, which costs least; "bilinear" squashes it after the
            conversion by PIL's filter, as in the released preprocessing; "whole" brings its shorter side to `size` by
            the bicubic filter, which leaves it as wide as it is; "crop" takes the middle of that.
    """
    high = frame.color_trc in (PQ, HLG)
    small = {"width": size, "height": size, "interpolation": "AREA"} if fit == "area" else {}
    pixels = reformatter().reformat(frame, format="rgb48le" if high else "rgb24", **small).to_ndarray()
    if high:
        pixels = _standard(pixels / 65535, frame.color_trc)
    pixels = _oriented(pixels, matrix(frame))
    if fit == "bilinear":
        return resized(pixels, size, size, "bilinear")
    if fit == "area":
        return pixels
    pixels = shrunk(pixels, size)
    return middle(pixels, size) if fit == "crop" else pixels


def resized(pixels: np.ndarray, height: int, width: int, mode: Literal["bilinear", "bicubic"]) -> np.ndarray:
    """uint8 [H, W, 3] -> [height, width, 3] by the filter with anti-aliasing that PIL has, in torch."""
    import torch
    import torch.nn.functional as F

    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return F.interpolate(image, (height, width), mode=mode, antialias=True)[0].permute(1, 2, 0).numpy()


def shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> the same picture with a shorter side of `size`, by the bicubic filter."""
    height, width = (int(size * side / min(pixels.shape[:2])) for side in pixels.shape[:2])
    return resized(pixels, height, width, "bicubic")


def middle(pixels: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3] -> its middle [size, size, 3]."""
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def _standard(signal: np.ndarray, transfer: int) -> np.ndarray:
    """PQ or HLG signal in 0..1 with BT.2020 primaries -> uint8 sRGB, by a curve that leaves the dark half alone."""
    if transfer == PQ:  # SMPTE ST 2084; 1 is made reference white, 203 cd/m2 (ITU-R BT.2408)
        root = signal ** (1 / 78.84375)
        light = (
            (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125) * 10_000 / 203
        )
    else:  # ITU-R BT.2100; signal 0.75 is reference white
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = light / 0.26496256
    light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    light = np.where(light > 0.5, 0.5 + 0.5 * np.tanh(2 * (light - 0.5)), light)
    return np.round(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )
