"""A video file -> frames [F, 3, H, W] by timestamps, never by counting; and a wave back onto the video.

Reading makes two passes: the first demuxes (cheap) to learn the true length, the second decodes. Writing copies the
packets of the picture untouched and puts the new sound beside them.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from frieren import media, picture
from frieren.clock import Clock
from frieren.errors import OutputError, VideoError, reason
from frieren.files import replacing
from frieren.formats import CONTAINERS
from frieren.frames import Frames
from frieren.media import JUMP, Axis, open_media, packets
from frieren.picture import Fit
from frieren.sounds import AI_GENERATED, Sound, decode, encoded, mixed, mono, resample

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream
    from torch import Tensor

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


@dataclass(frozen=True)
class VideoInfo:
    """What `probe` learns about a video.

    Attributes:
        seconds: length of the picture, from the first frame's start to the last one's end, by timestamps.
        start: instant of the first frame on the file's own time axis, in seconds.
        fps: average number of frames per second.
        width, height: in pixels, as it is seen (after rotation).
        rotation: quarter turns to the left that the file asks for, in degrees: 0, 90, 180 or 270.
        codec: short name of the picture's codec, e.g. "h264".
        has_audio: whether the file has a sound stream.
        announced: length by the file's own index; more than `seconds` where the file breaks off.
        jumps: how often its timestamps jump by more than 10 s without the file's own length confirming it; `seconds`
            leaves such jumps out.
    """

    seconds: float
    start: float
    fps: float
    width: int
    height: int
    rotation: int
    codec: str
    has_audio: bool
    announced: float
    jumps: int


def probe(path: str | os.PathLike) -> VideoInfo:
    """Measure a video by its packets' timestamps and its first frame.

    Raises:
        VideoError: see `frieren.media.open_media`; also no picture in it, encrypted, no decodable frame.
    """
    with open_media(path) as container:
        stream = _picture(path, container)
        scan = _scan(path, container, stream)
        codec, audio, announced = stream.codec_context.name, bool(container.streams.audio), media.announced(container)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
    with open_media(path) as container:
        first = next((frame for frame, _ in _decoded(container, _picture(path, container))), None)
        if first is None:
            raise VideoError(f"{path}: no frame of it can be decoded ({codec}); copy or convert it again")
        start = _time(first)
    if start is None or not scan.timed:  # an elementary stream has no timestamps: there only counting remains
        start, seconds = start or 0.0, scan.packets / rate
    else:
        seconds = max(scan.end - start, 1e-3)
    turned = picture.turned(picture.matrix(first))
    return VideoInfo(
        seconds=seconds,
        start=start,
        fps=scan.packets / seconds if scan.packets > 1 else rate,
        width=first.height if turned else first.width,
        height=first.width if turned else first.height,
        rotation=round(first.rotation / 90) * 90 % 360,
        codec=codec,
        has_audio=audio,
        announced=seconds + max(0.0, announced - max(scan.end, scan.others_end)) if scan.timed else seconds,
        jumps=scan.jumps,
    )


def _picture(path: str | os.PathLike, container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; a cover image in a sound file is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            if stream.codec_context is None:
                raise VideoError(f"{path}: its codec is not known here; convert it to .mp4 (H.264)")
            stream.thread_type = "AUTO"
            return stream
    raise VideoError(f"{path}: there is no video stream in this file; give a file with a moving picture")


@dataclass(frozen=True)
class _Scan:
    """What demuxing the whole file tells: packets of the picture, whether they have times, ends in seconds, jumps."""

    packets: int
    timed: bool
    end: float
    others_end: float
    jumps: int


def _scan(path: str | os.PathLike, container: InputContainer, stream: VideoStream) -> _Scan:
    """Demux the whole file without decoding."""
    times: list[tuple[float, float]] = []
    count, others, axis = 0, 0.0, Axis(container, _step(stream))
    for packet in packets(container, None):
        if packet.has_sidedata("encryption_info"):
            raise VideoError(f"{path}: the video is encrypted; give a copy without protection")
        stamp = packet.dts if packet.pts is None else packet.pts
        begin = None if stamp is None else float(stamp * packet.time_base)
        length = float((packet.duration or 0) * packet.time_base) if packet.size else 0.0
        length = min(length, max(JUMP, axis.announced))  # a damaged length must not decide either
        if packet.stream_index != stream.index:
            others = max(others, (begin or 0.0) + length)
        elif packet.size and not packet.is_discard:
            count += 1
            if begin is not None:
                times.append((axis.place(begin, length), length))
    if not times:
        return _Scan(count, False, 0.0, others, 0)
    times.sort()
    begin, length = times[-1]
    if not length:  # some containers do not say how long the last frame stays
        length = begin - times[-2][0] if len(times) > 1 else 1 / float(stream.average_rate or 25)
    return _Scan(count, True, begin + length, others, axis.jumps)


def _step(stream: VideoStream) -> float:
    """Seconds from one frame to the next, on average, as far as the file says."""
    return 1 / float(stream.average_rate or stream.guessed_rate or 25)


def _time(frame: VideoFrame) -> float | None:
    """When a frame comes on screen, in seconds; None where the file does not say."""
    stamp = frame.dts if frame.pts is None else frame.pts
    return None if stamp is None else float(stamp * frame.time_base)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, float]]:
    """Good frames in the order of display and their times from the first one on; damaged packets are left out."""
    import av

    start, clock, step = None, 0.0, _step(stream)
    axis = Axis(container, step)
    for packet in chain(packets(container, stream), [None]):  # None: what the decoder still holds where a file ends
        frames = []
        with suppress(av.error.FFmpegError):
            frames = stream.decode(packet)
        for frame in frames:
            time = _time(frame)
            time = None if time is None else axis.place(time)
            if start is None:
                start, clock = time or 0.0, -step
            clock = clock + step if time is None else max(clock, time - start)
            yield frame, clock


def stream_frames(
    path: str | os.PathLike, fps: float, size: int, block: int = 256, *, published: bool = False, fit: Fit | None = None
) -> Iterator[Frames]:
    """The video on the grid 0, 1/fps, 2/fps, ... from its first frame on, in blocks, with bounded memory.

    At each instant of the grid stands the frame whose display time is nearest (of two as near, the earlier).

    Args:
        path: the video file.
        fps: instants per second.
        size: height and width of the images, which get it as `fit` says, see `picture.image`; by default squashed.
        block: most frames in one block.
        published: pick and resize frames as the released preprocessing does; see `Clock.published_frames`.

    Yields:
        Frames with images [F, 3, size, size], F <= block, their grid times, and the whole video's length.

    Raises:
        VideoError: see `probe`; raised at the call, not at the first block.

    Warns:
        UserWarning: the file breaks off before the end that it announces; what is there is used. Its timestamps jump.
    """
    info = probe(path)
    if info.announced - info.seconds > 0.5:
        warnings.warn(
            f"{path}: breaks off after {info.seconds:.1f} of {info.announced:.1f} seconds; "
            "the sound is made for what is there, copy the file again for the rest",
            stacklevel=2,
        )
    if info.jumps:
        warnings.warn(
            f"{path}: its timestamps jump by more than {JUMP:g} seconds; the jumps are left out, "
            "if the sound is not in time put the video into a new .mp4 first (ffmpeg -i … out.mp4)",
            stacklevel=2,
        )
    total = Clock(fps=fps).frames(info.seconds)
    fit = fit or ("bilinear" if published else "area")
    picked = _picked(path, total, fps, published, lambda frame: _image(path, frame, size, fit))
    return _blocks(picked, total, info.seconds, fps, block)


def _blocks(picked: Iterator[np.ndarray], total: int, seconds: float, fps: float, block: int) -> Iterator[Frames]:
    """The second pass of `stream_frames`."""
    images: list[np.ndarray] = []
    for index, image in enumerate(picked):
        images.append(image)
        if len(images) == block or index == total - 1:
            stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float() / 255
            times = torch.arange(index + 1 - len(images), index + 1, dtype=torch.float64) / fps
            images = []
            yield Frames(stack, times, seconds)


def _picked(path: str | os.PathLike, total: int, fps: float, published: bool, shown: Callable) -> Iterator[np.ndarray]:
    """The image for each of the `total` instants of the grid; a frame that no instant wants is never converted."""
    with open_media(path) as container:
        index, held, held_time = 0, None, 0.0
        for frame, time in _decoded(container, _picture(path, container)):
            image = None
            last = time - 0.5 / fps if published else (held_time + time) / 2  # instant that still gets the held frame
            while held is not None and index < total and index / fps <= last + 1e-9:
                image = shown(held) if image is None else image
                yield image
                index += 1
            if index == total:
                return
            held, held_time = frame, time
        if held is None:
            raise VideoError(f"{path}: no frame of it can be decoded; copy or convert it again")
        image = shown(held)
        for _ in range(index, total):
            yield image


def _image(path: str | os.PathLike, frame: VideoFrame, size: int, fit: Fit) -> np.ndarray:
    """`picture.image`, whose failures name the file."""
    import av

    try:
        return picture.image(frame, size, fit)
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            f"{path}: a frame cannot be converted ({reason(error)}); convert it to .mp4 (H.264)"
        ) from error


def read(path: str | os.PathLike, clock: Clock, size: int = 224) -> Frames:
    """The whole video at the clock's frame rate: images [F, 3, size, size]. See `stream_frames`.

    224 pixels is the published size. `Model.encode` makes any size fit; `Model.image_size` gives what `generate` sees.
    """
    blocks = list(stream_frames(path, clock.fps, size, published=clock.published_frames))
    images, times = (torch.cat([getattr(block, name) for block in blocks]) for name in ("images", "times"))
    return Frames(images, times, blocks[0].seconds)


def write(
    source: str | os.PathLike,
    wave: np.ndarray | Tensor,
    target: str | os.PathLike,
    sample_rate: int,
    *,
    keep_original: bool = False,
    comment: str | None = AI_GENERATED,
) -> Path:
    """Put a wave onto a video: the picture's packets are copied bit by bit, the sound starts with the first frame.

    Args:
        source: the video file; never changed.
        wave: [S] in -1..1, numpy or torch.
        target: .mp4, .m4v, .mov (sound as AAC) or .mkv (sound as FLAC; frames that an edit list hides come to light).
        sample_rate: samples per second of the wave.
        keep_original: mix the wave, 6 dB down, under the sound that the video has.
        comment: goes into the container's metadata; None for none.

    Returns:
        The file written: `target`, or the same name ending in .mkv where `target`'s container cannot hold the codec.

    Raises:
        VideoError: the source cannot be read, see `probe`.
        OutputError: unknown suffix, target is the source, folder missing or not writable, disk full.
        ValueError, SamplingError: the wave is not [S], or not finite.
    """
    wave, info = mono(wave), probe(source)
    target = _fitting(source, Path(target), info.codec)
    sound = Sound(wave[None], sample_rate, info.start)
    if keep_original:
        sound = mixed(sound, decode(source, until=info.start + info.seconds))
    if target.suffix.lower() != ".mkv" and sound.rate not in AAC_RATES:
        sound = Sound(resample(sound.samples, sound.rate, 48_000), 48_000, sound.start)
    import av

    form = CONTAINERS[target.suffix.lower()]
    options = {"movflags": "+faststart"} if form != "matroska" else {}
    with (
        replacing(target) as part,
        open_media(source) as given,
        av.open(f"file:{part.absolute()}", "w", format=form, options=options) as made,
    ):
        made.metadata.update(_metadata(given, comment))
        _mux(source, given, made, sound)
    return target


def _fitting(source: str | os.PathLike, target: Path, codec: str) -> Path:
    """`target`, or its .mkv neighbour where the wanted container cannot hold the codec."""
    import av

    if target.suffix.lower() not in CONTAINERS:
        raise OutputError(
            f"{target}: a video file ends in {', '.join(CONTAINERS)}, not {target.suffix!r}; rename the output"
        )
    with av.open(io.BytesIO(), "w", format=CONTAINERS[target.suffix.lower()]) as trial:
        if codec not in trial.supported_codecs:
            target = target.with_suffix(".mkv")
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"{target}: this is the source video, which is never overwritten; choose another name")
    return target


def _metadata(given: InputContainer, comment: str | None) -> dict[str, str]:
    """The source's own title and so on, and the comment after its own comment."""
    own = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
    kept = {key: value for key, value in given.metadata.items() if key.lower() not in own}
    if comment:
        old = {key.lower(): value for key, value in kept.items()}
        kept = {key: value for key, value in kept.items() if key.lower() not in ("comment", "description")}
        for key in ("comment", "description"):
            kept[key] = "; ".join(dict.fromkeys(line for line in (old.get(key), comment) if line))
    return kept


