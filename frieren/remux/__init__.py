"""A wave onto a video: the packets of its video stream are copied untouched, the new sound is encoded beside them."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from frieren.errors import OutputError, VideoError, reason
from frieren.files import replacing
from frieren.formats import LEVELS, AudioCodec, Levels
from frieren.isolation import Limits, call, limits_of
from frieren.longwave import LongWave, Samples
from frieren.media import as_os_errors, file_url
from frieren.openvideo import OpenVideo, VideoInfo, open_video
from frieren.remux.audio import add_audio, encode_audio, mix, new_track
from frieren.remux.choice import Choice, choose
from frieren.remux.encoding import add_h264, encode_h264
from frieren.remux.order import missing_stamps
from frieren.remux.streams import OPTIONS, Timed, VideoCopy, add_other, carried, copy_video, is_held
from frieren.sounds import AI_GENERATED, PIECE, Track, as_pieces, open_track

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.container.core import Chapter
    from av.stream import Stream
    from torch import Tensor

__all__ = ["Choice", "choose", "mix", "mux", "write_video"]


class RefusedError(VideoError):
    """A container does not take the packets of a video after all."""


def write_video(
    source: str | os.PathLike[str],
    wave: NDArray[np.floating] | Tensor | LongWave,
    target: str | os.PathLike[str],
    sample_rate: int,
    *,
    keep_original: bool = False,
    levels: Levels = LEVELS,
    as_track: bool = False,
    audio_codec: AudioCodec | None = None,
    encode: bool = True,
    comment: str | None = AI_GENERATED,
    isolate: bool | Limits = False,
) -> Path:
    """Put a wave onto a video: the video's packets are copied bit by bit, the sound starts with the first frame.

    Output begins at zero, whatever the source begins at. Rotation, aspect ratio, colours, languages, chapters, time
    codes and subtitles go with the video as far as the container holds them; `remux.choose` says before the work what
    it does not.

    Args:
        source: the video file; never changed.
        wave: [S] in -1..1, numpy, torch or in pieces.
        target: .mp4, .m4v, .mov (sound as AAC) or .mkv (sound as FLAC; frames that an edit list hides come to light).
        sample_rate: samples per second of the wave.
        keep_original: mix the wave with the sound that the video has.
        levels: dB by which the wave and that sound are then made louder.
        as_track: keep the sounds that the video has as tracks of their own, after the new one.
        audio_codec: of the sound: "aac", "flac" or "opus".
        encode: encode a video that the container cannot hold as H.264; otherwise that is an error.
        comment: goes into the container's metadata; None for none.
        isolate: in a process of its own, with limits.

    Returns:
        `target`.

    Raises:
        VideoError: the source cannot be read, see `frieren.video.probe`; or it cannot be copied, and `encode` is False.
        OutputError: unknown suffix, target is the source, folder missing or not writable, disk full.
        ValueError, SamplingError: the wave is not [S], or not finite; `keep_original` and `as_track` together.
    """
    if keep_original and as_track:
        raise ValueError("the sound of the video is either mixed or kept as a track; choose one of the two")
    pieces = as_pieces(wave)
    if isolate:
        options: dict[str, Any] = {"keep_original": keep_original, "as_track": as_track, "encode": encode}
        options |= {"audio_codec": audio_codec, "comment": comment, "levels": levels}
        return _isolated(Path(source), pieces, Path(target), sample_rate, limits_of(isolate), options)
    with open_video(source) as video:
        info = video.measure()
    choice = choose(source, target, encode=encode, audio_codec=audio_codec, mixed=keep_original, as_track=as_track)
    old = open_track(source, until=info.start + info.seconds) if keep_original and info.has_audio else None
    sound = new_track(pieces, sample_rate, info.start, old, choice.audio_codec, levels)
    try:
        return _write(choice, info, sound, comment, mixed=keep_original, as_track=as_track)
    except RefusedError:
        if not encode or not choice.copied:
            raise
        choice = replace(choice, copied=False, tag=None)
        return _write(choice, info, sound, comment, mixed=keep_original, as_track=as_track)


def _isolated(
    source: Path, pieces: LongWave, target: Path, sample_rate: int, limits: Limits, options: dict[str, Any]
) -> Path:
    """`write_video` in a process of its own, into a folder of which only the whole output is taken."""
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"{target}: this is the source video, which is never overwritten; choose another name")
    place = tempfile.TemporaryDirectory(dir=target.parent, prefix=".", suffix=".part")
    with replacing(target) as part, place as folder:
        samples, made = Path(folder) / "samples", Path(folder) / target.name
        with samples.open("wb") as file:
            for piece in pieces:
                file.write(piece.tobytes())
        call("frieren.remux:write_samples", str(source), str(samples), str(made), sample_rate, limits=limits, **options)
        os.replace(made, part)
    return target


def write_samples(source: str, samples: str, target: str, sample_rate: int, **options: Any) -> Path:
    """`write_video` with the wave in a file of float32."""

    def pieces() -> Iterator[Samples]:
        with open(samples, "rb") as file:
            while len(piece := np.fromfile(file, np.float32, PIECE)):
                yield piece

    wave = LongWave(pieces, os.path.getsize(samples) // 4)
    return write_video(source, wave, target, sample_rate, **options)


def _write(choice: Choice, info: VideoInfo, sound: Track, comment: str | None, *, mixed: bool, as_track: bool) -> Path:
    """Write a video as it was chosen, and look at it before it gets its name."""
    import av

    with (
        replacing(choice.target) as part,
        open_video(choice.source) as video,
        open_video(choice.source) as beside,
        as_os_errors(),
    ):
        with av.open(file_url(part), "w", format=choice.form, options=OPTIONS[choice.form]) as output:
            output.metadata.update(_metadata(video.container, comment))
            mux(video, output, sound, choice=choice, info=info, beside=beside, mixed=mixed, as_track=as_track)
        with open_video(part) as written:
            found = written.measure()
        if found.frames < info.frames:
            raise RefusedError(
                f"{choice.source}: only {found.frames} of its {info.frames} frames would be in the output; "
                "put the video into a new file first (ffmpeg -i … -c copy -fflags +genpts out.mkv)"
            )
    return choice.target


def mux(
    video: OpenVideo,
    output: OutputContainer,
    sound: Track,
    *,
    choice: Choice,
    info: VideoInfo,
    beside: OpenVideo,
    mixed: bool = False,
    as_track: bool = False,
) -> None:
    """Copy or encode the video and encode the sound, in step, so that neither waits in memory for the other.

    Args:
        beside: the same file opened again, whose other streams are copied.
        mixed: whether the sound holds the first one of the video, which is not copied then.
        as_track: whether all sounds of the video are copied.

    Raises:
        RefusedError: the container does not take the packets of the video.
    """
    stamps = missing_stamps(choice.source) if choice.copied else None
    first = min((stamp.displayed for stamp in stamps), default=0.0) if stamps else info.start
    begin = min(first, sound.start - info.start + first)
    if choice.copied:
        film = copy_video(video, VideoCopy(output, video.stream, choice.tag), begin, stamps)
    else:
        film = _encoded(video, output, first - begin, info.seconds)
    track = add_audio(output, sound, choice.audio_codec)
    tracks = {}
    for stream in carried(beside, mixed=mixed, as_track=as_track):
        if is_held(stream, choice.form):
            tracks[stream.index] = add_other(output, stream)
    output.set_chapters(_chapters(beside.container, begin))
    audio = encode_audio(sound._replace(start=sound.start - info.start + first - begin), track)
    others = _others(beside, tracks, begin)
    for _, packet in heapq.merge(film, _timed(audio), others, key=itemgetter(0)):
        _mux(choice, output, packet)


def _encoded(video: OpenVideo, output: OutputContainer, start: float, seconds: float) -> Timed:
    """The frames of the video as H.264, the first at `start`."""
    frames = video.frames()
    first = next(frames, None)
    if first is None:
        raise VideoError(f"{video.path}: no frame of it can be decoded; copy or convert it again")
    stream = add_h264(output, video, first[0])
    return encode_h264(chain([first], frames), stream, start, seconds)


def _others(beside: OpenVideo, tracks: Mapping[int, Stream], begin: float) -> Timed:
    """The packets of the other streams from `begin` on."""
    last: dict[int, int] = {}
    for packet, time in beside.packets(tracks) if tracks else ():
        index, shift = packet.stream_index, round(begin / packet.time_base)
        if index not in tracks or packet.pts is None:
            continue
        packet.pts -= shift
        dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.dts = last[index] = max(dts, last.get(index, dts - 1) + 1)
        packet.pts = max(packet.pts, packet.dts)
        packet.stream = tracks[index]
        yield time - begin, packet


def _timed(packets: Iterable[Packet[Any]]) -> Timed:
    """Packets and the times at which they are decoded."""
    for packet in packets:
        yield float((packet.dts or packet.pts or 0) * packet.time_base), packet


def _mux(choice: Choice, output: OutputContainer, packet: Packet[Any]) -> None:
    """Mux a packet; one that the container refuses is the source's fault, not the disk's."""
    import av

    try:
        output.mux(packet)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        raise RefusedError(
            f"{choice.source}: the output's container refuses its packets ({reason(error)}); write an .mkv with -o, "
            "or put the video into a new file first (ffmpeg -i … -c copy -fflags +genpts out.mkv)"
        ) from error


def _chapters(source: InputContainer, begin: float) -> list[Chapter]:
    """The chapters of a file, counted from `begin`."""
    chapters = source.chapters()
    for chapter in chapters:
        shift = round(begin / (chapter["time_base"] or 1))
        chapter["start"], chapter["end"] = (max(0, chapter[side] - shift) for side in ("start", "end"))
    return chapters


def _metadata(source: InputContainer, comment: str | None) -> dict[str, str]:
    """The source's own title and so on, and the comment after its own comment."""
    own = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
    kept = {key: value for key, value in source.metadata.items() if key.lower() not in own}
    if comment:
        old = {key.lower(): value for key, value in kept.items()}
        kept = {key: value for key, value in kept.items() if key.lower() not in ("comment", "description")}
        for key in ("comment", "description"):
            kept[key] = "; ".join(dict.fromkeys(line for line in (old.get(key), comment) if line))
    return kept
