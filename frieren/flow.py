"""The straight path from noise to data: points on it, its target, the weight of the loss, guidance.

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data). Equation numbers are those of arXiv 2406.00320.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x0 + t x1 (equation 4). x0, x1 [B, ...], t [B] in 0..1."""
    t = t.view(-1, *[1] * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def logit_normal_weight(t: Tensor) -> Tensor:
    """Density of the logit-normal(0, 1) law at t in (0, 1): the weight of the loss under uniform t (equation 6)."""
    t = t.clamp(1e-5, 1 - 1e-5)
    return torch.exp(-torch.logit(t).square() / 2) / (math.sqrt(2 * math.pi) * t * (1 - t))


def guide(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: gamma v(x, t | c) + (1 - gamma) v(x, t | null) (equation 7)."""
    return unconditional + guidance * (conditional - unconditional)


def flow_loss(velocity: Tensor, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """Weighted rectified-flow loss: mean of w(t) |v - (x1 - x0)|^2 (equations 4 and 6). velocity [B, ...], t [B]."""
    error = (velocity - (x1 - x0)).square().flatten(1).mean(1)
    return (logit_normal_weight(t) * error).mean()