def _mux(source: str | os.PathLike, given: InputContainer, made: OutputContainer, sound: Sound) -> None:
    """Copy the picture and encode the sound, in step, so that neither waits in memory for the other."""
    stream = _picture(source, given)
    copy = made.add_stream_from_template(stream)
    copy.time_base = stream.time_base
    audio, axis = encoded(made, sound), Axis(given, _step(stream))
    packet = next(audio, None)
    for copied in packets(given, stream):
        if not copied.size:
            continue
        if copied.dts is None and copied.pts is None:
            raise VideoError(
                f"{source}: its packets have no timestamps; put it into an .mp4 first (ffmpeg -i … out.mp4)"
            )
        if copied.pts is None:
            copied.pts = copied.dts
        stamp = copied.pts if copied.dts is None else copied.dts
        ahead = axis.place(float(stamp * copied.time_base), float((copied.duration or 0) * copied.time_base))
        if axis.shift:
            back = round(axis.shift / copied.time_base)
            copied.pts, copied.dts = copied.pts - back, None if copied.dts is None else copied.dts - back
        copied.stream = copy
        while packet is not None and float(packet.pts * packet.time_base) <= ahead:
            made.mux(packet)
            packet = next(audio, None)
        _put(source, made, copied)
    while packet is not None:
        made.mux(packet)
        packet = next(audio, None)


def _put(source: str | os.PathLike, made: OutputContainer, packet: Packet) -> None:
    """Mux a packet of the picture; one that the container refuses is the source's fault, not the disk's."""
    import av

    try:
        made.mux(packet)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        raise VideoError(
            f"{source}: the output's container refuses its packets ({reason(error)}); write an .mkv with -o, "
            "or put the video into a new file first (ffmpeg -i … -c copy -fflags +genpts out.mkv)"
        ) from error
