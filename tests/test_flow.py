"""The straight path: closed forms of its points, its weight and its guidance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frieren.flow import guide, guided_velocity, interpolate
from frieren.training.tasks.flow_losses import flow_loss, logit_normal_weight


def test_path_runs_from_noise_to_data():
    x0, x1 = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    torch.testing.assert_close(interpolate(x0, x1, torch.zeros(2)), x0)
    torch.testing.assert_close(interpolate(x0, x1, torch.ones(2)), x1)
    torch.testing.assert_close(interpolate(x0, x1, torch.tensor([0.25, 0.5]))[1], (x0[1] + x1[1]) / 2)


def test_weight_is_the_logit_normal_density():
    """It integrates to 1, has the paper's values, and weighting uniform t equals drawing logit-normal t."""
    t = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    weight = logit_normal_weight(t)
    assert torch.trapezoid(weight, t).item() == pytest.approx(1, abs=1e-6)
    known = {0.5: 1.596, 0.3: 1.327, 0.2: 0.954, 0.1: 0.397, 0.05: 0.110, 0.01: 0.0010}
    for at, value in known.items():
        assert logit_normal_weight(torch.tensor(at)).item() == pytest.approx(value, abs=6e-4)
    drawn = torch.sigmoid(torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert torch.trapezoid(weight * t.square(), t).item() == pytest.approx(drawn.square().mean().item(), abs=2e-3)


def test_guidance_one_is_the_conditional_field_and_zero_the_unconditional():
    conditional, unconditional = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 4.5), 4.5 * conditional - 3.5 * unconditional)


@pytest.mark.parametrize(("guidance", "rescale"), [(3.0, 2.0), (1.5, 2.0), (3.0, 0.0)])
def test_a_guided_velocity_keeps_the_deviation_of_less_guidance(guidance, rescale):
    """Held against numpy, item by item; neither guidance below the smaller one nor a rescale of 0 changes anything."""
    x, t = torch.randn(2, 4, 50), torch.rand(2)
    c, null = torch.randn(2, 4, 50), torch.zeros(2, 4, 50)
    made = guided_velocity(lambda x, t, c: c * (1 + x), x, t, c, null, guidance, rescale).double().numpy()
    conditional = (c * (1 + x)).double().numpy()
    for one, given in zip(made, conditional, strict=True):  # the null velocity is 0
        wanted = given * min(guidance, rescale or guidance)
        np.testing.assert_allclose(one, wanted, rtol=1e-4)


def test_a_guided_velocity_is_of_one_time_and_of_its_condition():
    """A field that adds up position, time and condition: at guidance g that is x + t + g c, and null is 0."""
    x, c, t = torch.randn(2, 4, 5), torch.randn(2, 4, 5), torch.tensor([0.25, 0.75])
    for guidance in (0.0, 1.0, 3.0):
        made = guided_velocity(lambda x, t, c: x + t.view(-1, 1, 1) + c, x, t, c, torch.zeros_like(c), guidance)
        torch.testing.assert_close(made, x + t.view(-1, 1, 1) + guidance * c)


def test_rescaling_changes_the_length_of_a_velocity_and_not_its_direction():
    x, c, null = torch.randn(3, 2, 4, 50)

    def velocity(guidance: float, rescale: float = 0.0) -> torch.Tensor:
        return guided_velocity(lambda x, t, c: torch.sin(c) + x, x, torch.zeros(2), c, null, guidance, rescale)

    strong, weak, made = velocity(3.0), velocity(2.0), velocity(3.0, 2.0)
    torch.testing.assert_close(made.std((1, 2)), weak.std((1, 2)))
    shares = made / strong
    assert (shares - shares[:, :1, :1]).abs().max() < 1e-5 and shares.max() < 1
    assert (made - weak).abs().max() > 0.1


def test_loss_equals_numpy():
    rng = np.random.default_rng(0)
    v, x0, x1 = rng.normal(size=(3, 4, 2, 5))
    t = rng.uniform(0.05, 0.95, 4)
    weight = np.exp(-(np.log(t / (1 - t)) ** 2) / 2) / (np.sqrt(2 * np.pi) * t * (1 - t))
    expected = np.mean(weight * ((v - (x1 - x0)) ** 2).mean((1, 2)))
    assert flow_loss(*map(torch.from_numpy, (v, x0, x1, t))).item() == pytest.approx(expected, rel=1e-12)


def test_exact_velocity_has_no_loss():
    x0, x1 = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert flow_loss(x1 - x0, x0, x1, torch.rand(2)).item() == 0
