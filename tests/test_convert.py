"""Files in the layout of the published ones become a model folder that generates; any other is named and refused."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from clips import video
from typer.testing import CliRunner

import frieren
from frieren.apps.cli import app
from frieren.errors import ArrayError, OutputError, WeightsError
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import BigVGAN, BigVGANConfig
from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.nets.cavp_pair import CAVPPairConfig, SpectrogramConfig
from frieren.nets.field import FieldConfig, VectorField
from frieren.official import tables
from frieren.official.convert import Files, convert
from frieren.record import sampling_settings
from frieren.weights import load_part, read_model_config

FIELD = FieldConfig(features=16, context=24, width=64, depth=2, heads=4, ffn_mult=2, ffn_kernel=3, time_features=32)
AUTOENCODER = AutoencoderConfig(width=32, multipliers=(1, 2), blocks=1)
VOCODER = BigVGANConfig(width=64, resblock_kernels=(3, 5), dilations=(1, 3))
ENCODER = CAVPConfig(width=4, blocks=(1, 2), expansion=2, temporal_kernels=(1, 3), embed=16)
CALLBACK = "pytorch_lightning.callbacks.model_checkpoint"
ARGS = {
    "num_mels": 80,
    "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
    "resblock": "1",
    "activation": "snakebeta",
    "snake_logscale": True,
    "batch_size": 32,
}


def published_state(part: str, network: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    """A network's parameters under their published names."""
    table = tables.table(part, network.config)
    return {prefix + table.published_name(key): value.clone() for key, value in network.state_dict().items()}


