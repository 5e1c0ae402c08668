"""Loudness of a wave, and the gain and limiter that bring it to a target.

Loudness after ITU-R BS.1770-4 by FFmpeg's `ebur128`, true peak after annex 2 of the same by fourfold oversampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from frieren.longwave import LongWave
from frieren.sounds import as_pieces, resample_pieces

if TYPE_CHECKING:
    from av import AudioFrame
    from torch import Tensor

Wave = TypeVar("Wave", bound="np.ndarray | Tensor | LongWave")

BLOCK = 0.4  # seconds, the gating block of BS.1770
RATE = 48_000  # the rate for which BS.1770 gives its filters; at others they are warped near the Nyquist frequency
GATE = -70.0  # LUFS, the absolute gate of BS.1770
MAX_GAIN, LIMIT, FLOOR = 12.0, 9.0, -50.0  # dB, dB and LUFS, see `normalise`
ATTACK, RELEASE = 5, 50  # ms, of the limiter: a knock is lowered as a whole, what follows it is not
BETWEEN = 0.5  # dB by which a true peak usually exceeds the highest sample, at most


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
    loudness = GATE
    for frame in _filtered(pieces, RATE, ("ebur128", "metadata=1:framelog=quiet")):
        loudness = float(frame.metadata.get("lavfi.r128.I", loudness))
    return loudness if math.isfinite(loudness) else GATE


def _filtered(pieces: Iterable[np.ndarray], sample_rate: int, *filters: tuple[str, str]) -> Iterator[AudioFrame]:
    """Pieces of float32 [S] through FFmpeg's filters, each with its arguments: what comes out, frame by frame."""
    import av
    from av.filter import Graph

    graph = Graph()
    source = f"sample_rate={sample_rate}:sample_fmt=flt:channel_layout=mono:time_base=1/{sample_rate}"
    chained = [graph.add("abuffer", source), *(graph.add(*each) for each in filters), graph.add("abuffersink")]
    for one, following in pairwise(chained):
        one.link_to(following)
    graph.configure()
    begin = 0
    for piece in chain((each for each in pieces if len(each)), [None]):
        frame = None
        if piece is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece[None]), format="flt", layout="mono")
            frame.sample_rate, frame.pts = sample_rate, begin
            begin += len(piece)
        graph.push(frame)
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield cast("AudioFrame", chained[-1].pull())


def limited(wave: np.ndarray | Tensor | LongWave, sample_rate: int, ceiling: float) -> LongWave:
    """A wave whose samples stay under a ceiling, by FFmpeg's limiter with look-ahead; what lies below is untouched.

    Args:
        wave: [S] numpy, torch or in pieces.
        sample_rate: samples per second.
        ceiling: dB of full scale.
    """
    pieces = as_pieces(wave)
    limiter = "alimiter", f"limit={10 ** (ceiling / 20):.6f}:attack={ATTACK}:release={RELEASE}:level=0:latency=1"

    def read() -> Iterator[np.ndarray]:
        for frame in _filtered(pieces, sample_rate, limiter, ("aformat", "sample_fmts=flt")):
            yield frame.to_ndarray()[0]

    return LongWave(read, len(pieces))


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
    limit: float = LIMIT,
    floor: float = FLOOR,
    loudness: float | None = None,
) -> tuple[Wave, float]:
    """Bring a wave to `target` by one gain for its whole length, and a limiter for the peaks that it would clip.

    Args:
        wave: [S] numpy, torch or in pieces; the result is of the same kind.
        sample_rate: samples per second.
        target: integrated loudness in LUFS.
        max_gain: maximum gain in dB.
        ceiling: maximum true peak in dBTP.
        limit: dB at most by which the highest peaks are lowered; 0: no limiter, its dynamics stay.
        floor: a wave quieter than this, in LUFS, stays as it is (it is meant as silence).
        loudness: of the wave, if it has been measured.

    Returns:
        The wave, and by how many dB it became louder.
    """
    loudness = integrated(wave, sample_rate) if loudness is None else loudness
    if loudness < floor:
        return wave, 0.0
    headroom = ceiling - true_peak(wave, sample_rate)
    gain = min(target - loudness, max_gain, headroom + limit)
    louder = cast(Wave, wave * 10 ** (gain / 20))
    if gain <= headroom:
        return louder, gain
    held: Any = limited(louder, sample_rate, ceiling - BETWEEN)
    if not isinstance(wave, LongWave):
        held = held.tensor().numpy() if isinstance(wave, np.ndarray) else held.tensor()
    # What lies between the samples can still be higher.
    excess = min(0.0, ceiling - true_peak(held, sample_rate))
    held = held * 10 ** (excess / 20)
    return cast(Wave, held), integrated(held, sample_rate) - loudness
