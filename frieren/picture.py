"""A decoded video frame -> an upright, square RGB image in standard dynamic range.

Does what a player does between the decoder and the screen: the file's rotation, its colour matrix, and a tone curve for
high dynamic range.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

Image = NDArray[np.uint8]  # [H, W, 3]
Fit = Literal["area", "bilinear", "crop", "whole"]  # how an image gets its size, see `image`
THREAD = threading.local()  # converters are not shared between threads
PQ, HLG = 16, 18  # transfer characteristics of high dynamic range (ITU-T H.273)
BT2020_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def display_matrix(frame: VideoFrame) -> NDArray[np.float64]:
    """The linear part [2, 2] of the display matrix: displayed (x, y) = stored (x, y) @ matrix, y downwards."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2)
    numbers = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2] / 65536
    return numbers if np.abs(numbers).max() > 0 else np.eye(2)


def is_transposed(matrix: NDArray[np.float64]) -> bool:
    """Return whether a display matrix exchanges width and height."""
    return bool(abs(matrix[0, 1]) > abs(matrix[0, 0]))


def upright(pixels: Image, matrix: NDArray[np.float64]) -> Image:
    """A stored image [H, W, 3] as it is displayed: mirrored and rotated by multiples of 90 degrees."""
    if is_transposed(matrix):
        pixels, matrix = pixels.swapaxes(0, 1), matrix[::-1]
    return pixels[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1]


def reformatter() -> VideoReformatter:
    """This thread's converter of frames; `frame.reformat` would set up its filters anew for each frame."""
    from av.video.reformatter import VideoReformatter

    converter: VideoReformatter | None = getattr(THREAD, "reformatter", None)
    if converter is None:
        converter = THREAD.reformatter = VideoReformatter()
    return converter


def image(frame: VideoFrame, size: int, fit: Fit = "area") -> Image:
    """uint8 RGB [size, size, 3] of a frame, upright and in standard dynamic range.

    Args:
        frame: as the decoder gives it.
        size: height and width in pixels.
        fit: "area" squashes the whole frame with anti-aliasing, which costs least; "bilinear" squashes it after the
            conversion by PIL's filter, as in the released preprocessing; "whole" brings its shorter side to `size` by
            the bicubic filter, which leaves it as wide as it is; "crop" takes the middle of that.
    """
    hdr = frame.color_trc in (PQ, HLG)
    form = "rgb48le" if hdr else "rgb24"
    side, interpolation = (size, "AREA") if fit == "area" else (None, None)
    stored: Any = reformatter().reformat(frame, side, side, form, interpolation=interpolation).to_ndarray()
    if hdr:
        stored = standard_range(stored / 65535, frame.color_trc)
    pixels = upright(stored, display_matrix(frame))
    if fit == "bilinear":
        return resized(pixels, size, size, "bilinear")
    if fit == "area":
        return pixels
    pixels = shrunk(pixels, size)
    return middle(pixels, size) if fit == "crop" else pixels


def resized(pixels: Image, height: int, width: int, mode: Literal["bilinear", "bicubic"]) -> Image:
    """uint8 [H, W, 3] -> [height, width, 3] by the filter with anti-aliasing that PIL has, in torch."""
    import torch
    import torch.nn.functional as F

    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    sized: Image = F.interpolate(image, (height, width), mode=mode, antialias=True)[0].permute(1, 2, 0).numpy()
    return sized


def shrunk(pixels: Image, size: int) -> Image:
    """uint8 [H, W, 3] -> the same image with a shorter side of `size`, by the bicubic filter."""
    height, width = (int(size * side / min(pixels.shape[:2])) for side in pixels.shape[:2])
    return resized(pixels, height, width, "bicubic")


def middle(pixels: Image, size: int) -> Image:
    """[H, W, 3] -> its middle [size, size, 3]."""
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def standard_range(signal: NDArray[np.float64], transfer: int) -> Image:
    """PQ or HLG signal in 0..1 with BT.2020 primaries -> uint8 sRGB, by a curve that leaves the dark half alone.

    Args:
        signal: [H, W, 3].
        transfer: PQ (SMPTE ST 2084) or HLG (ITU-R BT.2100).
    """
    if transfer == PQ:  # 1 is made reference white, 203 cd/m2 (ITU-R BT.2408)
        root = signal ** (1 / 78.84375)
        light = (
            (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125) * 10_000 / 203
        )
    else:  # signal 0.75 is reference white
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = light / 0.26496256
    light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    light = np.where(light > 0.5, 0.5 + 0.5 * np.tanh(2 * (light - 0.5)), light)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: Image = np.round(255 * encoded).astype(np.uint8)
    return rounded