def weight_normed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convolution weights as the pairs that weight normalisation saves, and the filters that the authors save too."""
    paired = {"resblocks.0.activations.0.upsample.filter": torch.zeros(1, 1, 12)}
    for key, value in state.items():
        if key.endswith(".weight"):
            axes = tuple(range(1, value.ndim))
            paired[f"{key}_g"] = torch.linalg.vector_norm(value, dim=axes, keepdim=True)
            paired[f"{key}_v"] = 3 * value  # any length: only its direction counts
        else:
            paired[key] = value
    return paired


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    made = {
        "field": VectorField(FIELD),
        "autoencoder": MelAutoencoder(AUTOENCODER),
        "vocoder": BigVGAN(VOCODER),
        "encoder": VideoTower(ENCODER),
    }
    for block in made["field"].blocks:  # zero at the start of a training: then the order of the heads would not matter
        torch.nn.init.normal_(block.conv_out.weight, std=0.05)
    return made


def lightning(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """The wrapper of PyTorch Lightning 1.4, with a callback whose class is not installed for the reader."""
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", CALLBACK):
        sys.modules[name] = types.ModuleType(name)
    checkpoint = sys.modules[CALLBACK].ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": CALLBACK})
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "1.4.2",
        "callbacks": {checkpoint: {"best_model_score": torch.tensor(0.5), "dirpath": "logs"}},
        "optimizer_states": [{"state": {0: {"step": 100, "exp_avg": torch.zeros(4)}}, "param_groups": []}],
        "lr_schedulers": [],
        "state_dict": state,
    }


def save(table: dict[str, object], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(table, path)
    for name in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        del sys.modules[name]
    return path


@pytest.fixture(scope="module")
def states(networks) -> dict[str, dict[str, torch.Tensor]]:
    """State dicts in the released layout."""
    flow = published_state("field", networks["field"]) | {"betas": torch.zeros(1000), "logvar": torch.zeros(1000)}
    flow |= published_state("autoencoder", networks["autoencoder"], "first_stage_model.")
    cavp = published_state("encoder", networks["encoder"], "module.")
    cavp |= {"module.logit_scale": torch.tensor(1.0), "module.spec_encoder.bn.weight": torch.ones(128)}
    vocoder = weight_normed(published_state("vocoder", networks["vocoder"]))
    vae = published_state("autoencoder", networks["autoencoder"]) | {"loss.discriminator.main.0.weight": torch.zeros(4)}
    return {"flow": flow, "cavp": cavp, "vocoder": vocoder, "vae": vae}


@pytest.fixture(scope="module")
def files(states, tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("published")
    (folder / "vocoder").mkdir()
    (folder / "vocoder" / "args.yml").write_text(yaml.safe_dump(ARGS))
    return Files(
        flow=save(lightning(states["flow"]), folder / "flow.ckpt"),
        vae=save(lightning(states["vae"]), folder / "vae.ckpt"),
        vocoder=save({"generator": states["vocoder"]}, folder / "vocoder" / "best_netG.pt").parent,
        cavp=save({"state_dict": states["cavp"]}, folder / "cavp.ckpt"),
    )


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "authors"
    return convert(Files(files.flow, None, files.vocoder, files.cavp), out, heads=4)


def test_every_parameter_arrives(folder, networks):
    config = read_model_config(folder)
    assert (config.name, config.windows, config.steps, config.guidance) == ("authors", "published", 25, 4.5)
    for part, network in networks.items():
        loaded = load_part(folder / part)
        assert loaded.config == network.config
        for key, value in network.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-6, atol=1e-7)
    source = json.loads((folder / "source.json").read_text())
    assert source["field"]["name"] == "flow.ckpt" and len(source["vocoder"]["sha256"]) == 64


def test_a_converted_model_generates(folder, tmp_path):
    path = tmp_path / "clip.mp4"
    video(path, [index / 10 for index in range(20)])
    sound = frieren.load(folder).generate(path, steps=2)
    assert len(sound.wave) == 32_000 and torch.isfinite(sound.wave).all()
    assert sound.record["options"]["sampling"] == {
        "windows": "published",
        "regulator": "repeat",
        "time": "truncated to 1/1000",
    }


def test_the_command_says_what_it_leaves_out(files, tmp_path):
    arguments = ["weights", "convert", "--flow", files.flow, "--vae", files.vae, "--heads", 4, tmp_path / "out"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    for words in (
        "4 heads",
        "betas (1)",
        "logvar (1)",
        "first_stage_model.* (",
        "loss.* (1)",
        "has autoencoder, field",
    ):
        assert words in result.output
    assert read_model_config(tmp_path / "out").parts == ("autoencoder", "field")


@pytest.mark.parametrize(
    ("config", "part"),
    [(FIELD, "field"), (FieldConfig(width=32, depth=3, heads=8, positions=300), "field")],
)
def test_sizes_come_from_the_shapes(config, part, tmp_path):
    path = save({"state_dict": published_state(part, VectorField(config))}, tmp_path / "flow.ckpt")
    assert load_part(convert(Files(flow=path), tmp_path / "out", heads=config.heads) / "field").config == config


def test_mavil_is_another_rate_and_width(tmp_path):
    network = VectorField(FieldConfig(features=768, context=24, width=32, depth=1))
    path = save({"state_dict": published_state("field", network)}, tmp_path / "flow.ckpt")
    out = convert(Files(flow=path), tmp_path / "out", fps=2.0)
    model = frieren.load(out)
    assert (model.clock.fps, model.field.config.repeat, model.field.config.features) == (2.0, 16, 768)
    assert model.sample(torch.randn(16, 768), steps=1).shape == (20, 256)  # 8 s of features, one window
    with pytest.raises(WeightsError, match="fps"):
        convert(Files(flow=path), tmp_path / "other", fps=3.0)


def test_make_an_audio_2_is_a_start(networks, tmp_path):
    shared = {
        key: value
        for key, value in published_state("field", networks["field"]).items()
        if not any(new in key for new in ("c_embedder", "c_proj", "x_proj", "cond_stage_model"))
    }
    text = {"model.diffusion_model.c1_embedder.mlp.0.weight": torch.zeros(4), "cond_stage_model.x": torch.zeros(1)}
    path = save(lightning(shared | text | {"scale_factor": torch.tensor(1.1)}), tmp_path / "maa2.ckpt")
    field = load_part(convert(Files(init=path), tmp_path / "out", heads=4) / "field")
    assert field.config.features == 512 and field.config.width == 64
    for key in ("blocks.1.attention2.query.weight", "positions.weight", "output.bias", "embed_time.out.weight"):
        assert torch.equal(field.state_dict()[key], networks["field"].state_dict()[key])
    assert field.embed_features.input.weight.std() > 0


def test_the_scale_of_a_checkpoint_is_kept(states, tmp_path):
    path = save({"state_dict": states["flow"] | {"scale_factor": torch.tensor(0.25)}}, tmp_path / "flow.ckpt")
    assert load_part(convert(Files(flow=path), tmp_path / "out", heads=4) / "autoencoder").config.scale == 0.25


def damaged(state: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    changed = state | changes
    return {key: value for key, value in changed.items() if value is not None}


KEY = "model.diffusion_model.blocks.1.transformer_blocks.0.attn1.to_q.weight"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({KEY: None}, rf"flow\.ckpt: 1 parameters missing: {KEY}"),
        ({KEY: torch.zeros(64, 63)}, r"attn1\.to_q\.weight' has shape \(64, 63\), expected \(64, 64\)"),
        ({"model.diffusion_model.extra.weight": torch.zeros(1)}, r"extra\.weight' has no place"),
        ({"model.diffusion_model.blocks.0.norm.extra": torch.zeros(1)}, r"1 unexpected parameters: .*norm\.extra"),
        ({"cond_stage_model.embedder.0.weight": None}, r"'cond_stage_model\.embedder\.0\.weight' is missing: is this"),
    ],
)
def test_what_is_wrong_is_named_as_in_the_file(states, tmp_path, changes, message):
    path = save(lightning(damaged(states["flow"], **changes)), tmp_path / "flow.ckpt")
    with pytest.raises(WeightsError, match=message):
        convert(Files(flow=path), tmp_path / "out", heads=4)
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_do_not_belong_together(files, states, tmp_path):
    other = published_state(
        "autoencoder", MelAutoencoder(AutoencoderConfig(width=32, multipliers=(1, 2), blocks=1, latent=8))
    )
    path = save({"state_dict": other}, tmp_path / "vae.ckpt")
    with pytest.raises(WeightsError, match="20 channels in the field, 8 in the autoencoder"):
        convert(Files(files.flow, path), tmp_path / "out", heads=4)
    wide = published_state("field", VectorField(FieldConfig(features=768, width=32, depth=1)))
    path = save({"state_dict": wide}, tmp_path / "mavil.ckpt")
    with pytest.raises(WeightsError, match="768 wide for the field, 16 from the encoder"):
        convert(Files(flow=path, cavp=files.cavp), tmp_path / "out")
    for name, value in (("scale_factor", torch.ones(2)), (KEY, torch.full((64, 64), float("nan")))):
        path = save({"state_dict": states["flow"] | {name: value}}, tmp_path / "odd.ckpt")
        with pytest.raises(WeightsError, match="one positive number|no finite numbers"):
            convert(Files(flow=path), tmp_path / "out", heads=4)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        convert(Files(vae=files.vae), tmp_path / "file" / "out")


def test_wrong_files_and_options_are_refused(files, folder, tmp_path):
    with pytest.raises(WeightsError, match=r"cavp\.ckpt.*is this the published flow checkpoint"):
        convert(Files(flow=files.cavp), tmp_path / "out")
    with pytest.raises(WeightsError, match=r"flow\.ckpt.*is this Diff-Foley's CAVP"):
        convert(Files(cavp=files.flow), tmp_path / "out")
    with pytest.raises(WeightsError, match="--heads"):
        convert(Files(flow=files.flow), tmp_path / "out", heads=7)
    with pytest.raises(WeightsError, match="exists already"):
        convert(Files(flow=files.flow), folder)
    with pytest.raises(WeightsError, match="no file given"):
        convert(Files(), tmp_path / "out")
    with pytest.raises(WeightsError, match="exclude each other"):
        convert(Files(flow=files.flow, init=files.flow), tmp_path / "out")
    with pytest.raises(WeightsError, match=r"nothing\.ckpt"):
        convert(Files(flow=tmp_path / "nothing.ckpt"), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resblock": "2"}, "resblock is '2'"),
        ({"snake_logscale": False}, "snake_logscale is False"),
        ({"upsample_rates": [4, 4]}, "kernels"),
        ({"num_mels": "many"}, "whole number"),
        ({"num_mels": True}, "whole number, got True"),
        ({"num_mels": 0}, "whole number, got 0"),
        ({"upsample_initial_channel": 2**40}, "whole number, got 1099511627776"),
        ({"resblock_dilation_sizes": [[1, 3], [1, 5]]}, "same in every block"),
    ],
)
def test_vocoder_settings(files, tmp_path, changes, message):
    (tmp_path / "best_netG.pt").write_bytes((files.vocoder / "best_netG.pt").read_bytes())
    (tmp_path / "args.yml").write_text(yaml.safe_dump(ARGS | changes))
    with pytest.raises(WeightsError, match=message):
        convert(Files(vocoder=tmp_path), tmp_path / "out")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_nothing_in_a_file_is_run(states, tmp_path):
    marker = tmp_path / "ran"
    path = save({"state_dict": states["flow"], "callbacks": Malicious(marker)}, tmp_path / "flow.ckpt")
    with pytest.raises(WeightsError, match="system"):
        convert(Files(flow=path), tmp_path / "out")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(WeightsError):
        convert(Files(flow=tmp_path / "plain.ckpt"), tmp_path / "out")
    (tmp_path / "args.yml").write_text(f"!!python/object/apply:os.system ['touch {marker}']")
    with pytest.raises(WeightsError, match="YAML"):
        convert(Files(vocoder=tmp_path), tmp_path / "out")
    assert not marker.exists()


def test_parts_alone(files, tmp_path):
    model = frieren.load(convert(Files(vocoder=files.vocoder), tmp_path / "vocoder"))
    mel = np.random.default_rng(0).normal(-3, 1, (80, 20)).astype(np.float32)
    assert model.vocode(torch.from_numpy(mel)).shape == (20 * 256,)
    np.save(tmp_path / "mel.npy", mel)
    sound = model.generate(tmp_path / "mel.npy", kind="mel")
    assert torch.equal(sound.wave, model.vocode(torch.from_numpy(mel))) and sound.record["input"]["kind"] == "mel"
    with pytest.raises(WeightsError, match="has no field, only vocoder"):
        model.sample(torch.zeros(4, 16))
    autoencoder = frieren.load(convert(Files(vae=files.vae), tmp_path / "vae"))
    mean, log_variance = autoencoder.encode_mel(torch.from_numpy(mel))
    assert mean.shape == log_variance.shape == (20, 10)
    assert autoencoder.decode(mean).shape == (80, 20)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_features_in_place_of_a_video(folder, tmp_path, suffix):
    features = np.random.default_rng(0).normal(size=(32, 16)).astype(np.float32)
    path = tmp_path / f"clip.{suffix}"
    np.save(path, features) if suffix == "npy" else np.savez(path, feat=features, other=features)
    model = frieren.load(folder)
    sound = model.generate(path, kind="features", steps=2, seed=3)
    assert len(sound.wave) == 131_072  # as the authors': 32 features make 8.192 s
    latent = model.sample(torch.from_numpy(features), steps=2, seed=3)
    assert torch.equal(sound.wave, model.vocode(model.decode(latent)))
    refined = frieren.load(folder, refine="regulator").generate(path, kind="features", steps=2)
    assert len(refined.wave) == 128_000  # 8 s
    out = tmp_path / "out.wav"
    arguments = ["generate", "--features", path, "--model", folder, "--steps", 2, "--seed", 3, "-o", out]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["wave_sha256"] == sound.record["wave_sha256"] and record["command"]["kind"] == "features"
    result = CliRunner().invoke(app, ["generate", "--replay", f"{out}.json", "-o", str(tmp_path / "again.wav")])
    assert result.exit_code == 0 and "identical" in result.output


def test_arrays_that_do_not_fit_are_refused(folder, tmp_path):
    model, path = frieren.load(folder), tmp_path / "clip.npy"
    for array, message in (
        (np.zeros((32, 15)), r"expected features \[F, 16\], got \[32, 15\]"),
        (np.full((32, 16), np.nan), "not finite"),
        (np.array(["a"]), "expected numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
    ):
        np.save(path, array)
        with pytest.raises(ArrayError, match=message):
            model.generate(path, kind="features")
    path.write_bytes(b"\x93NUMPY nothing")
    with pytest.raises(ArrayError, match="cannot be read"):
        model.generate(path, kind="features")
    result = CliRunner().invoke(app, ["generate", "--features", str(path), "-o", str(tmp_path / "out.mp4")])
    assert result.exit_code == 2 and "no video" in result.output


def test_published_windows_and_the_refined_ones(folder):
    """Two windows: the first is the authors' own, whatever follows; refined, sound keeps time with the features."""
    model, features = frieren.load(folder), torch.randn(64, 16)
    noise = torch.randn(20, 512)
    with pytest.warns(UserWarning, match="0.19 s later"):
        both = model.sample(features, noise=noise, steps=2)
    alone = [
        model.sample(features[start : start + 32], noise=noise[:, 8 * start : 8 * start + 256], steps=2)
        for start in (0, 32)
    ]
    torch.testing.assert_close(both, torch.cat(alone, dim=1), rtol=1e-4, atol=1e-5)
    mel = torch.cat([model.decode(latent) for latent in alone], dim=1)
    torch.testing.assert_close(model.decode(both), mel, rtol=1e-4, atol=1e-4)
    refined = frieren.load(folder, refine=("windows", "regulator", "time"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refined.sample(features, steps=2).shape == (20, 500)  # 16 s
    assert sampling_settings(refined) == {"windows": "seamless", "regulator": "time", "time": "continuous"}
    with pytest.raises(ValueError, match="refinement"):
        frieren.load(folder, refine=("everything",))


def test_cavp_sizes_of_both_towers():
    """The table follows the sizes of both towers; the audio tower's names do not depend on them."""
    config = CAVPPairConfig(ENCODER, SpectrogramConfig(widths=(4, 8)))
    assert "spec_encoder.conv_block2.conv1" in tables.table("cavp", config).modules
    assert "spec_encoder.conv_block3.conv1" not in tables.table("cavp", config).modules
