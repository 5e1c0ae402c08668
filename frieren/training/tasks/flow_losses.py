"""Losses of the vector field: flow, reflow and one-step distillation (equations of arXiv 2406.00320), and of onsets.

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data). The onset loss asks whether levels rise at the end of the
flow when they rise in the real sound: onsets are what a viewer holds against the picture, and little of a latent's
squared error; a classification loss is content with a sound of the right kind at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.flow import Field, guided_velocity, interpolate

Weight = Callable[[Tensor], Tensor]  # t [B] -> weight of each item's error
DEPTH = 4.0  # log10 units below the loudest in which rises count: 80 dB, as where onsets are detected
BLUR = (0.25, 0.5, 0.25)  # of two columns: an onset that is a column off is half right


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


def onset_strength(mel: Tensor) -> Tensor:
    """How much the level rises from each column of log10 mels [B, M, T] to the next, mean over bins: [B, T - 1].

    The spectral flux that `librosa.onset.onset_strength` has, blurred by a column.
    """
    audible = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - DEPTH)
    rises = audible.diff(dim=-1).relu().mean(1)
    return F.conv1d(rises[:, None], rises.new_tensor(BLUR)[None, None], padding=1)[:, 0]


def onset_loss(mel: Tensor, real: Tensor, counted: Tensor) -> Tensor:
    """One minus the cosine of two sounds' onset strengths, mean over those that count.

    Args:
        mel: log10 mels [B, M, T] of the end of the flow.
        real: of the real sounds, [B, M, T].
        counted: [B] bool; where nothing strikes, rises are the sound's texture, and chance.
    """
    distances = 1 - F.cosine_similarity(onset_strength(mel), onset_strength(real), dim=-1)
    return (distances * counted).sum() / counted.sum().clamp(min=1)
