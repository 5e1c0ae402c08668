"""The loss of SpecVQGAN and Im2Wav: cross-entropy of every code, given the features and the codes before it."""

from __future__ import annotations

import torch
from torch import Tensor

from frieren.nets.rivals.im2wav import CodeWriter


def code_loss(network: CodeWriter, features: Tensor, latent: Tensor) -> Tensor:
    """Mean cross-entropy of the codes of latents [B, C, L], with the feature [B, L, D] of every column.

    Of several levels it is the mean of theirs; each is given the true codes of the one before.
    """
    losses: list[Tensor] = []
    coarse = None
    for level in network.levels:
        codes = level.encode(latent)
        logits = level(codes, level.condition(features, coarse)).float()
        losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten()))
        coarse = level.decode(codes)
    return torch.stack(losses).mean()
