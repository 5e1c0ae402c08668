"""The sizes of a published network, read from the shapes in its checkpoint; what shapes do not tell are arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from frieren.errors import DamagedFileError, WeightsError
from frieren.nets.autoencoder import AutoencoderConfig
from frieren.nets.bigvgan import BigVGANConfig
from frieren.nets.cavp import CAVPConfig
from frieren.nets.field import FieldConfig

COLUMNS_PER_SECOND = 32  # latent columns that the published regulator gives to a second of features: 8 at 4 Hz
DENOISER = "model.diffusion_model."


class Shapes:
    """Shapes of a checkpoint by key, prefixes removed.

    A key that is not there is a WeightsError which says what file was expected.
    """

    def __init__(self, state: Mapping[str, Tensor], expected: str, *prefixes: str) -> None:
        self.expected = expected
        self.shapes: dict[str, tuple[int, ...]] = {}
        for key, value in state.items():
            for prefix in prefixes:
                key = key.removeprefix(prefix)
            self.shapes[key] = tuple(value.shape)

    def __contains__(self, key: str) -> bool:
        return key in self.shapes

    def __call__(self, key: str, axes: int) -> tuple[int, ...]:
        """The shape of a parameter, which must have this number of axes."""
        if key not in self.shapes:
            raise WeightsError(f"{key!r} is missing: is this {self.expected}?")
        if len(self.shapes[key]) != axes:
            raise WeightsError(f"{key!r} has shape {self.shapes[key]}, expected {axes} axes: is this {self.expected}?")
        return self.shapes[key]

    def count(self, pattern: str) -> int:
        """Count the different numbers in place of `#` in the keys that begin with `pattern`."""
        expression = re.compile(re.escape(pattern).replace(r"\#", r"(\d+)") + r"\.")
        return len({match[1] for key in self.shapes if (match := expression.match(key))})


def field_config(state: Mapping[str, Tensor], *, heads: int = 8, fps: float = 4.0) -> FieldConfig:
    """Sizes of a published vector field.

    Args:
        heads: of every attention.
        fps: features per second that it was trained with: 4 for CAVP, 2 for MAViL.

    Raises:
        WeightsError: if it is another checkpoint, or a size is impossible.
    """
    shapes = Shapes(state, "the published flow checkpoint")
    context, features = shapes("cond_stage_model.embedder.0.weight", 2)
    return _denoiser_config(shapes, heads, features=features, context=context, repeat=columns_per_feature(fps))


def columns_per_feature(fps: float) -> int:
    """Latent columns that the published regulator lays each feature over.

    Raises:
        WeightsError: if that is not a whole number.
    """
    if not fps > 0 or COLUMNS_PER_SECOND % fps:
        raise WeightsError(f"fps must divide {COLUMNS_PER_SECOND}, the latent columns per second, got {fps:g}")
    return round(COLUMNS_PER_SECOND / fps)


def init_config(state: Mapping[str, Tensor], *, heads: int = 8, fps: float = 4.0) -> FieldConfig:
    """Sizes of the vector field that starts from a Make-An-Audio 2 denoiser: CAVP's features, the published context.

    Raises:
        WeightsError: if it is another checkpoint, or a size is impossible.
    """
    return _denoiser_config(Shapes(state, "the Make-An-Audio 2 checkpoint"), heads, repeat=columns_per_feature(fps))


def _denoiser_config(shapes: Shapes, heads: int, **known: Any) -> FieldConfig:
    """Sizes that text-to-audio denoiser and vector field have in common."""
    width, latent, input_kernel = shapes(f"{DENOISER}proj_in.weight", 3)
    _, hidden, kernel = shapes(f"{DENOISER}blocks.0.transformer_blocks.0.ff.net.2.weight", 3)
    try:
        return FieldConfig(
            latent=latent,
            width=width,
            depth=shapes.count(f"{DENOISER}blocks.#"),
            heads=heads,
            ffn_mult=hidden // width,
            ffn_kernel=kernel,
            input_kernel=input_kernel,
            positions=shapes(f"{DENOISER}pos_emb.weight", 2)[0],
            time_features=shapes(f"{DENOISER}t_embedder.mlp.0.weight", 2)[1],
            **known,
        )
    except ValueError as error:
        raise WeightsError(f"{error}; give the number of heads that it was trained with (--heads)") from error


def autoencoder_config(state: Mapping[str, Tensor], scale: Tensor | None = None) -> AutoencoderConfig:
    """Sizes of a published mel autoencoder, alone or inside a flow checkpoint.

    Args:
        scale: of the latent, if a flow checkpoint brings its own in place of the published one.

    Raises:
        WeightsError: if it is another checkpoint.
    """
    shapes = Shapes(state, "the published autoencoder", "first_stage_model.")
    width, bins, edge_kernel = shapes("encoder.conv_in.weight", 3)
    levels = range(shapes.count("encoder.down.#"))
    widths = [shapes(f"encoder.down.{level}.block.0.conv2.weight", 3)[0] for level in levels]
    return AutoencoderConfig(
        bins=bins,
        width=width,
        multipliers=tuple(size // width for size in widths),
        blocks=shapes.count("encoder.down.0.block.#"),
        edge_kernel=edge_kernel,
        encoder_kernel=shapes("encoder.down.0.block.0.conv1.weight", 3)[2],
        decoder_kernel=shapes("decoder.up.0.block.0.conv1.weight", 3)[2],
        latent=shapes("post_quant_conv.weight", 3)[0],
        downsample_levels=tuple(x for x in levels if f"encoder.down.{x}.downsample.conv.weight" in shapes),
        attention="encoder.mid.attn_1.norm.weight" in shapes,
        scale=AutoencoderConfig().scale if scale is None else latent_scale(scale),
    )


def latent_scale(scale: Tensor) -> float:
    """The `scale_factor` of a checkpoint: the factor of the latent in a flow or a classifier.

    Raises:
        WeightsError: if it is not one positive number.
    """
    if scale.numel() != 1 or not scale.item() > 0:
        raise WeightsError(f"'scale_factor' must be one positive number, got {scale.tolist()}")
    return scale.item()


def encoder_config(state: Mapping[str, Tensor]) -> CAVPConfig:
    """Sizes of CAVP's video tower.

    Raises:
        WeightsError: if it is another checkpoint.
    """
    shapes = Shapes(state, "Diff-Foley's CAVP checkpoint", "module.")
    width, _, *(time, height, across) = shapes("video_encoder.conv1.conv.weight", 5)
    stages = range(1, 1 + len({key.split(".")[1] for key in shapes.shapes if key.startswith("video_encoder.layer")}))
    planes = shapes("video_encoder.layer1.0.conv2.conv.weight", 5)[0]
    return CAVPConfig(
        width=width,
        blocks=tuple(shapes.count(f"video_encoder.layer{stage}.#") for stage in stages),
        expansion=shapes("video_encoder.layer1.0.conv3.conv.weight", 5)[0] // planes,
        stem_kernel=(time, height, across),
        temporal_kernels=tuple(shapes(f"video_encoder.layer{x}.0.conv1.conv.weight", 5)[2] for x in stages),
        embed=shapes("video_project_head.weight", 2)[0],
    )


def vocoder_config(path: Path) -> BigVGANConfig:
    """Sizes of a BigVGAN from the `args.yml` beside it, since rates and dilations are in no shape.

    Raises:
        DamagedFileError: if the file is no table in YAML.
        WeightsError: if it cannot be read, lacks a size, or describes another kind of BigVGAN.
    """
    try:
        table = yaml.safe_load(path.read_text())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error}); it comes with best_netG.pt") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise DamagedFileError(path, f"cannot be read as YAML ({error}); it comes with best_netG.pt") from error
    if not isinstance(table, dict):
        raise DamagedFileError(path, f"expected settings of a BigVGAN, got {type(table).__name__}")
    for key, only in (("resblock", "1"), ("activation", "snakebeta"), ("snake_logscale", True)):
        if key in table and str(table[key]) != str(only):
            raise WeightsError(f"{path}: {key} is {table[key]!r}; only {only!r} is known here")
    try:
        dilations = {tuple(row) for row in table["resblock_dilation_sizes"]}
        if len(dilations) != 1:
            raise ValueError("resblock_dilation_sizes must be the same in every block")
        return BigVGANConfig(
            bins=_integer(table["num_mels"]),
            width=_integer(table["upsample_initial_channel"]),
            rates=_integers(table["upsample_rates"]),
            kernels=_integers(table["upsample_kernel_sizes"]),
            resblock_kernels=_integers(table["resblock_kernel_sizes"]),
            dilations=_integers(dilations.pop()),
        )
    except KeyError as error:
        raise WeightsError(f"{path}: {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**16:
        raise ValueError(f"expected a positive whole number, got {value!r}")
    return value


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(map(_integer, values))
