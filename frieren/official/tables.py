"""One table of module names per network, theirs -> ours.

A parameter keeps its last name (`weight`, `bias`, ...); only the module before it is renamed. Every key of a
checkpoint is either in the table or in the list of what is left out; anything else is an error. Names and shapes are
those of the official modules (paper section 13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from frieren.errors import WeightsError
from frieren.nets.autoencoder import AutoencoderConfig
from frieren.nets.bigvgan import BigVGANConfig
from frieren.nets.cavp import CAVPConfig
from frieren.nets.cavp_pair import CAVPPairConfig, SpectrogramConfig
from frieren.nets.field import FieldConfig

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
    """New names of the keys of one checkpoint, and the keys that are left out.

    Attributes:
        modules: module names, theirs -> ours.
        ignored: patterns of keys that are left out on purpose.
        prefixes: of keys, dropped before the table is asked; published files differ in them.
    """

    modules: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def place(self, key: str) -> str | None:
        """Our name of their key; None for one that is left out on purpose.

        Raises:
            KeyError: if the key is neither in the table nor left out.
        """
        if self.left_out(key):
            return None
        module, _, leaf = self.short(key).rpartition(".")
        return f"{self.modules[module]}.{leaf}".removeprefix(".")

    def short(self, key: str) -> str:
        """Their key without its prefixes."""
        for prefix in self.prefixes:
            key = key.removeprefix(prefix)
        return key

    def left_out(self, key: str) -> str | None:
        """The pattern for which a key is left out on purpose."""
        return next((pattern for pattern in self.ignored if fnmatchcase(self.short(key), pattern)), None)

    def published_name(self, name: str) -> str:
        """Their key for our name: what to look for in the file."""
        module, _, leaf = name.rpartition(".")
        theirs = next(theirs for theirs, ours in self.modules.items() if ours == module)
        return f"{theirs}.{leaf}".removeprefix(".")

    def rename(self, part: str, keys: Iterable[str]) -> dict[str, str]:
        """The place of every key that has one, theirs -> ours; `part` is what an error calls the network.

        Raises:
            WeightsError: if a key has no place, or two keys have the same.
        """
        names: dict[str, str] = {}
        taken: dict[str, str] = {}
        for key in keys:
            try:
                ours = self.place(key)
            except KeyError:
                raise WeightsError(f"{key!r} has no place in the {part}: is this the published checkpoint?") from None
            if ours is None:
                continue
            if ours in taken:
                raise WeightsError(f"{taken[ours]!r} and {key!r} are both {ours!r} in the {part}: remove one of them")
            names[key], taken[ours] = ours, key
        return names

    def convert(self, part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict under our names, weight normalisation folded; `part` is what an error calls the network.

        Raises:
            WeightsError: if a key has no place, two have the same, or half of a weight-normalised pair is missing.
        """
        ours = {name: state[key] for key, name in self.rename(part, state).items()}
        for name in [name for name in ours if name.endswith(".weight_v")]:
            weight = name.removesuffix("_v")
            if f"{weight}_g" not in ours:
                raise WeightsError(f"{name!r} has no {weight}_g beside it in the {part}: the file is incomplete")
            ours[weight] = fold(ours.pop(f"{weight}_g"), ours.pop(name))
        return ours


def under(theirs: str, ours: str, modules: Mapping[str, str]) -> dict[str, str]:
    """The same table one level deeper."""
    return {f"{theirs}.{key}".rstrip("."): f"{ours}.{value}".strip(".") for key, value in modules.items()}


ATTENTIONS = {  # of a block of latent diffusion's transformer, which the field and Diff-Foley's classifier both have
    **{f"transformer_blocks.0.norm{index}": f"norm{index}" for index in (1, 2, 3)},
    **{
        f"transformer_blocks.0.attn{index}.to_{theirs}": f"attention{index}.{ours}"
        for index in (1, 2)
        for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"), ("out.0", "out"))
    },
}


