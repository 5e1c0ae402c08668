"""Adversarial losses: least squares, the penalty on the discriminator's gradient, the adaptive weight."""

from __future__ import annotations

import torch
from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares (arXiv 1611.04076) of a discriminator's scores: 1 for what is real, 0 for what is generated."""
    return (1 - real).square().mean() + fake.square().mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """Mean square of the gradient of a discriminator's summed logits by its real input (arXiv 1801.04406).

    The mean is over the elements of the input, as in Make-An-Audio 2. `real` must require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """Weight that gives both losses gradients of one size at the decoder's last parameter (arXiv 2012.09841).

    Bounded by 1e4; carries no gradient.
    """
    ours, theirs = (torch.autograd.grad(loss, last, retain_graph=True)[0] for loss in (reconstruction, adversarial))
    return (ours.norm() / (theirs.norm() + 1e-4)).clamp(max=1e4).detach()
