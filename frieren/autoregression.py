"""Features -> latent by codes that are written one after the other, window after window."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.clock import Clock
from frieren.flow import guide
from frieren.nets.field import column_frames
from frieren.nets.rivals.codes import CodeTransformer
from frieren.windows import window_starts


@torch.inference_mode()
def sample_codes(
    network: CodeTransformer, features: Tensor, times: Tensor, noise: Tensor, clock: Clock, guidance: float
) -> Iterator[tuple[float, Tensor]]:
    """Yields (share that is done, latent [B, C, L]) after every window; the last is whole.

    A window begins with the codes that the one before has written where they overlap.

    Args:
        features: [B, F, D].
        times: [F] seconds at which the frames are displayed.
        noise: [B, C, L], from whose first channels codes are drawn: a column of codes depends on nothing else.
    """
    config = network.config
    join, columns = config.join, noise.shape[-1]
    total, window = -(-columns // join), clock.window // join
    starts, size = window_starts(total, window, clock.overlap // join)
    seconds = torch.tensor(clock.column_times(total * join), dtype=torch.float64)
    rows = features.index_select(1, column_frames(times, seconds).to(features.device))
    chance = torch.special.ndtr(F.pad(noise, (0, total * join - columns))[:, : config.groups, ::join]).mT
    codes = torch.zeros(len(features), 0, config.groups, dtype=torch.int64, device=features.device)
    for done, start in enumerate(starts, 1):
        shown = rows[:, start * join : (start + size) * join]
        shown = F.pad(shown.mT, (0, -shown.shape[1] % config.pool), mode="replicate").mT
        c, null = network.condition(shown), network.condition(torch.zeros_like(shown))
        part = draw(network, c, null, chance[:, start : start + size], codes[:, start:], guidance)
        codes = torch.cat([codes[:, :start], part], dim=1)
        yield done / len(starts), network.decode(codes)[..., :columns]


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
    codes, chance, cache = begin.flatten(1), chance.flatten(1), None
    tokens = torch.cat([c if times == 1 else torch.cat([c, null]), network.embed(begin).repeat(times, 1, 1)], dim=1)
    for index in range(codes.shape[1], total * groups):
        logits, cache = network.step(tokens, cache, index)
        if times == 2:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, guidance)
        drawn = pick(logits, chance[:, index], network.config.top)
        codes = torch.cat([codes, drawn[:, None]], dim=1)
        tokens = network.embed(drawn[:, None, None], index % groups).repeat(times, 1, 1)
    return codes.unflatten(1, (-1, groups))


def pick(logits: Tensor, chance: Tensor, top: int) -> Tensor:
    """One of the `top` most probable of logits [B, K]: where the sum of their probabilities passes chance [B]."""
    best, index = logits.float().topk(min(top, logits.shape[-1]))
    passed = (best.softmax(-1).cumsum(-1) <= chance[:, None]).sum(-1, keepdim=True)
    return index.gather(-1, passed.clamp(max=best.shape[-1] - 1))[:, 0]
