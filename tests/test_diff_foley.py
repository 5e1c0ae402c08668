"""Diff-Foley in small: classifier guidance against a closed form, what learns from what, and sampling."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("diffusers", reason="the extra rivals is not installed")

from frieren import diffusion, load
from frieren.latent import GuidedField
from frieren.nets.rivals.diff_foley import DiffFoley, DiffFoleyConfig
from frieren.record import sampling_settings
from frieren.training.tasks.rivals.diff_foley_loss import alignment_loss, contrast_loss, diff_foley_losses
from frieren.weights import load_part, save_part

CONFIG = DiffFoleyConfig(
    latent=8, features=6, embed=8, window=32, widths=(8, 8), context=16, heads=2, groups=4, hidden=16, alignment=1.0
)


@pytest.fixture(scope="module")
def network() -> DiffFoley:
    torch.manual_seed(0)
    return DiffFoley(CONFIG).eval()


@pytest.mark.parametrize("name", ["ddim", "dpm++"])
def test_classifier_guidance_leads_a_gaussian_to_its_posterior(name):
    """Data x1 ~ N(0, 1) is seen as y = x1 + N(0, 1/4): given y, x1 ~ N(4/5 y, 1/5).

    The classifier of a noisy x_k is N(y; E[x1 | x_k], var[x1 | x_k] + 1/4), with E = sqrt(a) x_k and var = 1 - a.
    """
    y = 1.5

    def guided(x, t):
        a = diffusion.signal()[round(t * 1000)].double()
        noise = (1 - a).sqrt() * x  # what is expected in x_k, whose variance is 1
        return diffusion.steer(noise, x, t, lambda x: -((y - a.sqrt() * x) ** 2) / (2 * (1.25 - a)), 1.0)

    x = torch.linspace(-2.5, 2.5, 11, dtype=torch.float64)
    *_, (_, end) = diffusion.denoise(guided, x, 200, name)
    # At the last time nearly nothing is known of x1, so x is a quantile of nearly N(0, 1).
    assert torch.allclose(end, 0.8 * y + x * 0.2**0.5, atol=0.08)
    *_, (_, alone) = diffusion.denoise(lambda x, t: (1 - diffusion.signal()[round(t * 1000)]).sqrt() * x, x, 200, name)
    assert torch.allclose(alone, x, atol=0.05)


def test_steering_works_within_inference_mode_and_scales():
    with torch.inference_mode():
        x, noise = torch.randn(3, 4), torch.randn(3, 4)
        once, twice = (diffusion.steer(noise, x, 0.5, lambda x: -(x**2).sum(-1) / 2, weight) for weight in (1.0, 2.0))
    expected = noise + (1 - diffusion.signal()[500]).sqrt() * x
    assert torch.allclose(once, expected) and torch.allclose(twice - noise, 2 * (once - noise), atol=1e-6)


@pytest.mark.parametrize("name", ["ddim", "dpm++"])
def test_a_u_net_that_finds_nothing_leaves_a_gaussian_what_it_is(network, monkeypatch, name):
    """It begins with the noise that is expected in data x1 ~ N(0, 1), whose quantiles the schedulers leave."""
    x, c = torch.randn(2, 8, 32), torch.randn(2, 4, 8)
    finds(network, monkeypatch, torch.zeros_like(x))
    predict = lambda x, t: network(x, torch.full((2,), t), c)  # noqa: E731
    assert torch.allclose(predict(x, 0.7), (1 - diffusion.signal()[700]).sqrt() * x)
    *_, (_, end) = diffusion.denoise(predict, x, 100, name)
    assert torch.allclose(end, x, atol=0.05)


def finds(network: DiffFoley, monkeypatch, v: torch.Tensor) -> None:
    """Let the U-Net answer with v [B, C, L]."""
    monkeypatch.setattr(network.unet, "forward", lambda *inputs: SimpleNamespace(sample=v[:, :, None]))


@pytest.mark.parametrize("k", [0, 500, 999])
def test_an_error_of_the_u_net_is_no_larger_in_the_data(network, monkeypatch, k):
    """In x1 = (x - sqrt(1 - a) noise) / sqrt(a), where an error of the noise is up to 15 times as large."""
    x0, x1, error, c = *(torch.randn(4, 8, 32) for _ in range(3)), torch.randn(4, 4, 8)
    a, x = diffusion.signal()[k], diffusion.diffuse(x0, x1, torch.full((4,), k))
    finds(network, monkeypatch, a.sqrt() * x0 - (1 - a).sqrt() * x1 + error)
    noise = network(x, torch.full((4,), k / 1000), c)
    assert torch.allclose(noise, x0 + a.sqrt() * error, atol=1e-5)
    data = (x - (1 - a).sqrt() * noise) / a.sqrt()
    assert torch.allclose(data, x1 - (1 - a).sqrt() * error, atol=1e-4)


def test_no_part_learns_from_the_loss_of_another(network):
    x0, x1, features = torch.randn(4, 8, 32), torch.randn(4, 8, 32), torch.randn(4, 32, 6)
    features[3] = 0
    parts = {
        "contrast": {"of_frames", "of_sound", "logit_scale"},
        "noise": {"unet", "project", "positions"},
        "alignment": {"noisy", "embed_time", "compare", "aligned"},
    }
    losses = diff_foley_losses(network, x0, x1, torch.rand(4), features)
    assert losses.keys() == parts.keys()
    for name, loss in losses.items():
        network.zero_grad()
        loss.backward()
        moved = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == parts[name], name


def test_items_without_features_teach_the_u_net_alone(network):
    x = torch.randn(3, 8, 32)
    assert diff_foley_losses(network, x, x, torch.rand(3), torch.zeros(3, 32, 6)).keys() == {"noise"}


def test_the_contrast_is_lowest_where_every_segment_finds_its_own(network, monkeypatch):
    vectors = F.normalize(torch.randn(3, 4, 8), dim=-1)
    monkeypatch.setattr(DiffFoley, "sound", lambda self, latent: latent)
    matched = contrast_loss(network, vectors, vectors)
    assert matched < contrast_loss(network, vectors, vectors.roll(1, 0))  # another window's
    assert matched < contrast_loss(network, vectors, vectors.roll(1, 1))  # another time's
    logits = 14.3 * vectors.flatten(0, 1) @ vectors.flatten(0, 1).T
    semantic = F.cross_entropy(logits, torch.arange(12))
    each = torch.stack([F.cross_entropy(14.3 * v @ v.T, torch.arange(4)) for v in vectors]).mean()
    assert torch.allclose(matched, semantic + each, rtol=0.02)


def test_the_alignment_loss_has_matched_shifted_and_mismatched_pairs(network, monkeypatch):
    asked = []

    def align(self, x, t, c):
        asked.append((x, t))
        return torch.full((len(x),), [1.0, 2.0, 3.0][len(asked) - 1])

    monkeypatch.setattr(DiffFoley, "align", align)
    x, t = torch.arange(3.0 * 2 * 64).view(3, 2, 64), torch.rand(3)
    loss = alignment_loss(network, x, t, torch.randn(3, 8, 8))
    logits = torch.tensor([1.0, 2.0, 3.0])
    expected = (F.softplus(-logits[0]) + (F.softplus(logits[1]) + F.softplus(logits[2])) / 2) / 2
    assert torch.allclose(loss, expected)
    assert torch.equal(asked[0][0], x)
    late = int((asked[1][0][0, 0] == 0).nonzero())
    assert 16 <= late <= 48 and torch.equal(asked[1][0], x.roll(late, -1))
    assert torch.equal(asked[2][0], x.roll(1, 0)) and torch.equal(asked[2][1], t.roll(1, 0))


def test_the_u_net_sees_features_times_and_positions(network):
    x, t, c = torch.randn(1, 8, 32), torch.tensor([0.3]), network.condition(torch.randn(1, 32, 6))
    with torch.no_grad():
        first = network(x, t, c)
        assert first.shape == x.shape
        for other in (network(x, t, c.flip(1)), network(x, t + 0.5, c), network(x.flip(-1), t, c).flip(-1)):
            assert not torch.allclose(first, other, atol=1e-5)
        assert torch.allclose(c.norm(dim=-1), torch.ones(1, 4))
        assert torch.allclose(network.null_condition(c), network.condition(torch.zeros(1, 32, 6)))


def test_a_model_is_steered_by_its_classifier(tmp_path):
    model = load("tiny")
    config = dataclasses.replace(
        CONFIG, latent=model.field.config.latent, features=model.field.config.features, window=model.clock.window
    )
    torch.manual_seed(1)
    steered = DiffFoley(config).eval()
    save_part(tmp_path / "field", steered, config)
    model.parts["field"] = again = load_part(tmp_path / "field")
    features = torch.randn(60, config.features)
    options = {"seed": 1, "steps": 3, "guidance": 2.0, "solver": "dpm++"}
    latents = []
    for weight in (0.0, 1.0, 100.0):
        again.config = dataclasses.replace(config, alignment=weight)
        latents.append(model.sample(features, **options))
        assert torch.equal(latents[-1], model.sample(features, **options))
    assert (latents[1] - latents[0]).abs().max() > 0

    def logit(latent):
        window = F.pad(latent, (0, model.clock.window - latent.shape[-1]))[None]
        times = torch.tensor(model.clock.frame_times(60), dtype=torch.float64)
        c = GuidedField(again, features[None], times, model.clock.window, model.clock, 1.0, 8).condition(0)
        return again.align(window, torch.zeros(1), c).item()

    assert logit(latents[2]) > logit(latents[0])
    assert sampling_settings(model)["time"] == "continuous", "a record can be made"
