"""The new sound in the output: mixed with what was there, encoded as AAC, FLAC or Opus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieren.errors import OutputError
from frieren.formats import AudioCodec
from frieren.longwave import LongWave, Samples, rechunked
from frieren.sounds import Audio, resample, resample_pieces, to_int16

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

# Rates that a codec has; FLAC has them all.
RATES = {
    "aac": (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000),
    "opus": (48000, 24000, 16000, 12000, 8000),
}
BIT_RATE = {"aac": 160_000, "opus": 128_000}  # per channel; AAC itself allows at most 6 bits per sample
# What a container holds, its usual codec first: QuickTime knows neither FLAC nor Opus.
HELD: dict[str, tuple[AudioCodec, ...]] = {
    "mp4": ("aac", "flac", "opus"),
    "mov": ("aac",),
    "matroska": ("flac", "aac", "opus"),
}
UNDER = 10 ** (-6 / 20)  # gain of the new sound where the video's own is kept
CHUNK = 1024  # samples that are encoded at a time


def choose_codec(form: str, wanted: AudioCodec | None) -> AudioCodec:
    """The codec of the sound in a container of FFmpeg's name `form`.

    Raises:
        OutputError: the container does not hold the one that is wanted.
    """
    held = HELD[form]
    if wanted is not None and wanted not in held:
        raise OutputError(f"{form} holds no {wanted}, only {', '.join(held)}; choose one of them, or an .mkv")
    return wanted or held[0]


class Track(NamedTuple):
    """A sound on its way into a container.

    Attributes:
        pieces: float32 [C, S'], read anew whenever it is gone through.
        channels: C, 1 or 2.
        rate: samples per second.
        start: time of the first sample in seconds.
    """

    pieces: Callable[[], Iterator[Samples]]
    channels: int
    rate: int
    start: float


def new_track(wave: LongWave, rate: int, start: float, old: Audio | None, codec: AudioCodec) -> Track:
    """The new sound, mixed under the old one if there is one, at a rate that the codec has."""
    target = rate if old is None else old.rate
    if target not in RATES.get(codec, (target,)):
        target = 48_000
    if old is None:
        return Track(lambda: (piece[None] for piece in resample_pieces(wave, rate, target)), 1, target, start)
    mixed = mix(Audio(np.concatenate(list(wave))[None], rate, start), old)
    samples = resample(mixed.samples, mixed.rate, target)
    return Track(lambda: iter([samples]), len(samples), target, mixed.start)


def mix(new: Audio, old: Audio) -> Audio:
    """The new sound 6 dB down under the old one, each at its own time; nothing is cut off, nothing clips."""
    begin = min(old.start, new.start)
    under = resample(new.samples, new.rate, old.rate) * np.float32(UNDER)
    at, under_at = round((old.start - begin) * old.rate), round((new.start - begin) * old.rate)
    length = max(at + old.samples.shape[1], under_at + under.shape[1])
    mixed = np.zeros((len(old.samples), length), np.float32)
    mixed[:, at : at + old.samples.shape[1]] = old.samples
    mixed[:, under_at : under_at + under.shape[1]] += under
    return Audio(mixed / max(np.float32(1), np.abs(mixed).max()), old.rate, begin)


def add_audio(output: OutputContainer, sound: Track, codec: AudioCodec) -> AudioStream:
    """A new stream for a sound at a rate that the codec has."""
    layout = ("mono", "stereo")[sound.channels - 1]
    if codec == "flac":
        stream = output.add_stream("flac", rate=sound.rate, layout=layout, format="s16")
    else:
        name = "libopus" if codec == "opus" else codec
        bit_rate = min(BIT_RATE[codec], int(5.9 * sound.rate)) * sound.channels
        stream = output.add_stream(name, rate=sound.rate, layout=layout, bit_rate=bit_rate)
        if codec == "opus":
            stream.format = "flt"
    stream.time_base = Fraction(1, sound.rate)
    return stream


def encode_audio(sound: Track, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Packets of a sound; the encoder's own delay is in their timestamps."""
    import av

    form = {"flac": "s16", "libopus": "flt"}.get(stream.codec_context.name, "fltp")
    for index, piece in enumerate(rechunked(sound.pieces(), CHUNK)):
        chunk = np.ascontiguousarray(piece)
        data: Any = to_int16(chunk) if form == "s16" else chunk
        if form != "fltp":
            data = np.ascontiguousarray(data.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(data, format=form, layout=stream.layout.name)
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = math.floor(sound.start * sound.rate + 0.5) + index * CHUNK
        yield from stream.encode(frame)
    yield from stream.encode(None)
