"""Frames of a video that no packet can be copied of -> H.264 that looks the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from frieren.remux.streams import described

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import OutputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

    from frieren.openvideo import OpenVideo

CRF = "15"  # visually lossless: x264's scale begins to show flaws at about 18
BASE = Fraction(1, 90_000)  # seconds, the unit of the timestamps
HDR = (16, 18)  # transfer characteristics that need ten bits: PQ, HLG (ITU-T H.273)
BT709, LIMITED = 1, 1


def add_h264(output: OutputContainer, video: OpenVideo, first: VideoFrame) -> VideoStream:
    """A new stream for the frames of `video`, of which `first` is one: its size, aspect ratio, rotation and colours."""
    rate = Fraction(video.rate).limit_denominator(1001)
    stream = output.add_stream("libx264", rate=rate or 25)
    stream.width, stream.height = first.width + first.width % 2, first.height + first.height % 2
    stream.pix_fmt = "yuv420p10le" if first.color_trc in HDR else "yuv420p"
    stream.codec_context.time_base = stream.time_base = BASE
    stream.options = {"crf": CRF, "preset": "medium"}
    context = stream.codec_context
    context.sample_aspect_ratio = video.stream.sample_aspect_ratio or Fraction(1)
    context.color_range = LIMITED
    if first.format.is_rgb:
        context.colorspace = context.color_primaries = context.color_trc = BT709
    else:
        context.colorspace, context.color_primaries = first.colorspace, first.color_primaries
        context.color_trc = first.color_trc
    stream.metadata.update(described(video.stream))
    matrix: Any = first.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        stream.set_display_matrix(np.frombuffer(bytes(matrix), np.int32).tolist())
    return stream


def encode_h264(
    frames: Iterable[tuple[VideoFrame, float]], stream: VideoStream, start: float, seconds: float
) -> Iterator[tuple[float, Packet[VideoStream]]]:
    """Packets of at least one frame, each after its decoding time in seconds.

    Args:
        frames: and their times, as `OpenVideo.frames` gives them.
        start: time of the first frame in the output.
        seconds: the video's length, which is how long the last frame stays.
    """
    from av.video.reformatter import VideoReformatter

    converter = VideoReformatter()
    held: tuple[VideoFrame, int] | None = None
    for frame, time in frames:
        stamp = round((start + time) / BASE)
        if held is not None:
            stamp = max(stamp, held[1] + 1)
            yield from _encode(stream, *held, stamp)
        held = _fitted(converter, frame, stream), stamp
    if held is not None:
        yield from _encode(stream, *held, max(held[1] + 1, round((start + seconds) / BASE)))
    yield from map(_timed, stream.encode(None))


def _encode(stream: VideoStream, frame: VideoFrame, begin: int, end: int) -> Iterator[tuple[float, Any]]:
    """Packets that the encoder gives for a frame that stays from `begin` to `end`."""
    frame.time_base, frame.pts, frame.duration = BASE, begin, end - begin
    yield from map(_timed, stream.encode(frame))


def _timed(packet: Packet[VideoStream]) -> tuple[float, Packet[VideoStream]]:
    """A packet and its decoding time in seconds."""
    return float((packet.dts or 0) * packet.time_base), packet


def _fitted(converter: VideoReformatter, frame: VideoFrame, stream: VideoStream) -> VideoFrame:
    """The frame as the encoder takes it: an odd side, which H.264 does not have, gets its last line twice."""
    import av
    from av.video.reformatter import Colorspace

    width, height = stream.width, stream.height
    rgb = frame.format.is_rgb
    if (frame.width + frame.width % 2, frame.height + frame.height % 2) != (width, height):  # it changes on the way
        frame = converter.reformat(frame, width, height)
    if (frame.width, frame.height) != (width, height):
        image: Any = frame.to_ndarray(format="rgb24")
        sides = (0, height - frame.height), (0, width - frame.width), (0, 0)
        frame, rgb = av.VideoFrame.from_ndarray(np.pad(image, sides, "edge"), format="rgb24"), True
    target = None if not rgb else Colorspace.ITU709 if stream.codec_context.colorspace == BT709 else Colorspace.ITU601
    return converter.reformat(frame, format=stream.pix_fmt, dst_colorspace=target, dst_color_range="MPEG")
