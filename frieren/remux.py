"""A wave onto a video: the packets of its video stream are copied untouched, the new sound is encoded beside them."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frieren.errors import OutputError, VideoError, reason
from frieren.files import replacing
from frieren.formats import CONTAINERS, has_suffix
from frieren.media import as_os_errors, file_url
from frieren.openvideo import OpenVideo, open_video
from frieren.sounds import AI_GENERATED, Audio, decode, mono, resample, to_int16

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream
    from torch import Tensor

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AAC_BIT_RATE = 160_000  # per channel; AAC itself allows at most 6 bits per sample
UNDER = 10 ** (-6 / 20)  # gain of the new sound where the video's own is kept
CHUNK = 1024  # samples that are encoded at a time


def write_video(
    source: str | os.PathLike[str],
    wave: NDArray[np.floating] | Tensor,
    target: str | os.PathLike[str],
    sample_rate: int,
    *,
    keep_original: bool = False,
    comment: str | None = AI_GENERATED,
) -> Path:
    """Put a wave onto a video: the video's packets are copied bit by bit, the sound starts with the first frame.

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
        VideoError: the source cannot be read, see `frieren.video.probe`.
        OutputError: unknown suffix, target is the source, folder missing or not writable, disk full.
        ValueError, SamplingError: the wave is not [S], or not finite.
    """
    import av

    samples = mono(wave)
    with open_video(source) as video:
        info = video.measure()
    target = _fitting(source, Path(target), info.codec)
    sound = Audio(samples[None], sample_rate, info.start)
    if keep_original and info.has_audio:
        sound = mix(sound, decode(source, until=info.start + info.seconds))
    form = CONTAINERS[target.suffix.lower()]
    if form != "matroska" and sound.rate not in AAC_RATES:
        sound = Audio(resample(sound.samples, sound.rate, 48_000), 48_000, sound.start)
    options = {"movflags": "+faststart"} if form != "matroska" else {}
    with (
        replacing(target) as part,
        open_video(source) as video,
        as_os_errors(),
        av.open(file_url(part), "w", format=form, options=options) as output,
    ):
        output.metadata.update(_metadata(video.container, comment))
        mux(video, output, sound)
    return target


def mix(new: Audio, old: Audio | None) -> Audio:
    """The new sound 6 dB down under the old one, each at its own time; nothing is cut off, nothing clips."""
    if old is None:
        return new
    begin = min(old.start, new.start)
    under = resample(new.samples, new.rate, old.rate) * np.float32(UNDER)
    at, under_at = round((old.start - begin) * old.rate), round((new.start - begin) * old.rate)
    length = max(at + old.samples.shape[1], under_at + under.shape[1])
    mixed = np.zeros((len(old.samples), length), np.float32)
    mixed[:, at : at + old.samples.shape[1]] = old.samples
    mixed[:, under_at : under_at + under.shape[1]] += under
    return Audio(mixed / max(np.float32(1), np.abs(mixed).max()), old.rate, begin)


def mux(video: OpenVideo, output: OutputContainer, sound: Audio) -> None:
    """Copy the video stream and encode the sound, in step, so that neither waits in memory for the other.

    Raises:
        VideoError: the codec cannot be copied, a packet of the video has no timestamps, or the container refuses it.
    """
    try:
        # Opaque: by its parameters. Otherwise PyAV looks for an encoder under the decoder's name, such as libdav1d.
        copy = output.add_stream_from_template(video.stream, opaque=True)
    except ValueError as error:  # the container does not take the codec
        codec = video.stream.codec_context.name
        raise VideoError(f"{video.path}: its codec ({codec}) cannot be copied; convert it to .mp4 (H.264)") from error
    copy.time_base = video.stream.time_base
    audio = _encode(sound, _add_audio(output, sound))
    encoded = next(audio, None)
    for packet, time in video.packets():
        packet.stream = copy
        while encoded is not None and float((encoded.pts or 0) * encoded.time_base) <= time:
            output.mux(encoded)
            encoded = next(audio, None)
        _mux_video(video, output, packet)
    while encoded is not None:
        output.mux(encoded)
        encoded = next(audio, None)


def _mux_video(video: OpenVideo, output: OutputContainer, packet: Packet[VideoStream]) -> None:
    """Mux a packet of the video; one that the container refuses is the source's fault, not the disk's."""
    import av

    try:
        output.mux(packet)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        raise VideoError(
            f"{video.path}: the output's container refuses its packets ({reason(error)}); write an .mkv with -o, "
            "or put the video into a new file first (ffmpeg -i … -c copy -fflags +genpts out.mkv)"
        ) from error


def _add_audio(output: OutputContainer, sound: Audio) -> AudioStream:
    """A new stream for a sound: FLAC in Matroska, AAC elsewhere."""
    layout = ("mono", "stereo")[len(sound.samples) - 1]
    if output.format.name == "matroska":
        stream = output.add_stream("flac", rate=sound.rate, layout=layout, format="s16")
    else:
        bit_rate = min(AAC_BIT_RATE, int(5.9 * sound.rate)) * len(sound.samples)
        stream = output.add_stream("aac", rate=sound.rate, layout=layout, bit_rate=bit_rate)
    stream.time_base = Fraction(1, sound.rate)
    return stream


def _encode(sound: Audio, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Packets of a sound; the encoder's own delay is in their timestamps."""
    import av

    lossless = stream.codec_context.name == "flac"
    for begin in range(0, sound.samples.shape[1], CHUNK):
        chunk = np.ascontiguousarray(sound.samples[:, begin : begin + CHUNK])
        data, form = (to_int16(chunk), "s16p") if lossless else (chunk, "fltp")
        frame = av.AudioFrame.from_ndarray(data, format=form, layout=stream.layout.name)
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = math.floor(sound.start * sound.rate + 0.5) + begin
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _fitting(source: str | os.PathLike[str], target: Path, codec: str) -> Path:
    """`target`, or its .mkv neighbour where the wanted container cannot hold the codec."""
    import av

    if not has_suffix(target, CONTAINERS):
        raise OutputError(
            f"{target}: a video file ends in {', '.join(CONTAINERS)}, not {target.suffix!r}; rename the output"
        )
    with av.open(io.BytesIO(), "w", format=CONTAINERS[target.suffix.lower()]) as trial:
        if codec not in trial.supported_codecs:
            target = target.with_suffix(".mkv")
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"{target}: this is the source video, which is never overwritten; choose another name")
    return target


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
