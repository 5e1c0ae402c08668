"""Streams of an output that are copied: the video with all that its container says of it, and what comes with it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    from frieren.openvideo import OpenVideo

# Of FFmpeg's muxers: the boxes for 360-degree video and Dolby Vision, which are widely used without being in the
# standard; and in a file, the index first, so that it plays before it has arrived.
STRICT = {"strict": "unofficial"}
OPTIONS = {"mp4": STRICT | {"movflags": "+faststart"}, "mov": STRICT | {"movflags": "+faststart"}, "matroska": {}}
Timed = Iterator[tuple[float, "Packet[Any]"]]  # seconds at which a packet is decoded, in order
OWN = {"encoder", "duration", "vendor_id", "handler_name"}  # what a stream's metadata say of its old container
TIME_CODE, FASTEST = r"\d\d:\d\d:\d\d[:;.]\d{1,3}", 150  # as it is written, and up to how many frames per second
STAMPED = {"h264": "h264_metadata", "hevc": "hevc_metadata"}  # filters that write the aspect ratio into the stream


class VideoCopy:
    """The copied video stream of an output."""

    def __init__(self, output: OutputContainer, stream: VideoStream, tag: str | None) -> None:
        """Add the stream.

        Args:
            tag: code of the codec in the container; None for the container's usual one.

        Raises:
            ValueError: the container does not take the codec.
        """
        import av

        ratio, own = stream.sample_aspect_ratio or 1, stream.codec_context.sample_aspect_ratio or 1
        self.filter = None
        if output.format.name == "matroska" and ratio != own and stream.name in STAMPED:
            # PyAV cannot tell this muxer the aspect ratio, so that it goes into the header of the stream.
            self.stream: Any = output.add_mux_stream(stream.name, rate=stream.average_rate)
            name = f"{STAMPED[stream.name]}=sample_aspect_ratio={ratio.numerator}/{ratio.denominator}"
            self.filter = av.bitstream.BitStreamFilterContext(name, stream, self.stream)
        else:
            # Opaque: by its parameters. Otherwise PyAV looks for an encoder under the decoder's name, as libdav1d.
            self.stream = output.add_stream_from_template(stream, opaque=True)
            self.stream.codec_context.sample_aspect_ratio = ratio
            if "timecode" in described(stream):
                self.stream.codec_context.framerate = stream.average_rate
            if tag is not None:
                self.stream.codec_context.codec_tag = tag
        self.stream.time_base = stream.time_base
        self.stream.disposition = stream.disposition
        self.stream.metadata.update(described(stream))

    def packets(self, packet: Packet[VideoStream] | None) -> Iterator[Packet[VideoStream]]:
        """What is written for a packet; None empties the filter."""
        if self.filter is not None:
            found = self.filter.filter(packet)
        else:
            found = [] if packet is None else [packet]
        for one in found:
            one.stream = self.stream
            yield one


def copy_video(
    video: OpenVideo,
    copy: VideoCopy,
    begin: float | None = None,
    stamps: Sequence[tuple[float, float]] | None = None,
) -> Timed:
    """The packets of the video from `begin` on, decoding times rising as every container wants them.

    Args:
        begin: seconds that become zero; None for the first packet's.
        stamps: the packets' presentation and decoding times in seconds where the file does not have them.
    """
    last: int | None = None
    for number, (packet, _) in enumerate(video.packets()):
        base = packet.time_base
        if stamps is not None:
            packet.pts, packet.dts, packet.duration = (round(time / base) for time in (*stamps[number], video.step))
        if begin is None:
            begin = float((packet.pts or 0) * base)
        shift, dts = round(begin / base), packet.dts
        if dts is None and packet.pts is None:  # a damaged one
            dts = shift if last is None else last + shift + 1
        if dts is None and packet.pts is not None:  # Matroska has none for the first frames; FFmpeg works them out
            packet.pts -= shift
        elif dts is not None:
            packet.dts = last = dts - shift if last is None else max(dts - shift, last + 1)
            packet.pts = last if packet.pts is None else max(packet.pts - shift, last)
        time = float(((packet.pts if packet.dts is None else packet.dts) or 0) * base)
        for one in copy.packets(packet):
            yield time, one
    for one in copy.packets(None):
        yield float((last or 0) * one.time_base), one


def described(stream: Any) -> dict[str, str]:
    """A stream's own metadata: language, title, time code; not a time code that no muxer would take."""
    kept = {key: value for key, value in stream.metadata.items() if key.lower() not in OWN}
    rate = getattr(stream, "average_rate", None) or 0
    if not (re.fullmatch(TIME_CODE, kept.get("timecode", "")) and 0 < rate <= FASTEST):
        kept.pop("timecode", None)
    return kept


def carried(video: OpenVideo, *, mixed: bool, as_track: bool) -> list[Stream]:
    """The streams that go with the video: subtitles, attachments, the cover and data.

    Time codes and chapters are streams only in QuickTime; there they are written from the metadata.

    Args:
        mixed: with all sounds but the first, which is in the new one.
        as_track: with all sounds.
    """
    import av

    streams = []
    for stream in video.container.streams:
        if stream.type == "video":
            wanted = bool(stream.disposition & av.stream.Disposition.attached_pic)
        elif stream.type == "data":
            wanted = "timecode" not in stream.metadata and not _is_chapters(stream, video.container)
        elif stream.type == "audio":
            wanted = as_track or mixed and stream.index != video.container.streams.audio[0].index
        else:
            wanted = stream.type in ("subtitle", "attachment")
        if wanted and stream.index != video.stream.index:
            streams.append(stream)
    return streams


def _is_chapters(stream: Stream, container: InputContainer) -> bool:
    """Return whether a data stream holds the names of the chapters, as QuickTime has it."""
    return stream.name == "bin_data" and bool(container.chapters())


def add_other(output: OutputContainer, stream: Stream) -> Stream:
    """Add a stream that is copied.

    Raises:
        ValueError: the container does not take it.
    """
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.time_base, copy.disposition = stream.time_base, stream.disposition
    copy.metadata.update(described(stream))
    return copy


def is_held(stream: Stream, form: str) -> bool:
    """Return whether a container, by FFmpeg's name, takes a stream, which shows when its header is written."""
    import av

    if stream.type == "video" and form == "matroska" or stream.type == "data":
        return False  # a cover would be a second film there; nobody reads unknown data
    if stream.type == "attachment":
        return form == "matroska"
    try:
        with av.open(io.BytesIO(), "w", format=form, options=STRICT) as output:
            add_other(output, stream)
            output.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def describe(stream: Stream) -> str:
    """A stream in words."""
    import av

    kinds = {"video": "further video", "audio": "sound", "subtitle": "subtitles", "attachment": "attachment"}
    cover = stream.disposition & av.stream.Disposition.attached_pic
    language = f" in {stream.language}" if stream.language and stream.language != "und" else ""
    kind = "cover" if cover else kinds.get(stream.type, "data")
    name = getattr(stream, "name", None)  # a stream whose codec is not known has none
    return f"{kind} ({name or 'unknown'}{language})"
