"""The tables of published names, and our networks at full size against the published implementation's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity import FILES, error, fill, golden, official_shapes

from frieren.clock import Clock
from frieren.errors import WeightsError
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import BigVGAN, BigVGANConfig, low_pass
from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.nets.cavp_pair import CAVP, CAVPPairConfig
from frieren.nets.field import FieldConfig, VectorField
from frieren.official import tables
from frieren.pipeline import Model
from frieren.spectrogram import MelConfig, log_mel
from frieren.weights import ModelConfig

NETWORKS = {
    "field": (VectorField, FieldConfig),
    "autoencoder": (MelAutoencoder, AutoencoderConfig),
    "vocoder": (BigVGAN, BigVGANConfig),
    "encoder": (VideoTower, CAVPConfig),
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
    converted = {name: tuple(value.shape) for name, value in tables.convert(part, published).items()}
    assert converted == {name: tuple(value.shape) for name, value in on_meta(part).state_dict().items()}


@pytest.mark.parametrize("part", NETWORKS)
def test_every_entry_of_a_table_is_used(part: str) -> None:
    table = tables.table(part)
    modules = {key.removeprefix("first_stage_model.").rpartition(".")[0] for key in official_shapes(FILES[part][0])}
    extra = {name for name in table.modules if name not in modules}
    # Levels without a change of the length and blocks of constant width: the rule exists, the layer does not.
    assert all(name.endswith(("sample.conv", "nin_shortcut")) or ".downsample." in name for name in extra), extra


def test_the_flow_checkpoint_is_shared_out_completely() -> None:
    keys = official_shapes("flow")
    flow, autoencoder = tables.rename("field", keys), tables.rename("autoencoder", keys)
    assert not flow.keys() & autoencoder.keys()
    assert flow.keys() | autoencoder.keys() == keys.keys()


def test_prefixes_that_published_files_may_have() -> None:
    keys = list(official_shapes("cavp"))
    assert tables.rename("cavp", [f"module.{key}" for key in keys]) == {
        f"module.{key}": name for key, name in tables.rename("cavp", keys).items()
    }
    alone = {"encoder.conv_in.weight": "encoder.conv_in.weight", "quant_conv.bias": "to_posterior.bias"}
    assert tables.rename("autoencoder", [*alone, "loss.logvar"]) == alone


def test_every_prefix_is_dropped() -> None:
    table = tables.Table({"net": "net"}, prefixes=("module.", "model."))
    assert table.place("module.model.net.weight") == table.place("model.net.weight") == "net.weight"


def test_what_has_no_place_is_an_error() -> None:
    with pytest.raises(WeightsError, match="text_embedder"):
        tables.rename("field", ["model.diffusion_model.text_embedder.weight"])
    with pytest.raises(WeightsError, match="both"):
        tables.rename("autoencoder", ["quant_conv.bias", "first_stage_model.quant_conv.bias"])
    with pytest.raises(WeightsError, match="weight_g"):
        tables.convert("vocoder", {"conv_pre.weight_v": torch.zeros(4, 2, 3)})
    assert tables.rename("field", ["betas", "sqrt_recip_alphas_cumprod", "scale_factor"]) == {}


def test_folding_is_torch_weight_norm() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(6, 4, 3))
    normal = conv.parametrizations.weight
    torch.nn.init.normal_(normal.original0)
    torch.testing.assert_close(tables.fold(normal.original0, normal.original1), conv.weight)


def test_parameter_counts() -> None:
    flow, autoencoder, cavp = on_meta("field"), on_meta("autoencoder"), on_meta("cavp")
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
    field = fill("field", VectorField, FieldConfig())
    # The published sampling as a model's own: with windows of the fixture's size the product walks the authors' path.
    clock = Clock(window=numbers["noise"].shape[-1], overlap=0)
    model = Model(ModelConfig("published", clock=clock, windows="published", parts=("field",)), {"field": field})
    c = field.condition(numbers["features"])
    assert error(field(numbers["vfe_x"], (numbers["vfe_t"] + 0.5) / 1000, c), numbers["vfe_v"]) < 1e-4
    latent = model.sample(numbers["features"], noise=numbers["noise"], steps=5, guidance=4.5, solver="euler")
    assert error(latent, numbers["latent"]) < 1e-4
    # The null condition is that of zero features; zeros in place of the condition are far from the answer.
    torch.testing.assert_close(field.condition(torch.zeros_like(numbers["features"])), field.null_condition(c))
    assert error(model.sample(numbers["features"], noise=numbers["noise"], steps=5, guidance=1.0), latent) > 0.01


def test_time_is_truncated_as_published() -> None:
    grid = torch.linspace(0, 1, 6)
    seen = VectorField(FieldConfig(width=32, depth=1, block_groups=8))._time(grid[:-1])
    assert seen.long().tolist() == golden()["t_index"].tolist()
    grid = torch.linspace(0, 1, 26)
    assert VectorField(FieldConfig(width=32, depth=1))._time(grid[[5, 9, 10]]).tolist() == [199, 359, 399]


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


def test_log_mel() -> None:
    numbers = golden()
    assert error(log_mel(numbers["wav"], MelConfig()), numbers["mel"]) < 1e-4