def _blocks(depth: int) -> dict[str, str]:
    """The blocks of the vector field."""
    block = {
        "norm": "norm",
        "proj_in": "conv_in",
        **ATTENTIONS,
        "transformer_blocks.0.ff.net.0.proj": "feed_forward.conv_in",
        "transformer_blocks.0.ff.net.2": "feed_forward.conv_out",
        "proj_out": "conv_out",
    }
    modules: dict[str, str] = {}
    for index in range(depth):
        modules |= under(f"blocks.{index}", f"blocks.{index}", block)
    return modules


def _denoiser(config: FieldConfig) -> Table:
    """The layers that Make-An-Audio 2's denoiser shares with the vector field, which the authors started from."""
    network = {
        "t_embedder.mlp.0": "embed_time.hidden",
        "t_embedder.mlp.2": "embed_time.out",
        "proj_in": "input",
        "pos_emb": "positions",
        "final_layer.norm_final": "norm_out",
        "final_layer.conv1d": "output",
        **_blocks(config.depth),
    }
    text = ("model.diffusion_model.c1_embedder.*", "model.diffusion_model.c2_embedder.*", "cond_stage_model.*")
    return Table(under("model.diffusion_model", "", network), (*text, "first_stage_model.*", *DIFFUSION_BUFFERS))


def _field(config: FieldConfig) -> Table:
    """The vector field; its checkpoint holds the mel autoencoder as well."""
    video = {
        "c_embedder.mlp.0": "embed_features.hidden",
        "c_embedder.mlp.2": "embed_features.out",
        "c_embedder.mlp.3": "embed_features.norm",
        "c_proj": "project_condition",
        "x_proj": "project_input",
    }
    modules = {
        "cond_stage_model.embedder.0": "embed_features.input",
        **under("model.diffusion_model", "", video),
        **_denoiser(config).modules,
    }
    return Table(modules, ("first_stage_model.*", *DIFFUSION_BUFFERS))


def _autoencoder(config: AutoencoderConfig) -> Table:
    """Mel autoencoder: levels on both sides, with one block a level more in the decoder."""
    residual = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "skip"}
    attention = {"norm": "norm", "q": "query", "k": "key", "v": "value", "proj_out": "out"}
    side = {
        "conv_in": "conv_in",
        **under("mid.block_1", "middle.0", residual),
        **under("mid.attn_1", "middle.1", attention),
        **under("mid.block_2", "middle.2", residual),
        "norm_out": "norm_out",
        "conv_out": "conv_out",
    }
    modules = {"quant_conv": "to_posterior", "post_quant_conv": "from_latent"}
    for name, way, blocks in (("encoder", "down", config.blocks), ("decoder", "up", config.blocks + 1)):
        modules |= under(name, name, side)
        for level in range(len(config.multipliers)):
            ours = f"{name}.levels.{level}"
            modules[f"{name}.{way}.{level}.{way}sample.conv"] = f"{ours}.resample.conv"
            for block in range(blocks):
                modules |= under(f"{name}.{way}.{level}.block.{block}", f"{ours}.blocks.{block}", residual)
    others = ("model.diffusion_model.*", "cond_stage_model.*", "loss.*")  # loss: the discriminator
    return Table(modules, (*others, *DIFFUSION_BUFFERS), prefixes=("first_stage_model.",))


def _vocoder(config: BigVGANConfig) -> Table:
    """BigVGAN: stages of residual blocks of units; theirs counts blocks and activations through."""
    modules = {"conv_pre": "conv_in", "activation_post.act": "activation_out", "conv_post": "conv_out"}
    blocks = len(config.resblock_kernels)
    for stage in range(len(config.rates)):
        modules[f"ups.{stage}.0"] = f"stages.{stage}.up"
        for block in range(blocks):
            theirs, ours = f"resblocks.{blocks * stage + block}", f"stages.{stage}.blocks.{block}"
            for unit in range(len(config.dilations)):
                modules[f"{theirs}.activations.{2 * unit}.act"] = f"{ours}.{unit}.activation1"
                modules[f"{theirs}.convs1.{unit}"] = f"{ours}.{unit}.conv1"
                modules[f"{theirs}.activations.{2 * unit + 1}.act"] = f"{ours}.{unit}.activation2"
                modules[f"{theirs}.convs2.{unit}"] = f"{ours}.{unit}.conv2"
    return Table(modules, ("*.filter",), prefixes=("module.",))  # the filter is a constant that the network computes


