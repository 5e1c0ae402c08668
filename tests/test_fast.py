"""The fast networks against the plain ones, with odd lengths, batches of 1 and 3, in float32 and bfloat16."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import frieren
from frieren.apps.bench.generation import DEMO
from frieren.apps.bench.loss import written_sheets
from frieren.apps.cli import main
from frieren.catalogue import choose_precision
from frieren.formats import record_path
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import Activation, BigVGAN, BigVGANConfig
from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.nets.fast import activation, convolution, toom_cook
from frieren.nets.fast.activation import FastActivation
from frieren.nets.fast.autoencoder import FastAutoencoder
from frieren.nets.fast.bigvgan import FastBigVGAN
from frieren.nets.fast.cavp import FastTower
from frieren.nets.fast.convolution import Convolution
from frieren.nets.fast.field import FastField
from frieren.nets.fast.toom_cook import ToomCook, fastest
from frieren.nets.field import FieldConfig, VectorField
from frieren.pipeline import Model
from frieren.tiny import tiny_model

VOCODER = BigVGANConfig(bins=6, width=32, rates=(4, 2), kernels=(8, 4), resblock_kernels=(3, 7), dilations=(1, 3))
# Relative error of a whole network: what the order of sums changes, and what rounding to 8 bits at every layer does.
EXACT, ROUNDED = 2e-6, 6e-2
DTYPES = pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, EXACT), (torch.bfloat16, ROUNDED)])


def drawn(network: nn.Module) -> nn.Module:
    """The network with every parameter drawn, so that none is one that hides a mistake."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        spread = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread
    return network.eval().requires_grad_(False)


def error(got: Tensor, expected: Tensor) -> float:
    """Relative error of the whole."""
    assert got.shape == expected.shape and got.dtype == torch.float32
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 40, 41, 133])
@pytest.mark.parametrize("tile", [1, 3 * 8 * 5, 1 << 16])
def test_the_activation(rows: int, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "TILE", tile)
    plain = drawn(Activation(5))
    x = 3 * torch.randn(rows, 5, generator=torch.Generator().manual_seed(rows))
    out = torch.full((rows, 5), torch.nan)
    expected = plain(x.T[None])[0].T
    assert torch.allclose(FastActivation(plain)(x, out), expected, atol=2e-6)


@pytest.mark.parametrize("mkl", [False, True])
@DTYPES
@pytest.mark.parametrize("rows", [1, 30, convolution.SHORT + 1])
@pytest.mark.parametrize("width", [12, 80])
def test_convolutions(
    width: int, rows: int, dtype: torch.dtype, bound: float, mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "has_fast_mkl", lambda: mkl)
    plain = drawn(nn.Conv1d(width, 10, 7, padding=9, dilation=3))
    x = torch.randn(3, rows, width, generator=torch.Generator().manual_seed(0))
    fast, expected = Convolution(plain, dtype), plain(x.mT).mT
    padded = nn.functional.pad(x.to(dtype), (0, 0, fast.margin, fast.margin))
    assert fast(padded).dtype == dtype
    assert error(fast(padded).float(), expected) < bound
    before = torch.randn(rows, 10, dtype=dtype)
    assert error(fast.add_to(before.clone(), padded[1]).float(), before + expected[1]) < bound


