"""Losses of the vector field: flow, reflow and one-step distillation (equations of arXiv 2406.00320), and of onsets;
and those of two rivals in the same network, diffusion (LDM) and MeanFlow.

x0 is noise, x1 is data, t runs from 0 (noise) to 1 (data). The onset loss asks whether levels rise at the end of the
flow when they rise in the real sound: onsets are what a viewer holds against the picture, and little of a latent's
squared error; a classification loss is content with a sound of the right kind at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from frieren.diffusion import diffuse
from frieren.flow import Field, guide, guided_velocity, interpolate
from frieren.noise_schedule import TIMES


class AverageField(Protocol):
    """A network of the average velocity over [t, t + span], and its condition of nothing."""

    def __call__(self, x: Tensor, t: Tensor, c: Tensor, span: Tensor) -> Tensor: ...

    def null_condition(self, like: Tensor) -> Tensor: ...


Weight = Callable[[Tensor], Tensor]  # t [B] -> weight of each item's error
DEPTH = 4.0  # log10 units below the loudest in which rises count: 80 dB, as where onsets are detected
SMALL = 1e-3  # added to MeanFlow's error where it divides by it
BLUR = (0.25, 0.5, 0.25)  # of two columns: an onset that is a column off is half right
NEAR = 4  # columns of a mel about a strike in which its sound may begin: 64 ms
AUDIBLE = 0.1  # of the largest rise, from which on a rise may be heard as an onset


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


def diffusion_loss(network: Field, x0: Tensor, x1: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """Mean of |network(x_k, k / 1000) - x0|^2 at k = floor(1000 t): a latent diffusion model predicts the noise."""
    k = (t * TIMES).long().clamp(max=TIMES - 1)
    return (network(diffuse(x0, x1, k), k / TIMES, c) - x0).square().mean()


def average_velocity_target(
    network: AverageField, x: Tensor, t: Tensor, c: Tensor, span: Tensor, velocity: Tensor
) -> Tensor:
    """What the MeanFlow identity asks of the average velocity u over [t, t + span]: v + span du/dt (no gradient).

    Its derivative follows the path while the span's end stays: dx/dt = v, dspan/dt = -1. (Equation 6 of
    arXiv 2505.13447, whose time runs the other way.) Items without a span need no derivative.

    Args:
        x, velocity: [B, ...] points, and the velocity of the path through each.
        t, span: [B].
    """
    target, some = velocity.clone(), span > 0
    if not some.any():
        return target
    x, t, c, span, v = (each[some] for each in (x, t, c, span, velocity))
    tangents = (v, torch.ones_like(t), -torch.ones_like(span))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward derivative
        derivative = torch.func.jvp(lambda x, t, span: network(x, t, c, span).float(), (x, t, span), tangents)[1]
    shape = -1, *[1] * (x.ndim - 1)
    target[some] = v + span.view(shape) * derivative
    return target


def mean_flow_loss(
    network: AverageField,
    x0: Tensor,
    x1: Tensor,
    t: Tensor,
    c: Tensor,
    span: Tensor,
    given: Tensor,
    guidance: float = 1.0,
    power: float = 1.0,
) -> Tensor:
    """MeanFlow: squared distance of the average velocity from what its identity asks for, adaptively weighted.

    Args:
        t, span: [B], t + span at most 1.
        c: [B, ...] conditions, those of nothing where `given` [B] is False.
        guidance: of the field that is learnt: v becomes guidance v + (1 - guidance) u(x, t | nothing), so that one
            evaluation is guided (section 4.2).
        power: the error is divided by its own value to this power; 0: not at all.
    """
    x, velocity, shape = interpolate(x0, x1, t), x1 - x0, (-1, *[1] * (x1.ndim - 1))
    if guidance != 1:
        with torch.no_grad():
            null = network.null_condition(c)
            guided = guide(velocity, network(x, t, null, torch.zeros_like(t)).float(), guidance)
        velocity = torch.where(given.view(shape), guided, velocity)
    target = average_velocity_target(network, x, t, c, span, velocity)
    error = (network(x, t, c, span).float() - target).square().flatten(1).mean(1)
    return (error / (error.detach() + SMALL) ** power).mean()


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


def stray_onset_loss(mel: Tensor, strikes: Tensor, counted: Tensor) -> Tensor:
    """Share of a sound's rises that are not near a strike of its cue sheet, mean over those that count.

    The onset loss cannot ask for this on pairs: there the real sound is another model's, with its stray onsets.

    Args:
        mel: log10 mels [B, M, T] of the end of the flow.
        strikes: [B, L] of the sheet (`conditioning.strikes_of`), 0 where nothing strikes; L divides T.
        counted: [B] bool.
    """
    strength = F.pad(onset_strength(mel), (1, 0))
    rises = (strength - AUDIBLE * strength.amax(-1, keepdim=True)).relu()
    struck = (strikes > 0).float().repeat_interleave(mel.shape[-1] // strikes.shape[-1], dim=-1)
    near = F.max_pool1d(struck[:, None], 2 * NEAR + 1, 1, NEAR)[:, 0]
    shares = (rises * (1 - near)).sum(-1) / rises.sum(-1).clamp(min=SMALL)
    return (shares * counted).sum() / counted.sum().clamp(min=1)
