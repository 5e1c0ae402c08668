"""One take: what is seen of a source, and the wave of one seed from there, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frieren.arrays import read_features, read_mel
from frieren.conditioning import cue_features
from frieren.cues import Cues, SoundCue
from frieren.errors import ConfigError
from frieren.isolation import Limits
from frieren.latent import draw_noise, latent_columns, sample_latent, sound_samples
from frieren.longwave import LongWave
from frieren.mel import Count, stream_mel
from frieren.record import Stopwatch
from frieren.redo import Redo
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
        features = cue_features(sheet, sheet.seconds, model.clock, model.config.strike_delay, decided=True)
        return Seen(features, seconds=sheet.seconds, cues=sheet)
    if kind == "video":
        return Seen(*model.encode_video(path, on_frame=on_frame, isolate=isolate))
    if kind == "features":
        return Seen(read_features(path, model.field.config.features))
    return Seen(mel=read_mel(path, model.config.mel.bins))


def end_of(path: Iterable[tuple[float, Tensor]], steps: int, on_step: Count) -> Tensor:
    """The last x of a path of (t, x); `on_step` is told the step by time, since dopri5 chooses its own."""
    for t, x in path:
        latent = x
        on_step(round(t * steps), steps)
    return latent


def held(kept: Tensor, noise: Tensor) -> Tensor:
    """What is kept of a latent [B, C, L], NaN elsewhere, as long as its noise [B, C, W]: a window at least."""
    whole = torch.full_like(noise, torch.nan)
    whole[..., : kept.shape[-1]] = kept
    return whole


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
    if place is not None:
        seen.keep(place)
    if seen.features is None:
        assert seen.mel is not None
        blocks, columns = partial(_from_column, seen.mel.to(model.device)), seen.mel.shape[-1]
        with spent("vocode"):
            return make_wave(model.vocoder, blocks, columns, model.clock.hop, None, place, partial(progress, "vocode"))
    options = {**chosen, "times": seen.times, "seconds": seen.seconds, "seed": seed}
    with spent("sample"):
        latent = model.sample(seen.features, **options, on_step=partial(progress, "sample"), unfinished=place)
    return sounded(model, latent, length_of(model, seen), spent, progress, place)


def take_again(
    model: Model,
    seen: Seen,
    seed: int,
    redo: Sequence[Redo],
    chosen: Mapping[str, Any],
    spent: Stopwatch,
    progress: Callable[[str, int, int], None],
) -> tuple[Tensor | LongWave, Tensor | None]:
    """The wave [S] of one seed with stretches made again, and the wave before that.

    Raises:
        ConfigError: a stretch begins beyond the end, or there is no latent to hold, only a mel.
    """
    if seen.features is None:
        raise ConfigError("redo: a mel is only vocoded, and nothing of it can be made again")
    with spent("sample"):
        options = {**chosen, "times": seen.times, "seconds": seen.seconds, "seed": seed}
        latent = model.sample(seen.features, **options, on_step=partial(progress, "sample"))
    first = whole_wave(sounded(model, latent, length_of(model, seen), spent, progress))
    return redone(model, seen, latent, first, redo, chosen, spent, progress), first


def redone(
    model: Model,
    seen: Seen,
    latent: Tensor,
    wave: Tensor,
    redo: Sequence[Redo],
    chosen: Mapping[str, Any],
    spent: Stopwatch,
    progress: Callable[[str, int, int], None],
) -> Tensor:
    """The wave [S] of a latent [C, L] with stretches made again, one after the other."""
    assert seen.features is not None
    for each in redo:
        if each.start >= len(wave) / model.clock.sample_rate:
            raise ConfigError(f"redo: {each.start:g} s lies beyond the end, {len(wave) / model.clock.sample_rate:g} s")
        options = {**chosen, "times": seen.times, "seconds": seen.seconds, "seed": each.seed}
        kept = each.freed(latent, model.clock)
        with spent("redo"):
            latent = model.sample(seen.features, **options, kept=kept, on_step=partial(progress, "redo"))
            after = whole_wave(sounded(model, latent, len(wave), Stopwatch(), lambda stage, done, total: None))
        wave = each.spliced(wave, after, model.clock.sample_rate)
    return wave


def whole_wave(wave: Tensor | LongWave) -> Tensor:
    """A wave in one piece."""
    return wave.tensor() if isinstance(wave, LongWave) else wave


def sounded(
    model: Model,
    latent: Tensor,
    samples: int,
    spent: Stopwatch,
    progress: Callable[[str, int, int], None],
    place: Unfinished | None = None,
) -> Tensor | LongWave:
    """The wave [S] of a latent [C, L], decoded and vocoded piece by piece, and cut to `samples`."""
    blocks = partial(_decoded, model, latent, spent, partial(progress, "decode"))
    columns, hop = latent.shape[-1] * model.clock.stride, model.clock.hop
    with spent("vocode"):
        return make_wave(model.vocoder, blocks, columns, hop, samples, place, partial(progress, "vocode"))


def length_of(model: Model, seen: Seen) -> int:
    """Samples of the sound of what was seen."""
    if seen.seconds is not None:
        return model.clock.samples(seen.seconds)
    assert seen.features is not None
    return sound_samples(len(seen.features), model.clock, model.field.config, model.published)


@torch.inference_mode()
def sample_together(
    model: Model, seen: Sequence[Seen], seeds: Sequence[int], chosen: Mapping[str, Any], on_step: Count
) -> list[Tensor]:
    """The latents [C, L] of several sounds, whatever their lengths, whose windows go through the network together.

    One sound alone comes out as `Model.sample` gives it; several as that but for the rounding of larger batches.

    Args:
        seen: of each sound, with features.
        seeds: one each.
        chosen: steps, guidance and solver; with dopri5 only one sound.
    """
    clock, config, features, times, columns, noise = model.clock, model.field.config, [], [], [], []
    for one, seed in zip(seen, seeds, strict=True):
        assert one.features is not None
        count, samples = len(one.features), None if one.seconds is None else clock.samples(one.seconds)
        columns.append(latent_columns(count, samples, clock, config, model.published))
        noise.append(draw_noise(config.latent, max(columns[-1], clock.window), seed).to(model.device))
        features.append(one.features.to(model.device))
        grid = torch.tensor(clock.frame_times(count), dtype=torch.float64)
        times.append(grid if one.times is None else one.times)
    widths = [one.shape[-1] for one in noise]
    with model.autocast():
        path = sample_latent(
            model.field,
            torch.cat(features)[None],
            times,
            torch.cat(noise, dim=-1)[None],
            clock,
            columns=widths,
            **chosen,
            guidance_rescale=model.config.guidance_rescale,
            published=model.published,
        )
        for t, x in path:
            latent = x
            on_step(round(t * chosen["steps"]), chosen["steps"])
    each = latent[0].float().split(widths, dim=-1)
    return [one[:, :length] for one, length in zip(each, columns, strict=True)]


def _decoded(model: Model, latent: Tensor, spent: Stopwatch, on_window: Count, begin: int) -> Iterator[Tensor]:
    """The mel [1, M, T'] of a latent [C, L] from a column on, in blocks."""
    overlap = 0 if model.published else model.clock.overlap
    batch = latent[None].to(model.device)
    mel = stream_mel(model.autoencoder, batch, model.clock.window, overlap, begin=begin, on_window=on_window)
    return spent.over("decode", mel)


def _from_column(mel: Tensor, begin: int) -> Iterator[Tensor]:
    """A whole mel [M, T] from a column on, as one block [1, M, T']."""
    yield mel[None, :, begin:]
