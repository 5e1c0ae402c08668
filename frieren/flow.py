"""The straight path from noise to data: points on it, and guidance. Its losses are in `training.tasks.flow_losses`.

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data). Equation numbers are those of arXiv 2406.00320.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [B, ...], t [B], c [B, ...] -> velocity [B, ...]


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x0 + t x1 (equation 4). x0, x1 [B, ...], t [B] in 0..1."""
    t = t.view(-1, *[1] * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def guide(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: gamma v(x, t | c) + (1 - gamma) v(x, t | null) (equation 7)."""
    return unconditional + guidance * (conditional - unconditional)


def guided_velocity(
    field: Field, x: Tensor, t: Tensor, c: Tensor, null: Tensor, guidance: float, guidance_rescale: float = 0.0
) -> Tensor:
    """The guided velocity, from one batch of null and given conditions; without guidance from the given ones alone.

    Args:
        x: [B, ...].
        t: [B].
        c, null: [B, ...] the conditions.
        guidance_rescale: a smaller guidance: every item's velocity is rescaled to the standard deviation that it would
            have with that. Strong guidance makes velocities larger, and the sound louder, than any that was learnt
            (section 3.4 of arXiv 2305.08891, where the smaller one is 1). 0: not rescaled.
    """
    if guidance == 1:
        return field(x, t, c)
    velocities = field(torch.cat([x, x]), torch.cat([t, t]), torch.cat([null, c]))
    unconditional, conditional = velocities.chunk(2)
    velocity = guide(conditional, unconditional, guidance)
    if not 0 < guidance_rescale < guidance:
        return velocity
    inner, kept = tuple(range(1, x.ndim)), guide(conditional, unconditional, guidance_rescale)
    return velocity * (kept.std(inner, keepdim=True) / velocity.std(inner, keepdim=True))
