"""The networks at small sizes: shapes, what they see of their input, gradients, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.bigvgan import Activation, BigVGAN, BigVGANConfig, low_pass
from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.nets.cavp_pair import CAVP, CAVPPairConfig, SpectrogramConfig
from frieren.nets.field import (
    Attention,
    FeatureEmbedding,
    FieldConfig,
    VectorField,
    column_frames,
    regulate,
    repeat_index,
)
from frieren.nets.starts import start_from_components, start_white

VIDEO = CAVPConfig(
    width=4, blocks=(1, 2), expansion=2, stem_kernel=(3, 5, 5), temporal_kernels=(3, 3), embed=8, image_size=16
)
AUTOENCODER = AutoencoderConfig(bins=8, width=8, latent=4, groups=4)
FIELD = FieldConfig(
    latent=4, features=8, context=12, width=16, depth=2, heads=2, ffn_mult=2, positions=65, time_features=8,
    block_groups=4, output_groups=2,
)  # fmt: skip
VOCODER = BigVGANConfig(bins=8, width=16, rates=(4, 2), kernels=(8, 4), resblock_kernels=(3, 5), dilations=(1, 3))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def shaken(net: torch.nn.Module) -> torch.nn.Module:
    """No parameter at a value that hides a mistake (the zero of a block's output, the one of a norm)."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def reach(output: torch.Tensor, inputs: torch.Tensor, centre: int) -> tuple[int, int]:
    """First and last position on the last axis of `inputs` that the number `output` depends on, from `centre`."""
    (gradient,) = torch.autograd.grad(output, inputs)
    touched = gradient.abs().amax(dim=tuple(range(gradient.ndim - 1))).nonzero()
    return int(touched.min()) - centre, int(touched.max()) - centre


# Video tower


def test_video_tower_shapes() -> None:
    for change in ({}, {"stem_pool": False}, {"stem_kernel": (1, 7, 7), "temporal_kernels": (1, 3)}):
        features = VideoTower(dataclasses.replace(VIDEO, **change))(torch.rand(2, 5, 3, 16, 16))
        assert features.shape == (2, 5, 8)
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 5))


def test_receptive_frames_of_the_published_tower() -> None:
    assert CAVPConfig().receptive_frames == 9


