"""Loudness of a wave, and the gain that brings it to a target.

Loudness after ITU-R BS.1770-4 by FFmpeg's `ebur128`, true peak after annex 2 of the same by fourfold oversampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from frieren.longwave import LongWave
from frieren.sounds import as_pieces, resample_pieces

if TYPE_CHECKING:
    from torch import Tensor

Wave = TypeVar("Wave", bound="np.ndarray | Tensor | LongWave")

BLOCK = 0.4  # seconds, the gating block of BS.1770
RATE = 48_000  # the rate for which BS.1770 gives its filters; at others they are warped near the Nyquist frequency
GATE = -70.0  # LUFS, the absolute gate of BS.1770
MAX_GAIN, FLOOR = 12.0, -50.0  # dB and LUFS, see `normalise`


def integrated(wave: np.ndarray | Tensor | LongWave, sample_rate: int) -> float:
    """Integrated loudness of one channel in LUFS; -inf for silence.

    A wave shorter than one gating block (0.4 s) is measured as one block of its own length.

    Args:
        wave: [S] numpy, torch or in pieces.
        sample_rate: samples per second.
    """
    pieces = as_pieces(wave)
    seconds = len(pieces) / sample_rate
    missing = max(0, math.ceil((BLOCK - seconds) * RATE))
    loudness = _ebur128(chain(resample_pieces(pieces, sample_rate, RATE), [np.zeros(missing, np.float32)]))
    if loudness <= GATE:
        return -math.inf
    return loudness + (10 * math.log10(BLOCK / seconds) if missing else 0.0)


def _ebur128(pieces: Iterable[np.ndarray]) -> float:
    """FFmpeg's integrated loudness of float32 [S] at 48 kHz, in pieces; in LUFS, -70 where nothing passes the gate."""
    import av
    from av.filter import Graph

    graph = Graph()
    entry = graph.add("abuffer", f"sample_rate={RATE}:sample_fmt=flt:channel_layout=mono:time_base=1/{RATE}")
    meter = graph.add("ebur128", "metadata=1:framelog=quiet")
    outlet = graph.add("abuffersink")
    entry.link_to(meter)
    meter.link_to(outlet)
    graph.configure()
    loudness = GATE

    def drain() -> None:
        nonlocal loudness
        while True:
            try:
                loudness = float(outlet.pull().metadata.get("lavfi.r128.I", loudness))
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    begin = 0
    for piece in pieces:
        if not len(piece):
            continue
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece[None]), format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, begin
        begin += len(piece)
        graph.push(frame)
        drain()
    graph.push(None)
    drain()
    return loudness if math.isfinite(loudness) else GATE


def true_peak(wave: np.ndarray | Tensor | LongWave, sample_rate: int) -> float:
    """Maximum level, between the samples too, in dBTP (0 is full scale); -inf for silence.

    Args:
        wave: [S] numpy, torch or in pieces.
        sample_rate: samples per second.
    """
    pieces = as_pieces(wave)
    edge = np.zeros(sample_rate // 100, np.float32)  # the resampler rings where the wave starts and ends
    finer = resample_pieces(chain([edge], pieces, [edge]), sample_rate, 4 * sample_rate)
    peak = max(float(np.abs(piece).max(initial=0.0)) for piece in chain(pieces, finer))
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def normalise(
    wave: Wave,
    sample_rate: int,
    target: float = -20.0,
    *,
    max_gain: float = MAX_GAIN,
    ceiling: float = -1.0,
    floor: float = FLOOR,
    loudness: float | None = None,
) -> tuple[Wave, float]:
    """Bring a wave to `target` with one gain for its whole length; no limiter, so its dynamics stay.

    Args:
        wave: [S] numpy, torch or in pieces; the result is of the same kind.
        sample_rate: samples per second.
        target: integrated loudness in LUFS.
        max_gain: maximum gain in dB.
        ceiling: maximum true peak in dBTP; limits the gain.
        floor: a wave quieter than this, in LUFS, stays as it is (it is meant as silence).
        loudness: of the wave, if it has been measured.

    Returns:
        The wave and the gain in dB.
    """
    loudness = integrated(wave, sample_rate) if loudness is None else loudness
    if loudness < floor:
        return wave, 0.0
    gain = min(target - loudness, max_gain, ceiling - true_peak(wave, sample_rate))
    return cast(Wave, wave * 10 ** (gain / 20)), gain
