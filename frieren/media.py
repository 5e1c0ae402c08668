"""A media file -> its packets, and its timestamps without jumps that nothing confirms.

`open_media` is the single entry point for reading a media file; `sounds` and `video` use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieren.errors import VideoError, reason
from frieren.heartbeat import Heartbeat

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

# Containers of sound and video. A playlist (hls, dash, concat) is none of them: it could name other files or the
# network, and a file that a stranger uploads must not choose what is opened.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,h264,hevc,m4v,ivf,obu,av1,"
    "mjpeg,dv,mxf,nut,rm,wtv,swf,yuv4mpegpipe,wav,w64,aiff,au,caf,mp3,aac,flac,ac3,eac3"
)
MAGIC = {b"ftyp": "mp4", b"moov": "mp4", b"mdat": "mp4", b"\x1aE\xdf\xa3": "mkv", b"RIFF": "avi or wav"}
JUMP = 10.0  # seconds; a longer step in the timestamps has to be confirmed by the container duration


@contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open a media file for reading; no network, no playlists, only known containers.

    Raises:
        VideoError: no such file, a folder, empty, unreadable, not a media file, or truncated before its index.
    """
    import av

    path = Path(path)
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise VideoError(f"{path}: this is not a file; give the path of a video file")
        if size == 0:
            raise VideoError(f"{path}: the file is empty (0 bytes); copy or download it again")
        container = av.open(file_url(path), options=options, metadata_errors="replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"{path}: no such file; check the name and the folder") from error
    except PermissionError as error:
        raise VideoError(f"{path}: permission denied; make the file readable for this user") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: {_why_unreadable(path, error)}") from error
    with container:
        yield container


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it: "file:" keeps names such as "a:b.mp4" from being taken for a protocol."""
    return f"file:{path.absolute()}"


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raise as OSError whatever FFmpeg reports while a file is written, so that `files.replacing` explains it."""
    import av

    try:
        yield
    except OSError:
        raise
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _why_unreadable(path: Path, error: Exception) -> str:
    """Explain why a file could not be opened, with the remedy."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except (OSError, ValueError) as closed:
        return f"cannot be opened ({reason(closed)}); check the name and the folder"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "an animated WebP, which FFmpeg's libraries cannot read; convert it to .mp4 or .gif"
    kind = next((name for magic, name in MAGIC.items() if magic in (head[:4], head[4:8])), None)
    if kind is None:
        return "not a video or sound file that can be read (playlists are not either); convert it to .mp4"
    return f"a truncated or damaged {kind} file ({reason(error)}); copy or download it again"


def demux(
    container: InputContainer, stream: Stream | None = None, axis: TimeAxis | None = None
) -> Iterator[Packet[Any]]:
    """Packets of `stream` (None: of all) up to the end of the file, or to where it is truncated.

    Their timestamps are put on one time axis for all streams, so that these stay together whatever is taken out.
    """
    axis = axis or TimeAxis(container)
    for packet in _packets(container):
        if packet.size:
            axis.place(packet)
        if stream is None or packet.stream_index == stream.index:
            yield packet


def _packets(container: InputContainer) -> Iterator[Packet[Any]]:
    """Every packet of the streams that were known when the file was opened."""
    import av

    while True:
        try:
            for packet in container.demux():
                Heartbeat.beat()
                yield packet
        except IndexError:  # a packet of a stream that only begins further on
            continue
        except av.error.FFmpegError:
            pass
        return


def container_end(container: InputContainer) -> float:
    """End of the file by the container duration, in seconds; 0 where that is missing or only estimated."""
    kinds = {"mp4", "matroska", "avi"} & set(container.format.name.split(","))
    if not kinds or container.duration is None:
        return 0.0
    start = 0 if "matroska" in kinds else max(0, container.start_time or 0)  # Matroska counts from zero already
    return (container.duration + start) / 1e6


class TimeAxis:
    """The time axis of a file, read in order; jumps that nothing confirms are taken out of all streams together.

    A transport stream that was cut together, or one damaged timestamp, would otherwise decide how long a video is.
    What comes after such a jump follows on what came before it, as if there were none. The same rule as FFmpeg's: a
    step forward is a jump only where the format allows timestamps to begin anew (transport streams and the like), or
    where it leads beyond the container duration; elsewhere a picture that stays for a minute is one that stays.

    Attributes:
        container_end: see the function of that name.
        jumps: how often what is taken off the timestamps has changed.
    """

    def __init__(self, container: InputContainer) -> None:
        import av

        self.container_end = container_end(container)
        self.restarts = av.format.Flags.ts_discont in av.format.Flags(container.format.flags)
        self.jumps = 0
        self.end: float | None = None  # of what has been placed
        self.shifts = [0.0]  # seconds that are taken off, the present ones first
        self.steps: dict[int, tuple[float, float]] = {}  # time and length of each stream's last packet

    def place(self, packet: Packet[Any]) -> None:
        """Put a packet's timestamps on this axis."""
        stamp, base = packet.pts if packet.dts is None else packet.dts, packet.time_base
        if stamp is None or not base:
            return
        shift = self._shift(float(stamp * base), packet.stream_index)
        time = float(stamp * base) - shift
        self.jumps += shift != self.shifts[0]
        self.shifts = [shift, *(known for known in self.shifts if known != shift)][:8]
        length = self._length(packet, time)
        if packet.pts is not None and packet.dts is not None and abs(packet.pts - packet.dts) * base > JUMP + length:
            packet.pts = packet.dts  # damaged: no picture waits as long for its turn
        back = round(shift / base)
        packet.pts = None if packet.pts is None else packet.pts - back
        packet.dts = None if packet.dts is None else packet.dts - back
        if packet.stream.type in ("video", "audio"):
            self.end = time + length if self.end is None else max(self.end, time + length)

    def _length(self, packet: Packet[Any], time: float) -> float:
        """Seconds that a packet lasts: as it says, otherwise as the one before it did."""
        before, length = self.steps.get(packet.stream_index, (time, 0.0))
        if packet.duration:
            length = float(packet.duration * packet.time_base)
        elif 0 < time - before <= JUMP:
            length = time - before
        length = min(length, JUMP)
        self.steps[packet.stream_index] = time, length
        return length

    def _shift(self, time: float, stream: int) -> float:
        """Seconds to take off `time` of a packet of a stream."""
        if self.end is None or time <= self.container_end + 1 and self.container_end:
            return 0.0
        # A demuxer gives the last picture before a still when the next one comes, after all the sound in between.
        own = sum(self.steps.get(stream, (self.end, 0.0)))
        for shift in self.shifts:
            if min(abs(time - shift - end) for end in (self.end, own)) <= JUMP:
                return shift
        if time - self.shifts[0] > self.end and not self.restarts and not self.container_end:
            return self.shifts[0]
        return time - self.end
