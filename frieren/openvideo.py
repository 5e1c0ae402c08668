"""An open video file: its video stream measured, decoded or demuxed, by timestamps without unconfirmed jumps."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieren import picture
from frieren.configs import from_table
from frieren.errors import VideoError, reason
from frieren.isolation import Limits, call, limits_of
from frieren.media import JUMP, TimeAxis, container_end, demux, open_media

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

TRUNCATED = 0.5  # seconds missing from the container duration that are worth a warning


@dataclass(frozen=True)
class VideoInfo:
    """Measurements of a video.

    Attributes:
        seconds: length of the video stream, from the first frame's start to the last one's end, by timestamps.
        start: time of the first frame on the file's own time axis, in seconds.
        fps: average number of frames per second.
        width, height: in pixels, as displayed (after rotation).
        rotation: counter-clockwise rotation that the file asks for, in degrees: 0, 90, 180 or 270.
        codec: short name of the video stream's codec, e.g. "h264".
        has_audio: whether the file has a sound stream.
        frames: number of frames from the first that can be decoded on.
        container_duration: length in seconds by the container's header; exceeds `seconds` where the file is truncated.
        jumps: how often its timestamps jump, see `media.TimeAxis`; `seconds` leaves such jumps out.
    """

    seconds: float
    start: float
    fps: float
    width: int
    height: int
    rotation: int
    codec: str
    has_audio: bool
    frames: int
    container_duration: float
    jumps: int


@dataclass
class _Scan:
    """Result of demuxing a whole file; times in seconds.

    Attributes:
        first: the first frame that can be decoded.
        packets: number of the video stream's packets.
        spans: start and length of each of them that has a timestamp, on a time axis without jumps.
        others_end: end of the last packet of any other stream.
    """

    spans: list[tuple[float, float]]
    first: VideoFrame | None = None
    packets: int = 0
    others_end: float = 0.0


class OpenVideo:
    """An open video file, which can be read through once by one of `measure`, `frames` and `packets`.

    Timestamps are on the axis of `media.TimeAxis`. A second pass opens the file again: seeking back to the beginning
    loses packets in .ts, .avi, .mov and .webm files, and raw streams cannot seek.

    Attributes:
        path: for messages.
        container: the open file.
        stream: the video stream that plays: neither a cover nor a thumbnail.
        rate, step: frames per second and seconds per frame, on average, by the container's header.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        """Find the video stream of an open container.

        Raises:
            VideoError: there is none, or none whose codec is known.
        """
        self.path, self.container = path, container
        self.stream = self._video_stream()
        self.rate = float(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.step = 1 / self.rate

    def _video_stream(self) -> VideoStream:
        import av

        still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        films = [stream for stream in self.container.streams.video if not stream.disposition & still]
        if not films:
            raise VideoError(f"{self.path}: there is no video stream in this file; give a file with video")
        # A thumbnail that is not marked as one is a stream of one frame; where nothing is counted, the first plays.
        stream = max(films, key=lambda film: (film.frames != 1, bool(film.disposition & av.stream.Disposition.default)))
        if stream.codec_context is None:
            raise VideoError(f"{self.path}: its codec is not known here; convert it to .mp4 (H.264)")
        stream.thread_type = "AUTO"
        return stream

    def measure(self) -> VideoInfo:
        """Demux the whole file and decode its first frame.

        Raises:
            VideoError: encrypted, or no frame can be decoded.
        """
        axis, codec = TimeAxis(self.container), self.stream.codec_context.name
        scan = self._scan(axis)
        if scan.first is None:
            raise VideoError(f"{self.path}: no frame of it can be decoded ({codec}); copy or convert it again")
        start, duration = frame_time(scan.first), container_end(self.container)
        if start is None or not scan.spans:  # an elementary stream has no timestamps: there only counting remains
            start = start if start is not None else min((begin for begin, _ in scan.spans), default=0.0)
            seconds, missing = scan.packets / self.rate, 0.0
        else:
            end = self._end(scan.spans)
            seconds, missing = max(end - start, 1e-3), max(0.0, duration - max(end, scan.others_end))
        transposed = picture.is_transposed(picture.display_matrix(scan.first))
        size = scan.first.width, scan.first.height
        width, height = reversed(size) if transposed else size
        return VideoInfo(
            seconds=seconds,
            start=start,
            fps=scan.packets / seconds if scan.packets > 1 else self.rate,
            width=width,
            height=height,
            rotation=round(scan.first.rotation / 90) * 90 % 360,
            codec=codec,
            has_audio=bool(self.container.streams.audio),
            frames=sum(begin > start - 1e-3 for begin, _ in scan.spans) or scan.packets,
            container_duration=seconds + missing,
            jumps=axis.jumps,
        )

    def _scan(self, axis: TimeAxis) -> _Scan:
        """Read every packet; frames are decoded only up to the first."""
        scan = _Scan([])
        for packet in demux(self.container, axis=axis):
            if packet.has_sidedata("encryption_info"):
                raise VideoError(f"{self.path}: the video is encrypted; give a copy without protection")
            stamp = packet.dts if packet.pts is None else packet.pts
            begin = None if stamp is None else float(stamp * packet.time_base)
            length = float((packet.duration or 0) * packet.time_base) if packet.size else 0.0
            length = min(length, max(JUMP, axis.container_end))  # a damaged length must not decide either
            if packet.stream_index != self.stream.index:
                scan.others_end = max(scan.others_end, (begin or 0.0) + length)
                continue
            if packet.size and not packet.is_discard:
                scan.packets += 1
                if begin is not None:
                    scan.spans.append((begin, length))
            if scan.first is None:
                scan.first = next(iter(self.decode(packet)), None)
        if scan.first is None:  # what the decoder still holds where a file is truncated
            scan.first = next(iter(self.decode(None)), None)
        return scan

    def _end(self, spans: list[tuple[float, float]]) -> float:
        """End of the last frame in seconds; some containers do not say how long that one stays."""
        spans = sorted(spans)
        begin, length = spans[-1]
        if not length:
            length = begin - spans[-2][0] if len(spans) > 1 else 1 / float(self.stream.average_rate or 25)
        return begin + length

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Frames that the decoder gives for a packet; none for a damaged one. None empties the decoder."""
        import av

        with suppress(av.error.FFmpegError):
            return self.stream.decode(packet)
        return []

    def frames(self) -> Iterator[tuple[VideoFrame, float]]:
        """Good frames in display order, and their times in seconds from the first one on.

        Raises:
            VideoError: no frame can be decoded.
        """
        start, now = None, 0.0
        found: Iterator[Packet[VideoStream] | None] = chain(demux(self.container, self.stream), [None])
        for packet in found:  # None: what the decoder still holds where a file is truncated
            for frame in self.decode(packet):
                time = frame_time(frame)
                if start is None:
                    start, now = time or 0.0, -self.step
                now = now + self.step if time is None else max(now, time - start)
                yield frame, now
        if start is None:
            raise VideoError(f"{self.path}: no frame of it can be decoded; copy or convert it again")

    def packets(self, also: Collection[int] = ()) -> Iterator[tuple[Packet[Any], float]]:
        """Packets of the video stream in the file's order and their decoding times in seconds.

        A packet without a decoding time has that of the one before it.

        Args:
            also: indices of streams whose packets are wanted as well.
        """
        time = 0.0
        for packet in demux(self.container):
            if not packet.size or packet.stream_index not in (self.stream.index, *also):
                continue
            if packet.pts is None:
                packet.pts = packet.dts
            stamp = packet.pts if packet.dts is None else packet.dts
            if stamp is not None:
                time = float(stamp * packet.time_base)
            yield packet, time


