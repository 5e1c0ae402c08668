"""What will happen to a video in an output, known before the work: copied or encoded, and what is left out.

Nothing is looked up in a table of codecs: the first packets are put into a container in memory, and have to come out of
it as the same picture.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from frieren.errors import OutputError, VideoError
from frieren.formats import CONTAINERS, AudioCodec, has_suffix
from frieren.isolation import Limits, call, limits_of
from frieren.media import demux
from frieren.openvideo import OpenVideo, frame_time, open_video
from frieren.remux.audio import choose_codec
from frieren.remux.streams import STRICT, VideoCopy, carried, copy_video, describe, is_held

if TYPE_CHECKING:
    from av import VideoFrame

# What is played in an .mp4 nearly everywhere; other codecs go there only if a name says so.
PLAYED = {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"}
NEVER_COPIED = {"gif"}  # QuickTime's container takes it, but hardly a player
TRIED = 24  # packets that are tried; the first picture of a stream with B-frames takes a few


@dataclass(frozen=True)
class Choice:
    """How a video gets into an output.

    Attributes:
        source: the video.
        target: the output.
        codec: of the video, e.g. "h264".
        copied: whether its packets are copied; otherwise its frames are encoded as H.264.
        tag: code of the codec in the output, four letters; None for the container's own.
        audio_codec: of the sound.
        left_out: what the container cannot hold, in words.
    """

    source: Path
    target: Path
    codec: str
    copied: bool
    tag: str | None
    audio_codec: AudioCodec
    left_out: tuple[str, ...]

    @property
    def form(self) -> str:
        """FFmpeg's name of the container."""
        return CONTAINERS[self.target.suffix.lower()]

    def notes(self) -> Iterator[str]:
        """One line for each thing that will not be as it was."""
        name, suffix = self.source.name, self.target.suffix
        if not self.copied:
            yield f"{name}: {suffix} cannot hold its video ({self.codec}), which is encoded as H.264, visually lossless"
        if self.left_out:
            yield f"{name}: {suffix} cannot hold its {', '.join(self.left_out)}: left out"


def choose(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    free: bool = False,
    encode: bool = True,
    audio_codec: AudioCodec | None = None,
    mixed: bool = False,
    as_track: bool = False,
    isolate: bool | Limits = False,
) -> Choice:
    """Choose how a video gets into `target`.

    Args:
        free: whether the container may be another: the first that takes the video as it is.
        encode: whether a video that cannot be copied is encoded.
        audio_codec: of the sound; None for the container's usual one.
        mixed: whether the video's first sound is mixed with the new one, and the others go with it.
        as_track: whether all sounds of the video go with it.
        isolate: look at the source in a process of its own, with limits.

    Raises:
        VideoError: the source cannot be read, or would have to be encoded and must not be; or a sound that is to be a
            track of its own does not fit the container.
        OutputError: unknown suffix, target is the source, or the container does not hold the sound's codec.
    """
    source, target = Path(source), Path(target)
    if not has_suffix(target, CONTAINERS):
        raise OutputError(
            f"{target}: a video file ends in {', '.join(CONTAINERS)}, not {target.suffix!r}; rename the output"
        )
    if isolate:
        options = {"encode": encode, "mixed": mixed, "as_track": as_track}
        return _isolated(source, target, free, audio_codec, options, limits_of(isolate))
    with open_video(source) as video:
        codec, tags = _name(video), _tags(video)
        quicktime = "mov" in video.container.format.name.split(",")
        picture = _first_frame(video)
    others = [target.with_suffix(suffix) for suffix in ([".mov"] if quicktime else []) + [".mkv"]]
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"{target}: this is the source video, which is never overwritten; choose another name")
    wanted = [target, *others] if free else [target]
    if free and codec not in PLAYED:
        wanted = [*others, target]
    for candidate in wanted:
        form = CONTAINERS[candidate.suffix.lower()]
        for tag in (*tags, None):
            if _is_copied(source, form, tag, picture):
                left_out = _left_out(source, form, mixed, as_track)
                return Choice(source, candidate, codec, True, tag, choose_codec(form, audio_codec), left_out)
    if not encode:
        holders = [other.suffix for other in others if _is_copied(source, CONTAINERS[other.suffix], None, picture)]
        remedy = f"name an output that holds it ({', '.join(holders)})" if holders else "let it be encoded as H.264"
        raise VideoError(f"{source}: its video ({codec}) cannot be copied into {target.suffix}; {remedy}")
    form = CONTAINERS[target.suffix.lower()]
    return Choice(
        source, target, codec, False, None, choose_codec(form, audio_codec), _left_out(source, form, mixed, as_track)
    )