def _video(config: CAVPConfig) -> dict[str, str]:
    """CAVP's video tower: stages of bottlenecks."""
    parts = {"conv1": "narrow", "conv2": "look", "conv3": "widen", "downsample": "skip"}
    layers = {"conv1": "stem"}
    for stage, blocks in enumerate(config.blocks):
        for block in range(blocks):
            layers |= under(f"layer{stage + 1}.{block}", f"stages.{stage}.{block}", parts)
    modules = {"video_project_head": "project"}
    for theirs, ours in under("video_encoder", "", layers).items():
        modules |= {f"{theirs}.conv": f"{ours}.conv", f"{theirs}.bn": f"{ours}.norm"}
    return modules


def _spectrogram(config: SpectrogramConfig) -> dict[str, str]:
    """CAVP's audio tower: blocks of two convolutions."""
    modules = {"bn": "norm", "fc1": "hidden", "final_project": "project"}
    for block in range(len(config.widths)):
        for theirs, ours in (("conv1", "conv1"), ("bn1", "norm1"), ("conv2", "conv2"), ("bn2", "norm2")):
            modules[f"conv_block{block + 1}.{theirs}"] = f"blocks.{block}.{ours}"
    return under("spec_encoder", "", modules)


def _encoder(config: CAVPConfig) -> Table:
    """CAVP's video tower alone: all that generation needs."""
    return Table(_video(config), ("spec_encoder.*", "logit_scale"), prefixes=("module.",))


def _cavp(config: CAVPPairConfig) -> Table:
    """Both towers of CAVP and the temperature, which belongs to no module."""
    towers = {"video": _video(config.video), "audio": _spectrogram(config.audio)}
    modules = {theirs: f"{name}.{ours}" for name, tower in towers.items() for theirs, ours in tower.items()}
    return Table({"": ""} | modules, prefixes=("module.",))


# What a checkpoint is read as -> the table for a network of some size, and the published size.
TABLES: dict[str, tuple[Callable[[Any], Table], Callable[[], Any]]] = {
    "field": (_field, FieldConfig),
    "init": (_denoiser, FieldConfig),
    "autoencoder": (_autoencoder, AutoencoderConfig),
    "vocoder": (_vocoder, BigVGANConfig),
    "encoder": (_encoder, CAVPConfig),
    "cavp": (_cavp, CAVPPairConfig),
}


def table(part: str, config: Any = None) -> Table:
    """The table for a checkpoint that is read as `part`, a key of TABLES.

    Args:
        config: sizes of the network; the published ones by default.
    """
    make, published = TABLES[part]
    return make(published() if config is None else config)


def rename(part: str, keys: Iterable[str], config: Any = None) -> dict[str, str]:
    """The name of every parameter of a published checkpoint in our networks.

    Args:
        part: which network: "field" (`nets.field.VectorField`), "init" (the part of it that Make-An-Audio 2's
            denoiser has), "autoencoder", "vocoder", "encoder" (`nets.cavp.VideoTower`) or "cavp" (both towers).
        keys: of the checkpoint's state dict.
        config: sizes of the network; the published ones by default.

    Returns:
        theirs -> ours, in the order of `keys`, without the keys that are left out on purpose. Weight-normalised
        parameters are still pairs, `weight_g` and `weight_v` (`convert` folds them).

    Raises:
        WeightsError: if a key has no place, or two keys have the same.
    """
    return table(part, config).rename(part, keys)


def convert(part: str, state: Mapping[str, Tensor], config: Any = None) -> dict[str, Tensor]:
    """A published state dict as one for our network: renamed, weight normalisation folded.

    Raises:
        WeightsError: if a key has no place, two have the same, or half of a weight-normalised pair is missing.
    """
    return table(part, config).convert(part, state)


def fold(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Weight normalisation as a plain weight: g v / |v|, the norm over all axes but the first.

    Args:
        magnitude: [N, 1, ...], direction: [N, ...].
    """
    norm = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.ndim)), keepdim=True)
    return direction * (magnitude / norm)
