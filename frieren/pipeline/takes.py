"""One take: what is seen of a source, and the wave of one seed from there, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from frieren.arrays import read_features, read_mel
from frieren.conditioning import cue_features
from frieren.cues import Cues, SoundCue
from frieren.isolation import Limits
from frieren.latent import sound_samples
from frieren.longwave import LongWave
from frieren.mel import Count, stream_mel
from frieren.record import Stopwatch
from frieren.seen import Seen
from frieren.soundtrack import make_wave
from frieren.unfinished import Unfinished

if TYPE_CHECKING:
    from frieren.pipeline import Model


def see(
    model: Model,
    path: Path,
    kind: str,
    by_cues: bool,
    cues: Cues | None,
    sounds: str | Sequence[SoundCue] | None,
    on_frame: Count,
    isolate: bool | Limits,
) -> Seen:
    """What the sounds of a source are made of: a cue sheet's features, those of frames or of a file, or a mel."""
    if by_cues:
        sheet = model.spot(path, cues=cues, sounds=sounds, on_frame=on_frame, isolate=isolate)
        assert sheet.seconds is not None
        features = cue_features(sheet, sheet.seconds, model.clock, model.config.strike_delay)
        return Seen(features, seconds=sheet.seconds, cues=sheet)
    if kind == "video":
        return Seen(*model.encode_video(path, on_frame=on_frame, isolate=isolate))
    if kind == "features":
        return Seen(read_features(path, model.field.config.features))
    return Seen(mel=read_mel(path, model.config.mel.bins))


def take(
    model: Model,
    seen: Seen,
    seed: int,
    chosen: Mapping[str, Any],
    place: Unfinished | None,
    spent: Stopwatch,
    progress: Callable[[str, int, int], None],
) -> Tensor | LongWave:
    """The wave [S] of one seed.

    Args:
        chosen: steps, guidance and solver.
        place: has what is finished, and gets what becomes finished.
    """
    clock, samples = model.clock, None
    if place is not None:
        seen.keep(place)
    if seen.features is None:
        assert seen.mel is not None
        blocks, columns = partial(_from_column, seen.mel.to(model.device)), seen.mel.shape[-1]
    else:
        count = len(seen.features), clock, model.field.config, model.published
        samples = sound_samples(*count) if seen.seconds is None else clock.samples(seen.seconds)
        with spent("sample"):
            on_step = partial(progress, "sample")
            options = {**chosen, "times": seen.times, "seconds": seen.seconds, "seed": seed}
            latent = model.sample(seen.features, **options, on_step=on_step, unfinished=place)
        columns = latent.shape[-1] * clock.stride
        blocks = partial(_decoded, model, latent, spent, partial(progress, "decode"))
    with spent("vocode"):
        return make_wave(model.vocoder, blocks, columns, clock.hop, samples, place, partial(progress, "vocode"))


def _decoded(model: Model, latent: Tensor, spent: Stopwatch, on_window: Count, begin: int) -> Iterator[Tensor]:
    """The mel [1, M, T'] of a latent [C, L] from a column on, in blocks."""
    overlap = 0 if model.published else model.clock.overlap
    batch = latent[None].to(model.device)
    mel = stream_mel(model.autoencoder, batch, model.clock.window, overlap, begin=begin, on_window=on_window)
    return spent.over("decode", mel)


def _from_column(mel: Tensor, begin: int) -> Iterator[Tensor]:
    """A whole mel [M, T] from a column on, as one block [1, M, T']."""
    yield mel[None, :, begin:]
