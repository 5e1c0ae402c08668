"""Small films for the media suite, made by PyAV on the spot: the grey level of a frame is its number, one is white.

A film has twelve frames; with the white one a soundtrack is to click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAMES = 12
FLASH = 6  # the white frame
EVEN = tuple(index / 10 for index in range(FRAMES))
MS = Fraction(1, 1000)


def level(index: int) -> int:
    """Grey level of a frame, 20 apart; the flash is white."""
    return 255 if index == FLASH else 20 * (index if index < FLASH else index - 1)


def film(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[float] = EVEN,
    *,
    size: tuple[int, int] = (64, 48),
    form: str | None = None,
    fixed: int = 0,
    encoder: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    sounds: Sequence[tuple[float, float, str]] = (),
    sound_codec: str = "aac",
    sound_rate: int = 48_000,
    adapt: Callable[[av.container.OutputContainer, av.VideoStream], None] | None = None,
) -> Path:
    """Write a film.

    Args:
        times: seconds at which the frames are displayed.
        form: FFmpeg's name of the container; by default after the suffix.
        fixed: frames per second, for encoders that count frames instead of taking times; 0 for milliseconds.
        sounds: length and start in seconds and layout of each sound stream.
        adapt: changes the streams before anything is written.
    """
    if codec not in av.codec.codecs_available:
        raise NotImplementedError(f"this FFmpeg has no {codec}")
    base = Fraction(1, fixed) if fixed else MS
    step = times[-1] - times[-2] if len(times) > 1 else 0.1  # how long the last frame stays
    with av.open(path, "w", format=form, options=muxer or {}) as out:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = out.add_stream(
            codec, rate=fixed or Fraction(1 / step).limit_denominator(1001), options=quiet | (encoder or {})
        )
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = stream.time_base = base
        tracks = []
        for _, _, layout in sounds:
            track = out.add_stream(sound_codec, rate=sound_rate, layout=layout)
            track.time_base = Fraction(1, sound_rate)
            tracks.append(track)
        if adapt is not None:
            adapt(out, stream)
        for index, time in enumerate(times):
            image = np.full((size[1], size[0], 3), level(index % FRAMES), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index if fixed else round(time / base), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for track, (seconds, start, _) in zip(tracks, sounds, strict=True):
            write_sound(out, track, seconds, start, sound_rate)
    return path


def write_sound(
    out: av.container.OutputContainer, track: av.AudioStream, seconds: float, start: float, rate: int
) -> None:
    """Encode quiet noise."""
    channels = track.layout.nb_channels
    wave = 0.1 * np.random.default_rng(0).standard_normal((channels, round(seconds * rate)))
    form = track.codec_context.format.name
    for begin in range(0, wave.shape[1], 1024):
        piece = wave[:, begin : begin + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=track.layout.name)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate) + begin
        resampler = av.AudioResampler(format=form, layout=track.layout.name, rate=rate)
        for one in resampler.resample(frame):
            out.mux(track.encode(one))
    out.mux(track.encode(None))


def moved(source: Path, target: Path, shift: float = 0.0, form: str | None = None, **options: str) -> Path:
    """A copy of a film with all times moved by `shift` seconds, perhaps in another container."""
    with av.open(source) as old, av.open(target, "w", format=form, options=options) as new:
        copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.pts += round(shift / packet.time_base)
                packet.dts = packet.pts  # there are no B-frames
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return target


def flipped(path: Path, share: float, seed: int, keep: int = 0) -> Path:
    """Change a share of a file's bytes at random, the first `keep` of them apart."""
    data, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(keep, len(data), max(1, round(share * len(data)))):
        data[place] = random.integers(256)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Leave the first part of a file."""
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    return path


def joined(path: Path, *parts: Path) -> Path:
    """Files put one after another, as transport streams are cut together."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def grey_indices(images: np.ndarray) -> list[int]:
    """Numbers of the frames that images [F, H, W, 3] show."""
    levels = [level(index) for index in range(FRAMES)]
    means = images.reshape(len(images), -1).mean(axis=1)
    return [int(np.argmin([abs(mean - one) for one in levels])) for mean in means]
