"""Small odd videos for the tests, written with PyAV: the grey level of each frame tells its index."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

LEVELS = 20  # frame i has the level 12 * (i % 20): far enough apart to survive any codec
STEP = 12
EVEN = [i / 10 for i in range(12)]  # presentation times in seconds
VFR = [0, 0.02, 0.05, 0.30, 0.31, 0.55, 0.90, 0.93, 1.10, 1.40, 1.44, 1.60]


def grey(index: int) -> int:
    """Level of frame `index`, 0..228."""
    return STEP * (index % LEVELS)


def indices(images) -> list[int]:
    """Index, modulo LEVELS, of the frame that each of the images [F, 3, H, W] in 0..1 shows."""
    return [round(float(level) * 255 / STEP) for level in images.mean(dim=(1, 2, 3))]


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Smooth noise [S], float32, about -15 dBFS: sharp in cross-correlation, kind to codecs."""
    wave = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (0.35 * np.convolve(wave, np.ones(4) / 4, "same")).astype(np.float32)


def lag(found: np.ndarray, known: np.ndarray) -> int:
    """Samples by which `known` is late in `found`, by cross-correlation."""
    size = 1 << (len(found) + len(known)).bit_length()
    score = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(known, size)))
    best = int(np.argmax(score))
    return best if best < size // 2 else best - size


def video(
    path: Path,
    times: list[float],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    rotation: int | None = None,
    transfer: int | None = None,
    images: list[np.ndarray] | None = None,
    sounds: list[tuple[np.ndarray, int, float]] = (),
    streams: int = 1,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a video whose frames are displayed at `times` (seconds); `sounds` are (wave [S], rate, start)."""
    base = Fraction(1, 1000)
    rate = 25 if len(times) < 2 else max(1, round((len(times) - 1) / (times[-1] - times[0])))
    with av.open(path, "w", options=options or {}) as out:
        out.metadata.update(metadata or {})
        outputs = [out.add_stream(codec, rate=rate) for _ in range(streams)]
        for stream in outputs:
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            stream.codec_context.time_base = stream.time_base = (
                base if codec not in ("mpeg4", "mpeg2video") else Fraction(1, rate)
            )
            if codec in ("libx264", "libx265"):
                quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
                stream.options = {"crf": "10", "preset": "veryfast", **quiet}
            if rotation is not None:
                stream.set_display_rotation(rotation)
            if transfer is not None:
                stream.codec_context.color_trc = transfer
        audio_streams = [
            out.add_stream("flac" if path.suffix == ".mkv" else "aac", rate=r, layout="mono") for _, r, _ in sounds
        ]
        for number, stream in enumerate(outputs):
            for index, time in enumerate(times):
                level = grey(index + 7 * number)
                image = np.full((size[1], size[0], 3), level, np.uint8) if images is None else images[index]
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = round(time / base), base
                if transfer is not None:
                    frame.color_trc = transfer
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        for stream, (wave, rate, start) in zip(audio_streams, sounds, strict=True):
            for begin in range(0, len(wave), 1024):
                data = np.ascontiguousarray(wave[None, begin : begin + 1024], np.float32)
                form = "fltp"
                if stream.codec_context.name == "flac":
                    data, form = np.round(data * 32767).astype(np.int16), "s16p"
                frame = av.AudioFrame.from_ndarray(data, format=form, layout="mono")
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate) + begin
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[bytes, float]]:
    """Bytes and display time of every packet of the first video stream."""
    with av.open(path) as file:
        found = [packet for packet in file.demux(file.streams.video[0]) if packet.size]
        return [(bytes(packet), float(packet.pts * packet.time_base)) for packet in found]


@contextmanager
def full_disk(room: int):
    """No file of this process may grow beyond `room` bytes: the system's own way of saying that there is no room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def cut_together(path: Path, jump: float) -> Path:
    """A transport stream of two times 0.6 s, the second `jump` seconds late."""
    halves = [video(path.with_name(f"{late}.ts"), [late + t for t in EVEN[:6]]) for late in (0, jump)]
    path.write_bytes(b"".join(half.read_bytes() for half in halves))
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    """A file for each fault, by a word that the message must hold."""
    good = video(folder / "good.mp4", EVEN, sounds=[(noise(1, 16_000), 16_000, 0.0)])
    bad = {name: folder / f"{name}.mp4" for name in ("empty", "not a video", "truncated", "no video stream", "decoded")}
    bad["empty"].touch()
    bad["not a video"].write_text("#!/bin/sh\necho hello\n" * 100)
    bad["truncated"].write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    soundfile.write(bad["no video stream"], noise(1, 16_000), 16_000, format="WAV")
    whole = bytearray(good.read_bytes())
    begin = whole.index(b"mdat") + 4
    whole[begin : whole.index(b"moov") - 4] = bytes(whole.index(b"moov") - 4 - begin)
    bad["decoded"].write_bytes(whole)
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}
    bad["encrypted"] = video(folder / "encrypted.mp4", EVEN, options=key)
    return bad | {"no such file": folder / "nothing.mp4", "not a file": folder}
