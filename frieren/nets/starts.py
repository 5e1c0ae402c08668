"""Starts of networks from data, not from random numbers. None is published; docs/training.md has what they gained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.field import FeatureEmbedding
from frieren.nets.vocos import Vocos

MIN_VARIANCE = 1e-6  # of a component, as a share of all variance; less is not whitened up to 1
START_LOG_VARIANCE = -7.0  # of the posterior of an autoencoder that starts from principal components


@torch.no_grad()
def start_white(network: FeatureEmbedding, features: Tensor) -> None:
    """Make the input linear the whitening of features [N, D]: principal components, each of variance 1.

    Nearly all variance of an encoder's features may lie in a few directions. Learning begins with what is large;
    whitened, all is.
    """
    mean, rows = features.double().mean(0), min(network.input.weight.shape)
    centred = features.double() - mean
    variances, vectors = torch.linalg.eigh(centred.mT @ centred / len(centred))
    white = (vectors / variances.clamp(min=MIN_VARIANCE * variances.sum()).sqrt()).mT.flip(0)[:rows]
    network.input.weight[:rows] = white.to(network.input.weight)
    network.input.bias[:rows] = -(white @ mean).to(network.input.bias)


@torch.no_grad()
def start_from_components(network: MelAutoencoder, mels: Tensor) -> None:
    """Put the principal components of mels [N, M, T] into the shortcut; the networks add nothing yet.

    A component of standard deviation s gets the standard deviation sqrt(s) in the latent, times what makes their
    mean variance 1: large ones stay ahead, and small ones are not lost in the noise of a flow.
    """
    latent, stride = network.config.latent, network.config.stride
    rows = mels[..., : mels.shape[-1] // stride * stride].unflatten(-1, (-1, stride))
    rows = rows.transpose(1, 2).flatten(2).flatten(0, 1).double()  # [N L, M stride]
    mean = rows.mean(0)
    variances, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    deviations, vectors = variances[-latent:].flip(0).clamp(min=1e-8).sqrt(), vectors[:, -latent:].flip(1).T
    size = (deviations * deviations.mean()).rsqrt()[:, None]
    biases = network.analysis.bias, network.synthesis.bias, network.to_posterior.bias
    analysis, synthesis, posterior = (bias for bias in biases if bias is not None)
    network.analysis.weight.copy_((size * vectors).unflatten(1, (-1, stride)))
    analysis.copy_(-(size * vectors) @ mean)
    network.synthesis.weight.copy_((vectors / size).unflatten(1, (-1, stride)))
    synthesis.copy_(mean.unflatten(0, (-1, stride)).mean(1))
    for layer in (network.to_posterior, network.decoder.conv_out):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    posterior[latent:] = START_LOG_VARIANCE


@torch.no_grad()
def start_from_filters(network: Vocos, filters: Tensor) -> None:
    """Put the pseudo-inverse of mel filters [M, n_fft / 2 + 1] into the shortcut; pulses are mid-frame, uncorrected."""
    network.spread.weight.copy_(torch.linalg.pinv(filters.double()))
    magnitude, phase = network.head.weight.chunk(2)
    nn.init.zeros_(magnitude)
    network.head.bias[len(magnitude) :] = math.pi * (torch.arange(len(phase)) % 2)
