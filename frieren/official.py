"""How the published checkpoints become ours: one table of module names per network, theirs -> ours.

A parameter keeps its last name (`weight`, `bias`, ...); only the module before it is renamed. Every key of a
checkpoint is either in the table or in the list of what is left out; anything else is an error. Names and shapes are
those of the official modules (paper section 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from frieren.errors import WeightsError

DIFFUSION_BUFFERS = (  # left from the latent diffusion code that the official release grew out of; unused there too
    "betas",
    "alphas_cumprod*",
    "sqrt_*alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "posterior_*",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "model_ema.*",
)


@dataclass(frozen=True)
class Table:
    """What happens to the keys of one checkpoint.

    Attributes:
        modules: module names, theirs -> ours.
        ignored: patterns of keys that are left out on purpose.
        prefixes: of keys, dropped before the table is asked; published files differ in them.
    """

    modules: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


def _under(theirs: str, ours: str, modules: Mapping[str, str]) -> dict[str, str]:
    """The same table one level deeper."""
    return {f"{theirs}.{key}".rstrip("."): f"{ours}.{value}".strip(".") for key, value in modules.items()}


def _flow() -> dict[str, str]:
    """Vector field: four blocks and what is around them."""
    block = {
        "norm": "norm",
        "proj_in": "conv_in",
        **{f"transformer_blocks.0.norm{index}": f"norm{index}" for index in (1, 2, 3)},
        **{
            f"transformer_blocks.0.attn{index}.to_{theirs}": f"attention{index}.{ours}"
            for index in (1, 2)
            for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"), ("out.0", "out"))
        },
        "transformer_blocks.0.ff.net.0.proj": "feed_forward.conv_in",
        "transformer_blocks.0.ff.net.2": "feed_forward.conv_out",
        "proj_out": "conv_out",
    }
    network = {
        "t_embedder.mlp.0": "embed_time.hidden",
        "t_embedder.mlp.2": "embed_time.out",
        "c_embedder.mlp.0": "embed_features.hidden",
        "c_embedder.mlp.2": "embed_features.out",
        "c_embedder.mlp.3": "embed_features.norm",
        "c_proj": "project_condition",
        "proj_in": "input",
        "x_proj": "project_input",
        "pos_emb": "positions",
        "final_layer.norm_final": "norm_out",
        "final_layer.conv1d": "output",
    }
    for index in range(4):
        network |= _under(f"blocks.{index}", f"blocks.{index}", block)
    return {"cond_stage_model.embedder.0": "embed_features.input", **_under("model.diffusion_model", "", network)}


def _autoencoder() -> dict[str, str]:
    """Mel autoencoder: three levels on both sides; two blocks a level in the encoder, three in the decoder."""
    residual = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "past"}
    attention = {"norm": "norm", "q": "query", "k": "key", "v": "value", "proj_out": "out"}
    side = {
        "conv_in": "conv_in",
        **_under("mid.block_1", "middle.0", residual),
        **_under("mid.attn_1", "middle.1", attention),
        **_under("mid.block_2", "middle.2", residual),
        "norm_out": "norm_out",
        "conv_out": "conv_out",
    }
    modules = {"quant_conv": "to_posterior", "post_quant_conv": "from_latent"}
    for name, way, blocks in (("encoder", "down", 2), ("decoder", "up", 3)):
        modules |= _under(name, name, side)
        for level in range(3):
            ours = f"{name}.levels.{level}"
            modules[f"{name}.{way}.{level}.{way}sample.conv"] = f"{ours}.resample.conv"
            for block in range(blocks):
                modules |= _under(f"{name}.{way}.{level}.block.{block}", f"{ours}.blocks.{block}", residual)
    return modules


def _vocoder() -> dict[str, str]:
    """BigVGAN: six stages of three residual blocks of three units; theirs counts blocks and activations through."""
    modules = {"conv_pre": "conv_in", "activation_post.act": "activation_out", "conv_post": "conv_out"}
    for stage in range(6):
        modules[f"ups.{stage}.0"] = f"stages.{stage}.up"
        for block in range(3):
            theirs, ours = f"resblocks.{3 * stage + block}", f"stages.{stage}.blocks.{block}"
            for unit in range(3):
                modules[f"{theirs}.activations.{2 * unit}.act"] = f"{ours}.{unit}.activation1"
                modules[f"{theirs}.convs1.{unit}"] = f"{ours}.{unit}.conv1"
                modules[f"{theirs}.activations.{2 * unit + 1}.act"] = f"{ours}.{unit}.activation2"
                modules[f"{theirs}.convs2.{unit}"] = f"{ours}.{unit}.conv2"
    return modules


def _video() -> dict[str, str]:
    """CAVP's video tower: stages of 3, 4, 6 and 3 bottlenecks."""
    parts = {"conv1": "narrow", "conv2": "look", "conv3": "widen", "downsample": "past"}
    layers = {"conv1": "stem"}
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            layers |= _under(f"layer{stage + 1}.{block}", f"stages.{stage}.{block}", parts)
    modules = {"video_project_head": "project"}
    for theirs, ours in _under("video_encoder", "", layers).items():
        modules |= {f"{theirs}.conv": f"{ours}.conv", f"{theirs}.bn": f"{ours}.norm"}
    return modules


