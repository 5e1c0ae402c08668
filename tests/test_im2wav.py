"""Im2Wav in small: both levels by brute force, causality by gradients, levels and windows against a second path."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers", reason="the extra rivals is not installed")
pytest.importorskip("vector_quantize_pytorch", reason="the extra rivals is not installed")

from frieren import load
from frieren.autoregression import conditions, draw, sample_codes
from frieren.clock import Clock
from frieren.nets.field import column_frames
from frieren.nets.rivals.codes import CodeTransformerConfig
from frieren.nets.rivals.im2wav import Im2Wav, Im2WavConfig
from frieren.record import sampling_settings
from frieren.training.tasks.rivals.code_loss import code_loss
from frieren.weights import load_part, save_part

CONFIG = Im2WavConfig(latent=8, features=6, groups=2, codes=16, window=32, width=32, depth=2, heads=2, top=16)
CLOCK = Clock(fps=25.0, window=32, overlap=8)


@pytest.fixture(scope="module")
def network() -> Im2Wav:
    torch.manual_seed(0)
    made = Im2Wav(CONFIG)
    made.fit(torch.randn(8, 8, 32))
    for level in made.levels:
        for parameter in (*level.decoder.parameters(), *level.given.parameters(), *level.start.parameters()):
            parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


def test_both_levels_have_the_nearest_codes_of_one_sound(network):
    latent = torch.randn(3, 8, 32)
    for level, columns in zip(network.levels, (4, 16), strict=True):
        join, codes = 32 // columns, level.encode(latent)
        assert codes.shape == (3, columns, 2)
        for group in range(2):
            pieces = latent[:, group::2].unflatten(-1, (columns, join)).transpose(1, 2).flatten(2)  # [B, N, C / 2 J]
            distances = torch.cdist(pieces, level.codebooks.codebook[group])
            assert torch.equal(codes[..., group], distances.argmin(-1))
    coarse, fine = ((level.decode(level.encode(latent)) - latent).square().mean() for level in network.levels)
    assert fine < coarse


def test_a_code_sees_those_before_it_and_features_up_to_its_own(network):
    """And the first row, in which the mean of all features is."""
    level = network.lower
    codes, c = torch.randint(16, (1, 4, 2)), level.condition(torch.randn(1, 32, 6)).detach().requires_grad_()
    seen = []
    hook = level.decoder.wte.register_forward_hook(lambda module, inputs, out: seen.append(out.requires_grad_()))
    logits = level(codes, c)
    hook.remove()
    for index in range(8):
        of_codes, of_c = torch.autograd.grad(logits[0, index].sum(), (seen[0], c), retain_graph=True)
        assert (of_codes[0].abs().sum(-1) > 0).tolist() == [place < index for place in range(7)]
        assert (of_c[0].abs().sum(-1) > 0).tolist() == [place <= index for place in range(8)]


def test_each_code_is_given_the_features_of_its_time_and_the_first_their_mean(network):
    level, features, coarse = network.upper, torch.randn(1, 32, 6), torch.randn(1, 8, 32)
    c, shown = level.condition(features, coarse), torch.cat([features, coarse.mT], dim=-1)
    assert c.shape == (1, 32, 32)
    for index in range(1, 32):
        column = index // 2
        assert torch.allclose(c[0, index], level.given(shown[0, 2 * column : 2 * column + 2].mean(0)), atol=1e-5)
    start = level.given(shown[0, :2].mean(0)) + level.start(shown[0].mean(0))
    assert torch.allclose(c[0, 0], start, atol=1e-5)


def test_no_features_still_leave_the_upper_level_what_the_lower_sounds_like(network):
    shown, coarse = torch.randn(1, 32, 6), torch.randn(1, 8, 32)
    c, null = conditions(network.upper, shown, coarse)
    assert torch.equal(c, network.upper.condition(shown, coarse))
    assert torch.equal(null, network.upper.condition(torch.zeros(1, 32, 6), coarse))
    assert not torch.allclose(null, conditions(network.upper, shown, 0 * coarse)[1])


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_drawing_step_by_step_is_guiding_the_logits_of_the_whole(network, guidance):
    """With all chances 0 the most probable code is drawn: that of the whole forward pass over what was drawn."""
    level = network.upper
    c, null = conditions(level, torch.randn(2, 32, 6), torch.randn(2, 8, 32))
    with torch.no_grad():
        begin = torch.randint(16, (2, 3, 2))
        codes = draw(level, c, null, torch.zeros(2, 16, 2), begin, guidance)
        logits = level(codes, null) + guidance * (level(codes, c) - level(codes, null))
    assert torch.equal(codes[:, :3], begin)
    assert torch.equal(logits.argmax(-1)[:, 6:], codes.flatten(1)[:, 6:])
    assert guidance == 1 or not torch.equal(level(codes, c).argmax(-1)[:, 6:], codes.flatten(1)[:, 6:])


def test_windows_are_written_level_after_level(network):
    """By hand: the lower level, then the upper one that hears it; a window goes on from the codes before it."""
    features, noise = torch.randn(1, 60, 6), torch.randn(1, 8, 56)
    times = torch.tensor(CLOCK.frame_times(60), dtype=torch.float64)
    *_, (done, latent) = sample_codes(network, features, times, noise, CLOCK, 2.0)
    rows = features[:, column_frames(times, torch.tensor(CLOCK.column_times(56), dtype=torch.float64))]
    uniform = torch.special.ndtr(noise)
    lower, upper = torch.zeros(1, 0, 2, dtype=torch.int64), torch.zeros(1, 0, 2, dtype=torch.int64)
    for start in (0, 24):
        shown = rows[:, start : start + 32]
        c, null = conditions(network.lower, shown, None)
        chance = uniform[:, 0:2, start : start + 32 : 8].mT
        part = draw(network.lower, c, null, chance, lower[:, start // 8 :], 2.0)
        lower = torch.cat([lower[:, : start // 8], part], dim=1)
        c, null = conditions(network.upper, shown, network.lower.decode(part))
        chance = uniform[:, 2:4, start : start + 32 : 2].mT
        part = draw(network.upper, c, null, chance, upper[:, start // 2 :], 2.0)
        upper = torch.cat([upper[:, : start // 2], part], dim=1)
    assert done == 1.0 and torch.equal(latent, network.upper.decode(upper))
    *_, (_, short) = sample_codes(network, features, times, noise[..., :51], CLOCK, 2.0)
    assert short.shape == (1, 8, 51)


def test_the_loss_is_the_mean_of_both_levels_and_each_learns_from_its_own(network):
    torch.manual_seed(0)
    features, latent = torch.randn(4, 32, 6), torch.randn(4, 8, 32)
    losses = []
    for level, coarse in zip(network.levels, (None, network.lower.decode(network.lower.encode(latent))), strict=True):
        codes, logits = level.encode(latent), level(level.encode(latent), level.condition(features, coarse))
        losses.append(F.cross_entropy(logits.flatten(0, 1), codes.flatten()))
    loss = code_loss(network, features, latent)
    assert torch.allclose(loss, (losses[0] + losses[1]) / 2)
    network.zero_grad()
    loss.backward()
    assert all(level.start.weight.grad.abs().sum() > 0 for level in network.levels)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="lower_join must be a multiple of upper_join"):
        Im2WavConfig(lower_join=8, upper_join=3)
    with pytest.raises(ValueError, match="pool must be join"):
        CodeTransformerConfig(conditioning="additive", join=4, pool=8)


def test_a_model_writes_both_levels(network, tmp_path):
    model = load("tiny")
    config = dataclasses.replace(
        CONFIG, latent=model.field.config.latent, features=model.field.config.features, window=model.clock.window
    )
    torch.manual_seed(1)
    made = Im2Wav(config).eval()
    made.fit(torch.randn(4, config.latent, config.window))
    save_part(tmp_path / "field", made, config)
    model.parts["field"] = again = load_part(tmp_path / "field")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in made.state_dict().items())
    features, options = torch.randn(50, config.features), {"solver": "autoregressive", "guidance": 2.0}
    latent = model.sample(features, seed=1, **options)
    assert torch.equal(latent, model.sample(features, seed=1, **options))
    assert not torch.equal(latent, model.sample(features, seed=2, **options))
    assert not torch.equal(latent, model.sample(features.flip(0), seed=1, **options))
    assert sampling_settings(model)["time"] == "continuous", "a record can be made"
