"""The straight path from noise to data: points on it, guidance, and the three losses: flow, reflow, distillation.

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data). Equation numbers are those of arXiv 2406.00320.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [B, ...], t [B], c [B, ...] -> velocity [B, ...]
Weight = Callable[[Tensor], Tensor]  # t [B] -> weight of each item's error


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x0 + t x1 (equation 4). x0, x1 [B, ...], t [B] in 0..1."""
    t = t.view(-1, *[1] * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def logit_normal_weight(t: Tensor) -> Tensor:
    """Density of the logit-normal(0, 1) distribution at t in (0, 1), the weight under uniform t (equation 6)."""
    t = t.clamp(1e-5, 1 - 1e-5)
    return torch.exp(-torch.logit(t).square() / 2) / (math.sqrt(2 * math.pi) * t * (1 - t))


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


def flow_loss(velocity: Tensor, x0: Tensor, x1: Tensor, t: Tensor, weight: Weight = logit_normal_weight) -> Tensor:
    """Weighted rectified-flow loss: mean of w(t) |v - (x1 - x0)|^2 (equations 4 and 6). velocity [B, ...], t [B]."""
    error = (velocity - (x1 - x0)).square().flatten(1).mean(1)
    return (weight(t) * error).mean()


def reflow_loss(
    field: Field,
    x0: Tensor,
    x1: Tensor,
    t: Tensor,
    c: Tensor,
    null: Tensor,
    guidance: float,
    weight: Weight = logit_normal_weight,
) -> Tensor:
    """Flow loss of the guided velocity on pairs of the guided flow: noise x0 and where it led, x1 (equation 8).

    The guided field made the pairs, so it is the guided field that is straightened.
    """
    velocity = guided_velocity(field, interpolate(x0, x1, t), t, c, null, guidance)
    return flow_loss(velocity, x0, x1, t, weight)


def distillation_loss(field: Field, x0: Tensor, x1: Tensor, c: Tensor, null: Tensor, guidance: float) -> Tensor:
    """Mean of |x0 + v - x1|^2 with the guided velocity at t = 0, on the pairs of the reflow (equation 9)."""
    velocity = guided_velocity(field, x0, x0.new_zeros(len(x0)), c, null, guidance)
    return (x0 + velocity - x1).square().mean()
