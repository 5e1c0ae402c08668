"""Models of random parameters, always the same ones: noise, but real shapes in time.

`tiny` has about 100 k of them, for tests from end to end; `published` has the published sizes, so that speed can be
measured without a download.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from frieren.clock import Clock
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import BigVGAN, BigVGANConfig
from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.nets.field import FieldConfig, VectorField
from frieren.nets.vocos import Vocos, VocosConfig
from frieren.weights import ModelConfig


def tiny_model() -> tuple[ModelConfig, dict[str, nn.Module]]:
    """Config and parts; the rates are those of `mini`."""
    clock = Clock(fps=25.0, window=160, overlap=48)
    encoder = CAVPConfig(
        width=4,
        blocks=(1, 1),
        expansion=2,
        stem_kernel=(3, 5, 5),
        temporal_kernels=(3, 3),
        embed=16,
        image_size=32,
        context=3,
    )
    autoencoder = AutoencoderConfig(width=8, multipliers=(1, 2), blocks=1, groups=8, attention=False)
    flow = FieldConfig(
        features=16,
        context=16,
        width=32,
        depth=1,
        heads=2,
        ffn_mult=2,
        ffn_kernel=3,
        positions=161,
        time_features=32,
        regulator="time",
    )
    vocoder = partial(Vocos, VocosConfig(width=16, hidden=32, blocks=2))
    config = ModelConfig("tiny", "random parameters, for tests", steps=4, clock=clock)
    return config, drawn(encoder, autoencoder, flow, vocoder)


def published_model() -> tuple[ModelConfig, dict[str, nn.Module]]:
    """Config and parts of the published sizes (paper section 4)."""
    config = ModelConfig("published", "published sizes, random parameters, to measure speed", windows="published")
    parts = drawn(CAVPConfig(), AutoencoderConfig(), FieldConfig(), partial(BigVGAN, BigVGANConfig()))
    return config, parts


def drawn(
    encoder: CAVPConfig, autoencoder: AutoencoderConfig, flow: FieldConfig, vocoder: Callable[[], nn.Module]
) -> dict[str, nn.Module]:
    """Networks of these sizes for inference; the random state of the caller is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {
            "encoder": VideoTower(encoder),
            "autoencoder": MelAutoencoder(autoencoder),
            "field": VectorField(flow),
            "vocoder": vocoder(),
        }
    return {name: part.eval().requires_grad_(False) for name, part in parts.items()}
