"""The three losses of the vector field: flow, reflow and one-step distillation (equations of arXiv 2406.00320).

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from frieren.flow import Field, guided_velocity, interpolate

Weight = Callable[[Tensor], Tensor]  # t [B] -> weight of each item's error


def logit_normal_weight(t: Tensor) -> Tensor:
    """Density of the logit-normal(0, 1) distribution at t in (0, 1), the weight under uniform t (equation 6)."""
    t = t.clamp(1e-5, 1 - 1e-5)
    return torch.exp(-torch.logit(t).square() / 2) / (math.sqrt(2 * math.pi) * t * (1 - t))


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
