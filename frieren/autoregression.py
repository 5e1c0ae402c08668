"""Features -> latent by codes that are written one after the other, level after level, window after window."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.clock import Clock
from frieren.flow import guide
from frieren.nets.field import column_frames
from frieren.nets.rivals.codes import CodeTransformer
from frieren.nets.rivals.im2wav import CodeWriter
from frieren.windows import window_starts


@torch.inference_mode()
def sample_codes(
    network: CodeWriter, features: Tensor, times: Tensor, noise: Tensor, clock: Clock, guidance: float
) -> Iterator[tuple[float, Tensor]]:
    """Yields (share that is done, latent [B, C, L]) after every window; the last is whole.

    A window begins with the codes that the one before has written where they overlap. Each level is given what the
    one before it sounds like in this window; the last level's latent is the result.

    Args:
        features: [B, F, D].
        times: [F] seconds at which the frames are displayed.
        noise: [B, C, L], from whose first channels codes are drawn, each level's from channels of its own: a column of
            codes depends on nothing else.
    """
    levels, columns = network.levels, noise.shape[-1]
    unit = levels[0].config.join
    total, window = -(-columns // unit), clock.window // unit
    starts, size = window_starts(total, window, clock.overlap // unit)
    seconds = torch.tensor(clock.column_times(total * unit), dtype=torch.float64)
    rows = features.index_select(1, column_frames(times, seconds).to(features.device))
    chance = torch.special.ndtr(F.pad(noise, (0, total * unit - columns)))
    codes = [rows.new_zeros(len(rows), 0, level.config.groups, dtype=torch.int64) for level in levels]
    for done, start in enumerate(starts, 1):
        span = slice(start * unit, (start + size) * unit)
        coarse, channel = None, 0
        for place, level in enumerate(levels):
            groups, join = level.config.groups, level.config.join
            c, null = conditions(level, rows[:, span], coarse)
            drawn_from = chance[:, channel : channel + groups, span][..., ::join].mT
            begin, first = codes[place], span.start // join
            part = draw(level, c, null, drawn_from, begin[:, first:], guidance)
            codes[place] = torch.cat([begin[:, :first], part], dim=1)
            coarse, channel = level.decode(part), channel + groups
        yield done / len(starts), levels[-1].decode(codes[-1])[..., :columns]


def conditions(level: CodeTransformer, shown: Tensor, coarse: Tensor | None) -> tuple[Tensor, Tensor]:
    """A level's condition of features [B, L, D], and that of none; what the level before sounds like is in both."""
    shown = F.pad(shown.mT, (0, -shown.shape[1] % level.config.pool), mode="replicate").mT
    return level.condition(shown, coarse), level.condition(torch.zeros_like(shown), coarse)


def draw(
    network: CodeTransformer, c: Tensor, null: Tensor, chance: Tensor, begin: Tensor, guidance: float = 1.0
) -> Tensor:
    """Codes [B, N, groups] after a condition, one after the other.

    Args:
        c, null: [B, P, W] conditions: the features', and that of none for classifier-free guidance of the logits.
        chance: [B, N, groups] in 0..1, from which each code is drawn.
        begin: [B, n, groups] codes that are there already, n < N.
    """
    batch, total, groups = chance.shape
    times = 1 if guidance == 1 else 2  # how often everything is evaluated: also with null
    c = c if times == 1 else torch.cat([c, null])
    codes, chance, cache = begin.flatten(1), chance.flatten(1), None
    for index in range(codes.shape[1], total * groups):
        tokens = network.tokens(codes.repeat(times, 1), c)
        logits, cache = network.step(tokens if cache is None else tokens[:, -1:], cache, index)
        if times == 2:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, guidance)
        drawn = pick(logits, chance[:, index], network.config.top)
        codes = torch.cat([codes, drawn[:, None]], dim=1)
    return codes.unflatten(1, (-1, groups))


def pick(logits: Tensor, chance: Tensor, top: int) -> Tensor:
    """One of the `top` most probable of logits [B, K]: where the sum of their probabilities passes chance [B]."""
    best, index = logits.float().topk(min(top, logits.shape[-1]))
    passed = (best.softmax(-1).cumsum(-1) <= chance[:, None]).sum(-1, keepdim=True)
    return index.gather(-1, passed.clamp(max=best.shape[-1] - 1))[:, 0]