def _isolated(
    source: Path, target: Path, free: bool, audio_codec: AudioCodec | None, options: dict[str, Any], limits: Limits
) -> Choice:
    """`choose` in a process of its own."""
    arguments = str(source), str(target)
    found = call("frieren.remux:choose", *arguments, limits=limits, free=free, audio_codec=audio_codec, **options)
    place = target.with_suffix(Path(found["target"]).suffix)
    codec = choose_codec(CONTAINERS[place.suffix.lower()], audio_codec)
    return Choice(source, place, found["codec"], found["copied"], found["tag"], codec, tuple(found["left_out"]))


def _name(video: OpenVideo) -> str:
    """Name of a codec, whatever its decoder is called."""
    name = video.stream.name or "unknown"
    return {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(name, name)


def _tags(video: OpenVideo) -> list[str]:
    """Codes to try for the codec: the source's where it comes from QuickTime, and the one of HEVC that Apple plays."""
    if "mov" not in video.container.format.name.split(","):
        return ["hvc1"] if video.stream.name == "hevc" else []
    tag = video.stream.codec_context.codec_tag
    return [tag] if tag.isprintable() else []


def _is_copied(source: Path, form: str, tag: str | None, picture: VideoFrame | None) -> bool:
    """Return whether the first packets can be put into a container, and decode to the same picture from there."""
    import av

    memory = io.BytesIO()
    with open_video(source) as video:
        if video.stream.name in NEVER_COPIED:
            return False
        try:
            with av.open(memory, "w", format=form, options=STRICT) as output:
                begin = None if picture is None else frame_time(picture)
                copied = copy_video(video, VideoCopy(output, video.stream, tag), begin)
                for _, packet in islice(copied, TRIED):
                    output.mux(packet)
        except (ValueError, av.error.FFmpegError):
            return False
    memory.seek(0)
    return picture is None or _same(picture, _decoded(memory))


def _decoded(memory: IO[bytes]) -> VideoFrame | None:
    """The first picture of a container in memory."""
    import av

    try:
        with av.open(memory, "r") as container:
            return _first_frame(OpenVideo(Path("memory"), container))
    except (VideoError, av.error.FFmpegError):
        return None


def _first_frame(video: OpenVideo) -> VideoFrame | None:
    """The first picture if it can be decoded from the first packets."""
    import av

    video.stream.thread_type = "NONE"
    for packet in islice((packet for packet in demux(video.container, video.stream) if packet.size), TRIED):
        try:
            for frame in video.stream.decode(packet):
                return frame
        except av.error.FFmpegError:
            continue
    try:
        return next(iter(video.stream.decode(None)), None)
    except av.error.FFmpegError:
        return None


def _same(one: VideoFrame, other: VideoFrame | None) -> bool:
    """Return whether two frames show the same."""
    if other is None or (one.format.name, one.width, one.height) != (other.format.name, other.width, other.height):
        return False
    return np.array_equal(one.to_ndarray(format="rgb24"), other.to_ndarray(format="rgb24"))


def _left_out(source: Path, form: str, mixed: bool, as_track: bool) -> tuple[str, ...]:
    """The streams of a video that a container cannot hold, in words: "subtitles (srt) (2)".

    Raises:
        VideoError: one of them is a sound that is to be a track of its own.
    """
    with open_video(source) as video:
        kept = carried(video, mixed=mixed, as_track=as_track)
        lost = [stream for stream in kept if not is_held(stream, form)]
        if as_track and (names := [describe(stream) for stream in lost if stream.type == "audio"]):
            raise VideoError(f"{source}: its {names[0]} cannot be a track there; name an .mkv, or leave out --as-track")
        lost += [stream for stream in video.container.streams.video if stream not in (video.stream, *kept)]
        words = Counter(map(describe, lost))
        if "alpha_mode" in {key.lower() for key in video.stream.metadata} and form != "matroska":
            words["transparency"] += 1
    return tuple(f"{name} ({count})" if count > 1 else name for name, count in words.items())