def test_receptive_frames_are_what_gradients_say() -> None:
    tower = shaken(VideoTower(VIDEO)).double()
    images = torch.rand(1, 21, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    output = tower(images)[0, 10, 0]
    (gradient,) = torch.autograd.grad(output, images)
    touched = gradient.abs().amax(dim=(0, 2, 3, 4)).nonzero().flatten()
    assert tower.receptive_frames == 4
    assert (touched.min().item(), touched.max().item()) == (6, 14)


def test_video_tower_in_chunks_with_context() -> None:
    tower = shaken(VideoTower(VIDEO))
    images, context = torch.rand(1, 24, 3, 16, 16), tower.receptive_frames
    whole, part = tower(images), tower(images[:, 8 - context : 16 + context])
    torch.testing.assert_close(part[:, context:-context], whole[:, 8:16], rtol=0, atol=1e-5)
    # and without context the chunk's ends do differ
    assert (tower(images[:, 8:16]) - whole[:, 8:16])[:, 0].abs().max() > 1e-4


def test_both_towers() -> None:
    cavp = CAVP(CAVPPairConfig(VIDEO, SpectrogramConfig(bins=32, widths=(2, 2, 4, 4, 8, 8), embed=8)))
    video, audio = cavp(torch.rand(2, 4, 3, 16, 16), torch.rand(2, 32, 64))
    assert video.shape == audio.shape == (2, 4, 8)
    torch.testing.assert_close(audio.norm(dim=-1), torch.ones(2, 4))


def test_video_config_refuses() -> None:
    with pytest.raises(ValueError, match="temporal_kernels"):
        CAVPConfig(blocks=(1, 1))
    with pytest.raises(ValueError, match="odd"):
        CAVPConfig(stem_kernel=(2, 5, 5))


# Mel autoencoder


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"multipliers": (1,), "downsample_levels": ()},
        {"downsample_levels": (0, 1)},
        {"attention": False, "blocks": 1},
    ],
)
def test_autoencoder_shapes(change: dict) -> None:
    config = dataclasses.replace(AUTOENCODER, **change)
    autoencoder = MelAutoencoder(config)
    mean, logvar = autoencoder.encode(torch.randn(2, 8, 24))
    assert mean.shape == logvar.shape == (2, 4, 24 // config.stride)
    assert autoencoder.decode(mean).shape == (2, 8, 24)


def test_autoencoder_refuses_half_a_column() -> None:
    with pytest.raises(ValueError, match="25 columns.*multiple of 2"):
        MelAutoencoder(AUTOENCODER).encode(torch.randn(1, 8, 25))
    with pytest.raises(ValueError, match="downsample_levels"):
        AutoencoderConfig(downsample_levels=(2,))


def test_log_variance_is_clamped() -> None:
    autoencoder = MelAutoencoder(AUTOENCODER)
    with torch.no_grad():
        autoencoder.to_posterior.bias.fill_(1e3)
    assert autoencoder.encode(torch.randn(1, 8, 4))[1].max() == 20


# Vector field


def test_field_shapes_and_start() -> None:
    field = VectorField(FIELD)
    c = field.condition(torch.randn(2, 3, 8))
    assert c.shape == (2, 24, 8)
    v = field(torch.randn(2, 4, 24), torch.tensor([0.0, 1.0]), c)
    assert v.shape == (2, 4, 24)
    assert v.abs().max() > 0  # only the blocks' outputs start at zero
    assert all(block.conv_out.weight.abs().max() == 0 for block in field.blocks)


def test_null_condition_is_that_of_zero_features() -> None:
    field = shaken(VectorField(FIELD))
    c = field.condition(torch.zeros(2, 3, 8))
    torch.testing.assert_close(field.null_condition(c), c)


def test_time_is_rounded_down_or_not() -> None:
    x, t = torch.randn(1, 4, 16), torch.tensor([0.1234])
    for steps, same in ((1000, True), (None, False)):
        field = shaken(VectorField(dataclasses.replace(FIELD, time_steps=steps)))
        c = field.condition(torch.randn(1, 2, 8))
        assert torch.equal(field(x, t, c), field(x, torch.tensor([0.12301]), c)) is same


def test_time_embedding_by_hand() -> None:
    embedding = VectorField(FIELD).embed_time
    embedding.hidden, embedding.out = torch.nn.Identity(), torch.nn.Identity()
    embedding.hidden.weight = torch.zeros(())
    frequencies = 10_000.0 ** -(torch.arange(4) / 4)
    expected = F.silu(torch.cat([(70 * frequencies).cos(), (70 * frequencies).sin()]))
    torch.testing.assert_close(embedding(torch.tensor([70.0]))[0], expected)


@pytest.mark.parametrize("conditioning", ["concat", "cross-attention"])
def test_gradient_checkpointing_changes_nothing(conditioning) -> None:
    config = dataclasses.replace(FIELD, conditioning=conditioning)
    x, t, features = torch.randn(2, 4, 16), torch.rand(2), torch.randn(2, 2, 8)
    gradients = []
    for on in (False, True):
        torch.manual_seed(1)
        field = shaken(VectorField(dataclasses.replace(config, gradient_checkpointing=on))).train()
        field(x, t, field.condition(features)).square().sum().backward()
        gradients.append([parameter.grad for parameter in field.parameters()])
    torch.testing.assert_close(*gradients)


CROSSED = dataclasses.replace(FIELD, conditioning="cross-attention")


@pytest.mark.parametrize("training", [True, False])
def test_attention_to_other_rows_is_that_of_torch(training: bool) -> None:
    ours, theirs = Attention(16, 2).train(training), torch.nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x, context = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    torch.testing.assert_close(ours(x, context), theirs(x, context, context)[0])
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_cross_attention_sees_a_set_of_features_and_joined_channels_a_sequence() -> None:
    """Without positions a column of the latent cannot tell which of the features is its own."""
    x, t, order = torch.randn(1, 4, 16), torch.rand(1), torch.randperm(16)
    for config, same in ((CROSSED, True), (FIELD, False)):
        field = shaken(VectorField(config))
        c = field.condition(torch.randn(1, 2, 8))
        kept = field.positions.weight.data.clone()
        field.positions.weight.data.zero_()
        bare, shuffled = field(x, t, c), field(x, t, c[:, order])
        assert torch.allclose(bare, shuffled, atol=1e-5) is same
        assert not torch.allclose(bare, field(x, t, c + 1), atol=1e-3)
        field.positions.weight.data.copy_(kept)
        assert not torch.allclose(field(x, t, c), field(x, t, c[:, order]), atol=1e-5)


def test_every_column_attends_to_every_feature() -> None:
    field = shaken(VectorField(CROSSED))
    c = field.condition(torch.randn(1, 2, 8)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(field(torch.randn(1, 4, 16), torch.rand(1), c)[0, 0, 3], c)
    assert c.shape == (1, 16, 16) and (gradient.abs().sum(-1) > 0).all()
    torch.testing.assert_close(field.null_condition(c), field.condition(torch.zeros(1, 2, 8)))


def test_both_kinds_of_conditioning_have_one_size() -> None:
    """But for two projections, which give all of the width instead of half."""
    joined, crossed = (sum(p.numel() for p in VectorField(config).parameters()) for config in (FIELD, CROSSED))
    assert crossed - joined == 2 * (16 * 8 + 8)


@pytest.mark.parametrize("context", [6, 9])
def test_features_can_start_white(context: int) -> None:
    """Components however faint come out of the input layer with variance 1, the largest first; rows beyond stay."""
    torch.manual_seed(0)
    embedding = FeatureEmbedding(dataclasses.replace(FIELD, features=6, context=context))
    spreads = torch.tensor([1.0, 0.5, 0.1, 0.03, 0.01, 1e-5])
    turned, _ = torch.linalg.qr(torch.randn(6, 6))
    features = (torch.randn(4000, 6) * spreads) @ turned.T + 3
    rest = embedding.input.weight[6:].clone()
    start_white(embedding, features)
    white = embedding.input(features)[:, :6]
    torch.testing.assert_close(white.mean(0), torch.zeros(6), atol=0.02, rtol=0)
    covariance = white.T @ white / len(white)
    torch.testing.assert_close(covariance[:5, :5], torch.eye(5), atol=0.02, rtol=0)
    assert covariance[5, 5] < 0.01, "what is a rounding error is not made a feature"
    assert (embedding.input.weight[0] / embedding.input.weight[0].norm() @ turned[:, 0]).abs() > 0.99
    assert torch.equal(embedding.input.weight[6:], rest)


def test_field_refuses() -> None:
    field = VectorField(dataclasses.replace(FIELD, regulator="time"))
    with pytest.raises(ValueError, match="column_frames"):
        field.condition(torch.randn(1, 2, 8))
    with pytest.raises(ValueError, match="65 latent columns, at most 64"):
        field(torch.randn(1, 4, 65), torch.zeros(1), torch.zeros(1, 65, 8))
    with pytest.raises(ValueError, match="'nearest'"):
        FieldConfig(regulator="nearest")
    with pytest.raises(ValueError, match="conditioning must be"):
        FieldConfig(conditioning="film")
    with pytest.raises(ValueError, match="heads"):
        FieldConfig(heads=7)


def test_a_column_gets_the_frame_on_screen() -> None:
    frames, columns = torch.tensor([0.1, 0.5, 0.6]), torch.tensor([0.0, 0.1, 0.49, 0.5, 0.55, 0.6, 9.0])
    assert column_frames(frames, columns).tolist() == [0, 0, 0, 1, 1, 2, 2]
    both = column_frames(torch.stack([frames, frames + 0.05]), torch.stack([columns, columns]))
    assert both.tolist() == [[0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 2]]


def test_repeat_index() -> None:
    assert repeat_index(7, 3).tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert repeat_index(7, 3, frames=2).tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_regulate_is_nearest_repetition() -> None:
    x = torch.randn(2, 4, 3)
    expected = F.interpolate(x.mT, scale_factor=8, mode="nearest").mT
    assert torch.equal(regulate(x, repeat_index(32, 8)), expected)
    assert torch.equal(regulate(x, repeat_index(32, 8).expand(2, -1)), expected)


def test_condition_by_index_is_condition_by_repetition() -> None:
    field = shaken(VectorField(FIELD))
    features = torch.randn(2, 3, 8)
    torch.testing.assert_close(field.condition(features, repeat_index(24, 8)), field.condition(features))
    per_item = torch.stack([repeat_index(10, 8), repeat_index(10, 4)])
    c = field.condition(features, per_item)
    torch.testing.assert_close(c[1], field.condition(features[1:], per_item[1])[0])


# Vocoder


def test_vocoder_shapes() -> None:
    wave = BigVGAN(VOCODER)(torch.randn(2, 8, 5))
    assert wave.shape == (2, 5 * VOCODER.hop)
    assert BigVGANConfig().hop == 256


@pytest.mark.parametrize(
    "change", [{}, {"rates": (3, 2), "kernels": (5, 2)}, {"width": 8, "rates": (8,), "kernels": (16,)}]
)
def test_vocoder_context_covers_what_gradients_say(change: dict) -> None:
    config = dataclasses.replace(VOCODER, **change)
    vocoder = shaken(BigVGAN(config)).double()
    centre = config.context + 4
    mel = torch.randn(1, 8, 2 * centre + 1, dtype=torch.float64, requires_grad=True)
    wave = vocoder(mel)[0, centre * config.hop : (centre + 1) * config.hop]
    first, last = reach(wave.square().sum(), mel, centre)
    assert -config.context <= first <= 1 - config.context  # never too small, hardly too large
    assert config.context - 1 <= last <= config.context


def test_vocoder_in_chunks_with_context() -> None:
    vocoder, context, hop = shaken(BigVGAN(VOCODER)), VOCODER.context, VOCODER.hop
    mel = torch.randn(1, 8, 3 * context + 20)
    whole = vocoder(mel)
    part = vocoder(mel[..., : 2 * context + 10])[:, context * hop : -context * hop]
    torch.testing.assert_close(part, whole[:, context * hop : (context + 10) * hop], rtol=0, atol=1e-5)


def test_activation_sample_by_sample() -> None:
    """Zeros between the samples, filter, nonlinearity, filter, every second sample (paper section 4.7)."""
    activation = shaken(Activation(3)).double()
    x, taps = torch.randn(1, 3, 11, dtype=torch.float64), low_pass().numpy()
    expected = []
    for channel, alpha, beta in zip(x[0].numpy(), activation.alpha.exp(), activation.beta.exp(), strict=True):
        stuffed = np.zeros(2 * (11 + 10) - 1)
        stuffed[::2] = np.pad(channel, 5, mode="edge")
        y = 2 * np.convolve(stuffed, taps)[15 : 15 + 22]
        y = y + np.sin(y * alpha.item()) ** 2 / (beta.item() + 1e-9)
        expected.append(np.convolve(np.pad(y, (5, 6), mode="edge"), taps, mode="valid")[::2])
    torch.testing.assert_close(activation(x)[0], torch.from_numpy(np.stack(expected)))


def test_vocoder_trains_after_inference_mode() -> None:
    """The constant filter is made on first use; that may be in inference mode."""
    vocoder = BigVGAN(VOCODER)
    with torch.inference_mode():
        vocoder(torch.randn(1, 8, 4))
    vocoder(torch.randn(1, 8, 4)).sum().backward()


def test_vocoder_config_refuses() -> None:
    with pytest.raises(ValueError, match="one entry per rate"):
        BigVGANConfig(rates=(4,))
    with pytest.raises(ValueError, match="even"):
        BigVGANConfig(kernels=(7, 8, 4, 4, 4, 4))
    with pytest.raises(ValueError, match="width"):
        BigVGANConfig(width=100)


@pytest.mark.parametrize("latent", [6, 16])
def test_an_autoencoder_that_starts_linear_is_the_projection_on_principal_components(latent):
    torch.manual_seed(0)
    config = AutoencoderConfig(bins=8, width=8, multipliers=(1, 1), blocks=1, latent=latent, groups=4, shortcut=True)
    autoencoder = MelAutoencoder(config).eval()
    mels = (torch.randn(8, 4) @ torch.randn(5, 4, 64)) * torch.linspace(0.1, 2, 8)[:, None] - 3
    mels = torch.cat([mels, mels.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)])  # both columns of a pair: the same mean
    start_from_components(autoencoder, mels)
    mean, log_variance = autoencoder.encode(mels)
    rows = mels.unflatten(-1, (-1, 2)).transpose(1, 2).flatten(2).flatten(0, 1)
    centre = rows.mean(0)
    _, _, components = torch.linalg.svd(rows - centre, full_matrices=False)
    wanted = (rows - centre) @ components[:latent].T @ components[:latent] + centre
    back = autoencoder.decode(mean).unflatten(-1, (-1, 2)).transpose(1, 2).flatten(2).flatten(0, 1)
    torch.testing.assert_close(back, wanted, atol=1e-3, rtol=0)
    used = mean.transpose(0, 1).flatten(1).std(1)[:6]
    assert log_variance.unique().numel() == 1 and (used.diff() <= 1e-3).all()