@pytest.mark.parametrize("tile", [1, toom_cook.TILE])
@pytest.mark.parametrize("rows", [1, 5, 30, 133])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 5), (7, 3), (11, 1), (11, 5)])
def test_convolutions_with_fewer_multiplications(
    kernel: int, dilation: int, rows: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lose no more than a direct one does in float32, by the sum in float64."""
    monkeypatch.setattr(toom_cook, "TILE", tile)
    plain = drawn(nn.Conv1d(48, 10, kernel, padding=dilation * (kernel // 2), dilation=dilation))
    x = torch.randn(3, rows, 48, generator=torch.Generator().manual_seed(0))
    expected = plain.double()(x.mT.double()).mT.float()
    fast = ToomCook(plain.float())
    padded = nn.functional.pad(x, (0, 0, fast.margin, fast.margin))
    assert error(fast(padded), expected) < EXACT
    before = torch.randn(rows, 10)
    assert error(fast.add_to(before.clone(), padded[1]), before + expected[1]) < EXACT


def test_which_convolutions_have_fewer_multiplications() -> None:
    wide, narrow = nn.Conv1d(96, 4, 7), nn.Conv1d(48, 4, 11)
    assert isinstance(fastest(wide, torch.float32), ToomCook)
    assert isinstance(fastest(wide, torch.bfloat16), Convolution)
    assert isinstance(fastest(narrow, torch.float32), Convolution)


@DTYPES
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("columns", [1, 17, 40])
@pytest.mark.parametrize("width", [16, 576])
def test_the_field(width: int, columns: int, batch: int, dtype: torch.dtype, bound: float) -> None:
    config = FieldConfig(
        latent=4, features=10, context=12, width=width, depth=2, heads=2, ffn_mult=1, ffn_kernel=5, input_kernel=3,
        positions=41, time_features=6, block_groups=2, output_groups=2, regulator="time",
    )  # fmt: skip
    plain = drawn(VectorField(config))
    fast, generator = FastField(plain, dtype), torch.Generator().manual_seed(3)
    x, features = torch.randn(batch, 4, columns, generator=generator), torch.randn(batch, 6, 10, generator=generator)
    t, index = torch.rand(batch, generator=generator), torch.arange(columns) % 6
    condition = plain.condition(features, index)
    assert torch.equal(fast.condition(features, index), condition)
    assert torch.equal(fast.null_condition(condition), plain.null_condition(condition))
    assert error(fast(x, t, condition), plain(x, t, condition)) < bound
    with pytest.raises(ValueError, match="at most 40"):
        fast(torch.randn(1, 4, 41), t[:1], torch.randn(1, 41, width // 2))


@DTYPES
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("attention", "shortcut"), [(True, False), (False, True)])
def test_the_autoencoder(attention: bool, shortcut: bool, batch: int, dtype: torch.dtype, bound: float) -> None:
    config = AutoencoderConfig(
        bins=6, width=8, multipliers=(1, 2), latent=3, groups=4, blocks=1, attention=attention, shortcut=shortcut
    )
    plain = drawn(MelAutoencoder(config))
    fast, z = FastAutoencoder(plain, dtype), torch.randn(batch, 3, 9, generator=torch.Generator().manual_seed(4))
    assert error(fast.decode(z), plain.decode(z)) < bound
    mel = torch.randn(batch, 6, 10)
    assert torch.equal(fast.encode(mel)[0], plain.encode(mel)[0])


@DTYPES
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("stem", "pool"), [((1, 7, 7), True), ((3, 5, 5), False)])
def test_the_encoder(stem: tuple[int, int, int], pool: bool, batch: int, dtype: torch.dtype, bound: float) -> None:
    plain = VideoTower(
        CAVPConfig(width=4, blocks=(1, 2), expansion=2, stem_kernel=stem, stem_pool=pool, temporal_kernels=(1, 3))
    )
    images = torch.rand(batch, 5, 3, 33, 33, generator=torch.Generator().manual_seed(5))
    drawn(plain)
    plain.train()(images)  # running means and variances that are not those of the start
    plain.eval()
    fast = FastTower(plain, dtype)
    assert fast.receptive_frames == plain.receptive_frames and fast.config is plain.config
    assert error(fast(images), plain(images)) < bound


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("columns", [1, 5, 32])
@pytest.mark.parametrize("work", [0, toom_cook.WORK])
@DTYPES
def test_the_vocoder(
    dtype: torch.dtype, bound: float, work: int, columns: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toom_cook, "WORK", work)  # 0: also here, where channels are few
    bound = max(bound, 2 * EXACT)  # sixteen convolutions in a row
    plain = drawn(BigVGAN(VOCODER))
    mel = torch.randn(batch, VOCODER.bins, columns, generator=torch.Generator().manual_seed(2))
    fast = FastBigVGAN(plain, dtype)
    assert fast.context == plain.context
    assert error(fast(mel), plain(mel)) < bound


@pytest.mark.parametrize(
    ("able", "chosen"), [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({}, "float32")]
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    able: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision("auto", "cpu") == chosen
    assert choose_precision("auto", "mps") == "float32"
    assert choose_precision("float32", "cpu") == "float32"
    assert frieren.load("tiny", precision="auto").precision == chosen


def test_a_record_says_which_precision_auto_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a replay takes it, on a processor that would choose another."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    out = tmp_path / "out.wav"
    with pytest.raises(SystemExit) as end:
        main(["generate", str(DEMO), *"--model tiny --steps 1 --precision auto -o".split(), str(out)])
    assert end.value.code == 0
    record = json.loads(record_path(out).read_text())
    assert record["options"]["precision"] == record["command"]["precision"] == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(SystemExit) as end:
        main(["generate", "--replay", str(record_path(out)), "-o", str(tmp_path / "again.wav")])
    assert end.value.code == 0
    again = json.loads(record_path(tmp_path / "again.wav").read_text())
    assert again["options"]["precision"] == "bfloat16" and again["wave_sha256"] == record["wave_sha256"]


def test_all_of_a_model_is_fast_and_near_in_bfloat16() -> None:
    features = torch.randn(100, 16, generator=torch.Generator().manual_seed(6))
    waves = {}
    for name, model in (
        ("plain", Model(*tiny_model(), fast=False)),
        ("float32", frieren.load("tiny")),
        ("bfloat16", frieren.load("tiny", precision="bfloat16")),
    ):
        assert isinstance(model.field, FastField) == isinstance(model.autoencoder, FastAutoencoder) == model.fast
        assert type(model.parts["field"]) is VectorField
        mel = model.decode(model.sample(features, seed=1))
        waves[name] = mel
    assert error(waves["float32"], waves["plain"]) < 10 * EXACT
    assert 1e-4 < error(waves["bfloat16"], waves["plain"]) < ROUNDED


def test_what_bfloat16_costs_is_bounded(tmp_path: Path) -> None:
    """Of what another seed changes it is a twentieth at most, and what is heard stays the same."""
    file = tmp_path / "loss.json"
    with pytest.raises(SystemExit) as end:
        main(["bench", "precision", *"--model mini-1step --sheets 1 --device cpu --json".split(), str(file)])
    assert end.value.code == 0
    found = json.loads(file.read_text())
    assert found["names"] == ["dog"] and len(set(written_sheets(21))) == 21
    for near, far in zip(found["mel_distance"], found["seed_distance"], strict=True):
        assert 0 < near < far / 20
    assert all(first == second for first, second in found["heard"])


def test_a_model_that_sees_frames_takes_no_sheets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "precision", "--model", "tiny"])
    assert end.value.code == 2 and "sees frames" in capsys.readouterr().err


def test_a_field_with_cross_attention_is_sampled_as_it_is() -> None:
    model = frieren.load("tiny")
    config = dataclasses.replace(model.parts["field"].config, conditioning="cross-attention")
    model.parts["field"] = drawn(VectorField(config))
    features, latents = torch.randn(50, config.features), []
    for fast in (True, False):
        model.fast = fast
        latents.append(model.sample(features, seed=1, steps=3, guidance=2.0))
    assert torch.equal(*latents) and not torch.equal(latents[0], model.sample(features.flip(0), seed=1, steps=3))
