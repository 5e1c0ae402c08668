"""The tables of published names, and our networks at full size against the published implementation's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity import FILES, error, fill, golden, official_shapes

from frieren import official
from frieren.errors import WeightsError
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import BigVGAN, BigVGANConfig, low_pass
from frieren.nets.cavp import CAVP, CAVPConfig, CAVPPairConfig, VideoTower
from frieren.nets.field import FieldConfig, VectorField

NETWORKS = {
    "flow": (VectorField, FieldConfig),
    "autoencoder": (MelAutoencoder, AutoencoderConfig),
    "vocoder": (BigVGAN, BigVGANConfig),
    "video": (VideoTower, CAVPConfig),
    "cavp": (CAVP, CAVPPairConfig),
}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(part: str) -> torch.nn.Module:
    network, config = NETWORKS[part]
    with torch.device("meta"):
        return network(config())


@pytest.mark.parametrize("part", NETWORKS)
def test_names_and_shapes_are_the_published_ones(part: str) -> None:
    file, _ = FILES[part]
    published = {key: torch.empty(shape, device="meta") for key, shape in official_shapes(file).items()}
    converted = {name: tuple(value.shape) for name, value in official.convert(part, published).items()}
    assert converted == {name: tuple(value.shape) for name, value in on_meta(part).state_dict().items()}


@pytest.mark.parametrize("part", NETWORKS)
def test_every_entry_of_a_table_is_used(part: str) -> None:
    table = official.TABLES[part]
    modules = {key.removeprefix("first_stage_model.").rpartition(".")[0] for key in official_shapes(FILES[part][0])}
    extra = {name for name in table.modules if name not in modules}
    # Levels without a change of the length and blocks of constant width: the rule exists, the layer does not.
    assert all(name.endswith(("sample.conv", "nin_shortcut")) or ".downsample." in name for name in extra), extra


def test_the_flow_checkpoint_is_shared_out_completely() -> None:
    keys = official_shapes("flow")
    flow, autoencoder = official.rename("flow", keys), official.rename("autoencoder", keys)
    assert not flow.keys() & autoencoder.keys()
    assert flow.keys() | autoencoder.keys() == keys.keys()


def test_prefixes_that_published_files_may_have() -> None:
    keys = list(official_shapes("cavp"))
    assert official.rename("cavp", [f"module.{key}" for key in keys]) == {
        f"module.{key}": name for key, name in official.rename("cavp", keys).items()
    }
    alone = {"encoder.conv_in.weight": "encoder.conv_in.weight", "quant_conv.bias": "to_posterior.bias"}
    assert official.rename("autoencoder", [*alone, "loss.logvar"]) == alone


def test_what_has_no_place_is_an_error() -> None:
    with pytest.raises(WeightsError, match="text_embedder"):
        official.rename("flow", ["model.diffusion_model.text_embedder.weight"])
    with pytest.raises(WeightsError, match="both"):
        official.rename("autoencoder", ["quant_conv.bias", "first_stage_model.quant_conv.bias"])
    with pytest.raises(WeightsError, match="weight_g"):
        official.convert("vocoder", {"conv_pre.weight_v": torch.zeros(4, 2, 3)})
    assert official.rename("flow", ["betas", "sqrt_recip_alphas_cumprod", "scale_factor"]) == {}


def test_folding_is_torch_weight_norm() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(6, 4, 3))
    normal = conv.parametrizations.weight
    torch.nn.init.normal_(normal.original0)
    torch.testing.assert_close(official.fold(normal.original0, normal.original1), conv.weight)


def test_parameter_counts() -> None:
    flow, autoencoder, cavp = on_meta("flow"), on_meta("autoencoder"), on_meta("cavp")
    assert parameters(flow) == 159_276_692
    assert parameters(flow) - parameters(flow.embed_features.input) == 158_882_708
    assert round(parameters(autoencoder) / 1e6, 1) == 213.0
    assert round(parameters(autoencoder.encoder) / 1e6, 1) == 113.6
    assert round(parameters(on_meta("vocoder")) / 1e6, 1) == 112.2
    assert round(parameters(cavp) / 1e6, 1) == 113.4
    assert round(parameters(cavp.video) / 1e6, 1) == 32.7
    assert parameters(cavp.video.project) == 1_049_088


def test_other_published_sizes() -> None:
    with torch.device("meta"):
        small, large = VectorField(FieldConfig(width=384)), VectorField(FieldConfig(width=768, depth=6))
    for net, millions in ((small, 70.9), (large, 421.1)):
        assert round((parameters(net) - parameters(net.embed_features.input)) / 1e6, 1) == millions


def test_low_pass_filter() -> None:
    assert error(low_pass().float(), golden()["filter"].flatten()) < 1e-6


def test_field() -> None:
    numbers = golden()
    field = fill("flow", VectorField, FieldConfig())
    c = field.condition(numbers["features"])
    v = field(numbers["vfe_x"], (numbers["vfe_t"] + 0.5) / 1000, c)
    assert error(v, numbers["vfe_v"]) < 1e-4
    assert error(guided_euler(field, numbers["noise"], c, steps=5), numbers["latent"]) < 1e-4


def guided_euler(
    field: VectorField, x: torch.Tensor, c: torch.Tensor, steps: int, guidance: float = 4.5
) -> torch.Tensor:
    """The published sampler: both conditions in one batch, time on a float32 grid (paper section 7)."""
    both = torch.cat([field.condition(torch.zeros(len(x), 8, field.config.features)), c])
    torch.testing.assert_close(both[: len(x)], field.null_condition(c))
    for t in torch.linspace(0, 1, steps + 1)[:-1]:
        null, conditional = field(torch.cat([x, x]), t.expand(len(both)), both).chunk(2)
        x = x + (null + guidance * (conditional - null)) / steps
    return x


def test_autoencoder() -> None:
    numbers = golden()
    autoencoder = fill("autoencoder", MelAutoencoder, AutoencoderConfig())
    mean, logvar = autoencoder.encode(numbers["enc_in"])
    assert error(mean, numbers["enc_mean"]) < 1e-4
    assert error(logvar, numbers["enc_logvar"]) < 1e-4
    mel = autoencoder.decode(numbers["latent"] / autoencoder.config.scale)
    assert error(mel, numbers["mel_from_latent"]) < 1e-4


def test_vocoder() -> None:
    numbers = golden()
    vocoder = fill("vocoder", BigVGAN, BigVGANConfig())
    # Random weights amplify rounding: in float64 the same network is still 9e-5 away from the float32 answer.
    assert error(vocoder(numbers["voc_mel"]), numbers["voc_wav"].squeeze(1)) < 5e-4


def test_cavp() -> None:
    numbers = golden()
    cavp = fill("cavp", CAVP, CAVPPairConfig())
    images = torch.from_numpy(np.random.default_rng(2000).random((1, 4, 3, 224, 224), dtype=np.float32))
    features = cavp.video(images)
    assert error(features, numbers["cavp_feat"]) < 1e-4
    assert error(cavp.audio(numbers["cavp_spec"]), numbers["cavp_spec_feat"]) < 1e-4
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(1, 4))
