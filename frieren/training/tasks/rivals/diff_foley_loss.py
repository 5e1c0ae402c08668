"""Diff-Foley's three losses: contrast of frames and sounds, noise of the diffusion, alignment of noisy latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.diffusion import diffuse
from frieren.nets.rivals.diff_foley import DiffFoley
from frieren.noise_schedule import TIMES
from frieren.training.tasks.contrast import SHARPEST, info_nce

SEGMENTS = 4  # of a window, which the temporal contrast tells apart
SHIFT = 16  # latent columns by which a shifted sound is late at least: 0.5 s


def diff_foley_losses(network: DiffFoley, x0: Tensor, x1: Tensor, t: Tensor, features: Tensor) -> dict[str, Tensor]:
    """The losses, by name. U-Net and classifier take the contrastive features as they are: no gradient reaches them.

    Args:
        x0, x1: noise and data [B, C, L].
        t: [B] in 0..1; k = floor(1000 t).
        features: [B, L, D], zero where nothing is given; such items teach the U-Net alone.
    """
    given = features.flatten(1).any(1)
    c = network.condition(features)
    losses = {"contrast": contrast_loss(network, c[given], x1[given])} if given.any() else {}
    k = (t * TIMES).long().clamp(max=TIMES - 1)
    c, x, t = c.detach(), diffuse(x0, x1, k), k / TIMES
    losses["noise"] = (network(x, t, c) - x0).square().mean()
    if given.sum() > 1:
        losses["alignment"] = alignment_loss(network, x[given], t[given], c[given])
    return losses


def contrast_loss(network: DiffFoley, video: Tensor, latent: Tensor) -> Tensor:
    """Contrast between all segments of the batch, and between those of each window; video [B, P, E]."""
    pairs = []
    for vectors in (video, network.sound(latent)):
        segments = torch.stack([part.amax(1) for part in vectors.chunk(SEGMENTS, 1)], 1)
        pairs.append(F.normalize(segments, dim=-1))
    scale = network.logit_scale.exp().clamp(max=SHARPEST)
    frames, sounds = pairs
    return info_nce(frames.flatten(0, 1), sounds.flatten(0, 1), scale) + info_nce(frames, sounds, scale)


def alignment_loss(network: DiffFoley, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Binary cross-entropy of matched, of shifted and of mismatched sounds; the first count as much as the others."""
    columns = x.shape[-1]
    late = SHIFT + int(torch.randint(max(1, columns - 2 * SHIFT), ()))
    matched = F.softplus(-network.align(x, t, c)).mean()
    shifted = F.softplus(network.align(x.roll(late, -1), t, c)).mean()
    mismatched = F.softplus(network.align(x.roll(1, 0), t.roll(1, 0), c)).mean()
    return (matched + (shifted + mismatched) / 2) / 2