def _spectrogram() -> dict[str, str]:
    """CAVP's audio tower: six blocks of two convolutions."""
    modules = {"bn": "norm", "fc1": "hidden", "final_project": "project"}
    for block in range(6):
        for theirs, ours in (("conv1", "conv1"), ("bn1", "norm1"), ("conv2", "conv2"), ("bn2", "norm2")):
            modules[f"conv_block{block + 1}.{theirs}"] = f"blocks.{block}.{ours}"
    return _under("spec_encoder", "", modules)


def _cavp() -> dict[str, str]:
    """Both towers of CAVP and the temperature, which belongs to no module."""
    towers = {"video": _video(), "audio": _spectrogram()}
    return {"": ""} | {theirs: f"{name}.{ours}" for name, tower in towers.items() for theirs, ours in tower.items()}


TABLES: Mapping[str, Table] = {
    "flow": Table(_flow(), ("first_stage_model.*", *DIFFUSION_BUFFERS)),
    "autoencoder": Table(
        _autoencoder(),
        ("model.diffusion_model.*", "cond_stage_model.*", "loss.*", *DIFFUSION_BUFFERS),  # loss: the discriminator
        prefixes=("first_stage_model.",),
    ),
    "vocoder": Table(_vocoder(), ("*.filter",)),  # a constant that the network computes
    "video": Table(_video(), ("spec_encoder.*", "logit_scale"), prefixes=("module.",)),
    "cavp": Table(_cavp(), prefixes=("module.",)),
}


def rename(part: str, keys: Iterable[str]) -> dict[str, str]:
    """The name of every parameter of a published checkpoint in our networks.

    Args:
        part: which network: "flow" (`nets.field.VectorField`), "autoencoder", "vocoder", "video"
            (`nets.cavp.VideoTower`) or "cavp" (both towers). The flow checkpoint holds the autoencoder as well.
        keys: of the checkpoint's state dict.

    Returns:
        theirs -> ours, in the order of `keys`, without the keys that are left out on purpose. Weight-normalised
        parameters are still pairs, `weight_g` and `weight_v` (`convert` folds them).

    Raises:
        WeightsError: if a key has no place, or two keys have the same.
    """
    table, names, taken = TABLES[part], {}, {}
    for key in keys:
        short = key
        for prefix in table.prefixes:
            short = short.removeprefix(prefix)
        module, _, leaf = short.rpartition(".")
        if any(fnmatchcase(short, pattern) for pattern in table.ignored):
            continue
        if module not in table.modules:
            raise WeightsError(f"{key!r} has no place in the {part}: is this the published {part} checkpoint?")
        ours = f"{table.modules[module]}.{leaf}".removeprefix(".")
        if ours in taken:
            raise WeightsError(f"{taken[ours]!r} and {key!r} are both {ours!r} in the {part}: remove one of them")
        names[key], taken[ours] = ours, key
    return names


def convert(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict as one for our network: renamed, weight normalisation folded.

    Raises:
        WeightsError: if a key has no place, two have the same, or half of a weight-normalised pair is missing.
    """
    ours = {name: state[key] for key, name in rename(part, state).items()}
    for name in [name for name in ours if name.endswith(".weight_v")]:
        weight = name.removesuffix("_v")
        if f"{weight}_g" not in ours:
            raise WeightsError(f"{name!r} has no {weight}_g beside it in the {part}: the file is incomplete")
        ours[weight] = fold(ours.pop(f"{weight}_g"), ours.pop(name))
    return ours


def fold(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Weight normalisation as a plain weight: g v / |v|, the norm over all axes but the first.

    Args:
        magnitude: [N, 1, ...], direction: [N, ...].
    """
    norm = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.ndim)), keepdim=True)
    return direction * (magnitude / norm)