class FrameGrid:
    """Which frame stands at each of the times 0, 1/fps, 2/fps, ...: of those nearest to it, the earliest.

    Frames are given one by one, in order.
    """

    def __init__(self, fps: float, published: bool = False) -> None:
        """`published`: as the released preprocessing picks frames, see `Clock.published_frames`."""
        self.fps, self.published = fps, published
        self._index = 0  # of the grid, the first whose frame is not known yet
        self._held: VideoFrame | None = None
        self._time = 0.0

    def push(self, frame: VideoFrame, time: float) -> Iterator[VideoFrame]:
        """Take the frame that is shown at `time`; return the one before it, once for every time where that stands."""
        held, last = self._held, time - 0.5 / self.fps if self.published else (self._time + time) / 2
        self._held, self._time, count = frame, time, 0
        if held is None:
            return iter(())
        while (self._index + count) / self.fps <= last + 1e-9:
            count += 1
        self._index += count
        return repeat(held, count)

    def finish(self, total: int) -> Iterator[VideoFrame]:
        """The last frame, once for every time that is left of the first `total`."""
        return iter(()) if self._held is None else repeat(self._held, max(0, total - self._index))


@contextmanager
def conversion_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise as VideoError that a decoded frame cannot be scaled or converted."""
    import av

    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            f"{path}: a frame cannot be converted ({reason(error)}); convert it to .mp4 (H.264)"
        ) from error


@contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator[OpenVideo]:
    """Open a video file for one pass.

    Raises:
        VideoError: see `frieren.media.open_media`; also without a video stream.
    """
    with open_media(path) as container:
        yield OpenVideo(Path(path), container)


def probe(path: str | os.PathLike[str], *, isolate: bool | Limits = False) -> VideoInfo:
    """Measure a video by its packets' timestamps and its first frame.

    Args:
        isolate: in a process of its own, with limits.

    Raises:
        VideoError: see `open_video` and `OpenVideo.measure`.
    """
    if isolate:
        return from_table(VideoInfo, call("frieren.openvideo:probe", os.fspath(path), limits=limits_of(isolate)))
    with open_video(path) as video:
        return video.measure()


def warn_of_times(path: str | os.PathLike[str], info: VideoInfo) -> None:
    """Warn that a file is truncated or that its timestamps jump."""
    if info.container_duration - info.seconds > TRUNCATED:
        warnings.warn(
            f"{path}: truncated after {info.seconds:.1f} of {info.container_duration:.1f} seconds; "
            "the sound is made for what is there, copy the file again for the rest",
            stacklevel=3,
        )
    if info.jumps:
        warnings.warn(
            f"{path}: its timestamps jump by more than {JUMP:g} seconds; the jumps are left out, "
            "if the sound is not in time put the video into a new .mp4 first (ffmpeg -i … out.mp4)",
            stacklevel=3,
        )


def frame_time(frame: VideoFrame) -> float | None:
    """Presentation time of a frame in seconds; None where the file does not say."""
    stamp = frame.dts if frame.pts is None else frame.pts
    return None if stamp is None or frame.time_base is None else float(stamp * frame.time_base)
