"""Weights that anybody can draw again, and what the published implementation answered with them.

Every tensor of a published checkpoint is drawn from a generator that is seeded with the tensor's own name. The
answers in `data/golden.npz` were computed by the official code at full size; `data/official_keys.json` lists the keys
and shapes of its checkpoints.
"""

from __future__ import annotations

import json
import math
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from frieren.official import tables

DATA = Path(__file__).parent / "data"
SEED = 0
FILES = {  # which checkpoint a network comes from, and what its keys are prefixed with for the draw
    "field": ("flow", ""),
    "autoencoder": ("flow", ""),
    "vocoder": ("vocoder", "generator."),
    "encoder": ("cavp", "cavp."),
    "cavp": ("cavp", "cavp."),
}


@cache
def golden() -> dict[str, Tensor]:
    """Inputs and outputs of the published implementation."""
    with np.load(DATA / "golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@cache
def official_shapes(file: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of one published checkpoint: "flow" (with the autoencoder), "vocoder" or "cavp"."""
    keys = json.loads((DATA / "official_keys.json").read_text())["keys"][file]
    return {key: tuple(size for size in shape if isinstance(size, int)) for key, shape in keys.items()}


def draw(key: str, shape: tuple[int, ...], prefix: str) -> Tensor:
    """One tensor; its distribution follows from the last part of its name."""
    rng = np.random.default_rng(zlib.crc32(f"{SEED}:{prefix}{key}".encode()))
    last = key.rpartition(".")[-1]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if last == "filter":
        return golden()["filter"]
    normal = torch.from_numpy(np.asarray(rng.standard_normal(shape), dtype=np.float32))
    if last == "weight_g":
        return 0.8 + 0.2 * normal.abs()
    if last in ("alpha", "beta", "running_mean"):
        return 0.1 * normal
    if last == "running_var":
        return 0.5 + normal.abs()
    if last == "bias":
        return 0.05 * normal
    if len(shape) <= 1:
        return 1 + 0.1 * normal
    return normal / math.sqrt(math.prod(shape[1:]))


def fill(part: str, network: type[nn.Module], config: object) -> nn.Module:
    """A network with the drawn weights, by way of the published names; ready to be compared."""
    file, prefix = FILES[part]
    shapes = official_shapes(file)
    state = {key: draw(key, shapes[key], prefix) for key in tables.rename(part, shapes)}
    with torch.device("meta"):
        net = network(config)
    net.load_state_dict(tables.convert(part, state), strict=True, assign=True)
    return net.eval().requires_grad_(False)


def error(value: Tensor, expected: Tensor) -> float:
    """Relative error ||value - expected|| / ||expected||."""
    assert value.shape == expected.shape, f"shape {tuple(value.shape)}, expected {tuple(expected.shape)}"
    return (torch.linalg.vector_norm(value - expected) / torch.linalg.vector_norm(expected)).item()
