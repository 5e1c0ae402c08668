"""A generated sound and the record of how it was made; saved alone, or with its video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren import remux, sounds
from frieren.errors import OutputError
from frieren.formats import LEVELS, SOUND_FILES, AudioCodec, Levels, SampleRate, has_suffix
from frieren.isolation import Limits
from frieren.longwave import LongWave, Samples
from frieren.loudness import integrated, normalise
from frieren.unfinished import Unfinished
from frieren.wave import Vocoder, first_column, stream_wave


@dataclass(frozen=True)
class Sound:
    """A generated soundtrack.

    Attributes:
        samples: [S] float32 on the CPU, -1..1, as the vocoder made it (before loudness); or the same in pieces.
        sample_rate: samples per second.
        source: the video it belongs to, or None.
        record: model, hash, options, input, versions and seconds per stage. JSON types only.
        level_of: [S] the wave whose loudness decides about the gain; None: this one's. A stretch that is made again
            leaves the level of the rest as it was.
    """

    samples: Tensor | LongWave
    sample_rate: int
    source: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)
    level_of: Tensor | None = None

    @property
    def wave(self) -> Tensor:
        """The samples [S] in one piece."""
        return self.samples.tensor() if isinstance(self.samples, LongWave) else self.samples

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    @property
    def loudness(self) -> float:
        """Loudness in LUFS that decides about the gain."""
        return integrated(self.samples if self.level_of is None else self.level_of, self.sample_rate)

    def save(
        self,
        target: str | Path,
        *,
        loudness: float | None = -20.0,
        keep_original: bool = False,
        levels: Levels = LEVELS,
        as_track: bool = False,
        audio_codec: AudioCodec | None = None,
        encode: bool = True,
        sample_rate: SampleRate | None = None,
        isolate: bool | Limits = False,
    ) -> Path:
        """Write a sound file (.wav, .flac), or the video with this sound (.mp4, .mov, .mkv, ...).

        Args:
            loudness: target in LUFS (BS.1770), reached with at most 12 dB of gain and a true peak of -1 dBTP, to which
                a limiter lowers peaks by 9 dB at most; sounds under -50 LUFS are left alone. None leaves every sound
                alone.
            keep_original: mix with the video's own sound instead of replacing it; for videos only.
            levels: dB by which this sound and that one are then made louder.
            sample_rate: samples per second of what is written, by soxr; None: as generated. A sound mixed under
                another has the rate of that one, and where Opus lacks a rate it is 48 kHz.
            as_track, audio_codec, encode, isolate: for videos, see `write_video`.

        Returns:
            `target`.

        Raises:
            OutputError: if the file cannot be written, or a video is asked for and there is no source.
            VideoError: the video cannot be copied, and `encode` is False.
        """
        target = Path(target)
        wave = self.samples
        if loudness is not None:
            wave = normalise(wave, self.sample_rate, loudness, loudness=self.loudness)[0]
        rate = sample_rate or self.sample_rate
        if rate != self.sample_rate:
            wave = sounds.resampled(wave, self.sample_rate, rate)
        if has_suffix(target, SOUND_FILES):
            return sounds.write(target, wave, rate)
        if self.source is None:
            raise OutputError(f"{target}: this sound has no video; save it as .wav or .flac")
        return remux.write_video(
            self.source,
            wave,
            target,
            rate,
            keep_original=keep_original,
            levels=levels,
            as_track=as_track,
            audio_codec=audio_codec,
            encode=encode,
            isolate=isolate,
        )


@torch.inference_mode()
def make_wave(
    vocoder: Vocoder,
    mel: Callable[[int], Iterable[Tensor]],
    columns: int,
    hop: int,
    samples: int | None,
    unfinished: Unfinished | None = None,
    on_chunk: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor | LongWave:
    """The wave of a mel that arrives in blocks; with `unfinished` its pieces stay there, and none is made twice.

    A wave with higher peaks than 1 becomes quieter as a whole; none is clipped.

    Args:
        mel: gives the blocks [1, M, T'] of the mel from a column on.
        columns: of the whole mel.
        samples: to which the wave is cut; None: all.
    """
    held: list[Samples] = []
    done = 0
    while unfinished is not None and unfinished.get(f"wave-{done}") is not None:
        done += 1
    blocks = mel(first_column(vocoder, done))
    for wave in stream_wave(vocoder, blocks, columns, hop, chunk=done, on_chunk=on_chunk):
        if unfinished is None:
            held.append(wave[0].float().cpu().numpy())
        else:
            unfinished.put(f"wave-{done}", wave[0].float())
        done += 1

    def pieces() -> Iterator[Samples]:
        return iter(held) if unfinished is None else _pieces(unfinished, done)

    peak = max([1.0, *(float(abs(piece).max()) for piece in pieces())])
    length = columns * hop if samples is None else min(samples, columns * hop)
    whole = LongWave(lambda: _cut(pieces(), peak, length), length)
    return whole.tensor() if unfinished is None else whole


def _pieces(unfinished: Unfinished, count: int) -> Iterator[Samples]:
    """The pieces of a wave that are on disk.

    Raises:
        OutputError: one has gone.
    """
    for index in range(count):
        piece = unfinished.get(f"wave-{index}")
        if piece is None:
            raise OutputError(f"{unfinished.folder}: somebody removed pieces of the sound; run it again")
        yield piece.numpy()


def _cut(pieces: Iterable[Samples], peak: float, length: int) -> Iterator[Samples]:
    """The first `length` samples, divided by the peak."""
    left = length
    for piece in pieces:
        if left <= 0:
            return
        yield piece[:left] / np.float32(peak)
        left -= len(piece)
