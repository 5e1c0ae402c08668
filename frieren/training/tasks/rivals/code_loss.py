"""SpecVQGAN's loss: cross-entropy of every code, given the features and the codes before it."""

from __future__ import annotations

import torch
from torch import Tensor

from frieren.nets.rivals.codes import CodeTransformer


def code_loss(network: CodeTransformer, features: Tensor, latent: Tensor) -> Tensor:
    """Mean cross-entropy of the codes of latents [B, C, L], with the feature [B, L, D] of every column."""
    codes = network.encode(latent)
    logits = network(codes, network.condition(features)).float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten())
