"""The new sound in the output: mixed with what was there, encoded as AAC, FLAC or Opus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from frieren.errors import OutputError
from frieren.formats import LEVELS, AudioCodec, Levels
from frieren.longwave import LongWave, Samples, rechunked
from frieren.sounds import PIECE, Track, resample_pieces, silence, to_int16

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


def new_track(
    wave: LongWave, rate: int, start: float, old: Track | None, codec: AudioCodec, levels: Levels = LEVELS
) -> Track:
    """The new sound, mixed with the old one if there is one, at a rate that the codec has."""
    sound = Track(lambda: (piece[None] for piece in wave), 1, rate, start)
    if old is not None:
        sound = mix(sound, old, levels)
    return sound if sound.rate in RATES.get(codec, (sound.rate,)) else _at_rate(sound, 48_000)


def _at_rate(sound: Track, rate: int) -> Track:
    return sound._replace(pieces=lambda: resample_pieces(sound.pieces(), sound.rate, rate, sound.channels), rate=rate)


def mix(new: Track, old: Track, levels: Levels = LEVELS) -> Track:
    """The new sound with the old one, each at its own time; nothing is cut off, nothing clips.

    Args:
        new: of one channel.
        old: its rate and channels are the result's.
        levels: by how many dB each is made louder.
    """
    begin = min(old.start, new.start)
    under = _at_rate(new, old.rate)
    gain, old_gain = (np.float32(10 ** (level / 20)) for level in levels)

    def late(sound: Track) -> Iterator[Samples]:
        gap = silence(sound.channels, round((sound.start - begin) * old.rate))
        return rechunked(chain(gap, sound.pieces()), PIECE)

    def pieces() -> Iterator[Samples]:
        for one, other in zip_longest(late(old), late(under), fillvalue=np.zeros((1, 0), np.float32)):
            mixed = np.zeros((old.channels, max(one.shape[1], other.shape[1])), np.float32)
            mixed[:, : one.shape[1]] += one * old_gain
            mixed[:, : other.shape[1]] += other * gain
            yield mixed

    peak = max(chain([np.float32(1)], (np.abs(piece).max() for piece in pieces())))
    return Track(lambda: (piece / peak for piece in pieces()), old.channels, old.rate, begin)


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
