"""The networks once more, for inference on a CPU: the same sums in the order that processors like, without gradients.

The plain networks beside this folder are what is trained and what these are tested and timed against.
"""

from __future__ import annotations

from importlib import import_module

import torch
from torch import nn

# Plain networks -> where the fast ones are, of which a model imports those that it has.
FAST = {
    "VideoTower": ("cavp", "FastTower"),
    "VectorField": ("field", "FastField"),
    "MelAutoencoder": ("autoencoder", "FastAutoencoder"),
    "BigVGAN": ("bigvgan", "FastBigVGAN"),
}


def hastened(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A fast network with these parameters that computes in `dtype`; without one, the network itself.

    There is none of a field with cross-attention, which is for comparison alone.
    """
    if type(network).__name__ not in FAST or getattr(network.config, "conditioning", "") == "cross-attention":
        return network
    module, name = FAST[type(network).__name__]
    with torch.inference_mode(False):  # parameters made in inference mode could not be used outside it
        fast: nn.Module = getattr(import_module(f"frieren.nets.fast.{module}"), name)(network, dtype)
    return fast
