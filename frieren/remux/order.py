"""Times at which frames are displayed, for files that only say in which order they are stored, as AVI does."""

from __future__ import annotations

import os
from itertools import islice
from typing import NamedTuple

from frieren.media import demux
from frieren.openvideo import OpenVideo, open_video

LOOKED_AT = 24  # packets that show whether a file has times


class Stamp(NamedTuple):
    """Times of a packet in seconds."""

    displayed: float
    decoded: float


def missing_stamps(source: str | os.PathLike[str]) -> list[Stamp] | None:
    """The times of every packet of the video, found by decoding it; None where the file has them itself."""
    with open_video(source) as video:
        first = list(islice((packet for packet in demux(video.container, video.stream) if packet.size), LOOKED_AT))
        if not video.stream.codec_context.has_b_frames and all(packet.dts is not None for packet in first):
            return None
        # What FFmpeg says of an .avi it has guessed from the order in which frames are stored.
        if video.container.format.name != "avi" and all(packet.pts is not None for packet in first):
            return None
    with open_video(source) as video:
        return _stamps(video)


def _stamps(video: OpenVideo) -> list[Stamp]:
    """Number the packets, let the decoder put the numbers into the order of display, and count."""
    decoded: list[float] = []
    ranks: dict[int, float] = {}
    for packet in demux(video.container, video.stream):
        if packet.size:
            base = float(packet.time_base)
            last = decoded[-1] if decoded else -video.step
            decoded.append(last + video.step if packet.dts is None else max(packet.dts * base, last + 1e-6))
            packet.pts = packet.dts = len(decoded) - 1
        for frame in video.decode(packet if packet.size else None):
            if frame.pts is not None:
                ranks.setdefault(frame.pts, float(len(ranks)))
    for index in range(len(decoded)):  # one that cannot be decoded stays where it is stored
        ranks.setdefault(index, ranks.get(index - 1, -1.0) + 1e-6)
    shown = sorted(range(len(decoded)), key=lambda index: ranks[index])
    displayed = dict(zip(shown, decoded, strict=True))
    delay = max((decoded[index] - displayed[index] for index in displayed), default=0.0)
    return [Stamp(displayed[index], decoded[index] - delay) for index in range(len(decoded))]
