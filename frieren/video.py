"""A video file -> frames [F, 3, H, W] by timestamps, never by counting.

Reading makes two passes: the first demuxes (cheap) to learn the true length, the second decodes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from frieren import picture
from frieren.clock import Clock
from frieren.errors import VideoError
from frieren.frames import Frames
from frieren.isolation import Limits, converse, limits_of
from frieren.openvideo import FrameGrid, OpenVideo, conversion_errors, open_video, probe, warn_of_times
from frieren.picture import Fit, Image

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["probe", "read_frames", "stream_frames", "warn_of_times"]


def stream_frames(
    path: str | os.PathLike[str],
    fps: float,
    size: int,
    block: int = 256,
    *,
    published: bool = False,
    fit: Fit | None = None,
    isolate: bool | Limits = False,
) -> Iterator[Frames]:
    """The video on the grid 0, 1/fps, 2/fps, ... from its first frame on, in blocks, with bounded memory.

    At each time of the grid stands the frame whose display time is nearest (of two as near, the earlier).

    Args:
        path: the video file.
        fps: frames per second of the grid.
        size: height and width of the images; `fit` says how they get it, see `picture.image`, by default squashed.
        block: most frames in one block.
        published: pick and resize frames as the released preprocessing does; see `Clock.published_frames`.
        isolate: in a process of its own, with limits; not for images that are not square.

    Yields:
        Frames with images [F, 3, size, size], F <= block, their grid times, and the whole video's length.

    Raises:
        VideoError: see `probe`; raised at the call, not at the first block.

    Warns:
        UserWarning: the file is truncated; what is there is used. Its timestamps jump.
    """
    if isolate:
        return _isolated_frames(path, fps, size, block, limits_of(isolate), published=published, fit=fit)
    info = probe(path)
    warn_of_times(path, info)
    total = Clock(fps=fps).frames(info.seconds)
    images = _images(path, _on_grid(path, total, fps, published), size, fit or ("bilinear" if published else "area"))
    return _blocks(images, total, info.seconds, fps, block)


def _isolated_frames(
    path: str | os.PathLike[str], fps: float, size: int, block: int, limits: Limits, **options: Any
) -> Iterator[Frames]:
    """`stream_frames` in a process of its own; what does not look like its blocks is not taken."""
    arguments = os.fspath(path), fps, size, block
    for message, data in converse("frieren.video:stream_frames", *arguments, limits=limits, **options):
        if data:
            times = torch.tensor(message["times"], dtype=torch.float64)
            if len(data) != len(times) * 3 * size * size or times.ndim != 1 or len(times) > block:
                raise VideoError(f"{path}: its reader sent nonsense; convert it to .mp4")
            images = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, 3, size, size)
            yield Frames(images.float() / 255, times, float(message["seconds"]))


def read_frames(
    path: str | os.PathLike[str], clock: Clock, size: int = 224, *, isolate: bool | Limits = False
) -> Frames:
    """The whole video at the clock's frame rate: images [F, 3, size, size]. See `stream_frames`.

    224 pixels is the published size. `Model.encode` makes any size fit; `Model.image_size` gives what `generate` sees.
    """
    blocks = list(stream_frames(path, clock.fps, size, published=clock.published_frames, isolate=isolate))
    images, times = (torch.cat([getattr(block, name) for block in blocks]) for name in ("images", "times"))
    return Frames(images, times, blocks[0].seconds)


def _on_grid(path: str | os.PathLike[str], total: int, fps: float, published: bool) -> Iterator[VideoFrame]:
    """The frame at each of the `total` times of the grid; the same object where one frame stays."""
    grid = FrameGrid(fps, published)

    def found(video: OpenVideo) -> Iterator[VideoFrame]:
        for frame, time in video.frames():
            yield from grid.push(frame, time)
        yield from grid.finish(total)

    with open_video(path) as video:
        yield from islice(found(video), total)


def _images(path: str | os.PathLike[str], frames: Iterator[VideoFrame], size: int, fit: Fit) -> Iterator[Image]:
    """`picture.image` of each frame, once for one that is repeated; failures name the file."""
    converted = None
    for frame in frames:
        if frame is not converted:
            with conversion_errors(path):
                image = picture.image(frame, size, fit)
            converted = frame
        yield image


def _blocks(images: Iterator[Image], total: int, seconds: float, fps: float, block: int) -> Iterator[Frames]:
    """Images [size, size, 3] one by one -> Frames of at most `block` images."""
    held: list[Image] = []
    for index, image in enumerate(images):
        held.append(image)
        if len(held) == block or index == total - 1:
            stack = torch.from_numpy(np.stack(held)).permute(0, 3, 1, 2).contiguous().float() / 255
            times = torch.arange(index + 1 - len(held), index + 1, dtype=torch.float64) / fps
            held = []
            yield Frames(stack, times, seconds)
