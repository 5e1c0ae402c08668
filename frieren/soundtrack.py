"""A generated sound and the record of how it was made; saved alone, or with its video."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from frieren import remux, sounds
from frieren.errors import OutputError
from frieren.formats import SOUND_FILES, AudioCodec, has_suffix
from frieren.loudness import normalise


@dataclass(frozen=True)
class Sound:
    """A generated soundtrack.

    Attributes:
        wave: [S] float32 on the CPU, -1..1, as the vocoder made it (before loudness).
        sample_rate: samples per second.
        source: the video it belongs to, or None.
        record: model, hash, options, input, versions and seconds per stage. JSON types only.
    """

    wave: Tensor
    sample_rate: int
    source: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.wave) / self.sample_rate

    def save(
        self,
        target: str | Path,
        *,
        loudness: float | None = -20.0,
        keep_original: bool = False,
        as_track: bool = False,
        audio_codec: AudioCodec | None = None,
        encode: bool = True,
    ) -> Path:
        """Write a sound file (.wav, .flac), or the video with this sound (.mp4, .mov, .mkv, ...).

        Args:
            loudness: target in LUFS (BS.1770), reached with at most 12 dB of gain and a true peak of -1 dBTP; sounds
                under -50 LUFS are left alone. None leaves every sound alone.
            keep_original: mix under the video's own sound instead of replacing it; for videos only.
            as_track, audio_codec, encode: for videos, see `write_video`.

        Returns:
            `target`.

        Raises:
            OutputError: if the file cannot be written, or a video is asked for and there is no source.
            VideoError: the video cannot be copied, and `encode` is False.
        """
        target = Path(target)
        wave = self.wave if loudness is None else normalise(self.wave, self.sample_rate, loudness)[0]
        if has_suffix(target, SOUND_FILES):
            return sounds.write(target, wave, self.sample_rate)
        if self.source is None:
            raise OutputError(f"{target}: this sound has no video; save it as .wav or .flac")
        return remux.write_video(
            self.source,
            wave,
            target,
            self.sample_rate,
            keep_original=keep_original,
            as_track=as_track,
            audio_codec=audio_codec,
            encode=encode,
        )
