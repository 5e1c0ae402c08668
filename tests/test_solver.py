"""Solvers against fields whose integral is known in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from frieren.errors import SamplingError
from frieren.solver import DOPRI_A, DOPRI_C, DOPRI_ERROR, SOLVERS, runge_kutta, solve


def final(velocity, x, steps, solver, **options):
    return list(solve(velocity, x, steps, solver, **options))[-1][1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_straight_path_is_exact_in_one_step(solver):
    x0, x1 = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(final(lambda x, t: x1 - x0, x0, 1, solver), x1)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order_of_convergence(solver, order):
    """dx = -2 t x^2 dt has the solution 1 / (1 + t^2); halving the step divides the error by 2 ** order."""
    errors = []
    for steps in (32, 64):
        times = [step / steps for step in range(steps + 1)]  # float64: `solve` has the published float32 grid
        *_, (_, x) = runge_kutta(lambda x, t: -2 * t * x * x, torch.ones((), dtype=torch.float64), times, solver)
        errors.append(abs(x.item() - 0.5))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_dopri5_keeps_its_tolerance_and_ends_at_one():
    x0 = torch.ones(4, dtype=torch.float64)
    steps = list(solve(lambda x, t: -20 * (x - math.cos(t)), x0, 10, "dopri5", tolerance=1e-6))
    # Closed form of dx = -k (x - cos t): a cos t + b sin t + (1 - a) exp(-k t), a = k^2 / (k^2 + 1), b = k / (k^2 + 1).
    k, a, b = 20, 400 / 401, 20 / 401
    exact = a * math.cos(1) + b * math.sin(1) + (1 - a) * math.exp(-k)
    assert steps[-1][0] == 1.0
    torch.testing.assert_close(steps[-1][1], torch.full((4,), exact, dtype=torch.float64), atol=1e-5, rtol=0)


def test_steps_are_counted_and_yielded():
    times = [t for t, _ in solve(lambda x, t: x, torch.ones(1), 25, "euler")]
    assert len(times) == 25 and times[-1] == 1.0 and times[0] == pytest.approx(0.04)


def test_the_grid_is_the_published_one_of_float32():
    """Rounded down to thousandths it has 199, 359 and 399, where exact times have 200, 360 and 400."""
    begins = [0.0, *(t for t, _ in solve(lambda x, t: x, torch.ones(1), 25))]
    thousandths = [math.floor(torch.tensor(t) * 1000) for t in begins]
    assert thousandths == [{200: 199, 360: 359, 400: 399}.get(n, n) for n in range(0, 1001, 40)]


def test_the_error_of_dopri5_is_the_difference_of_fifth_and_fourth_order():
    """The fourth-order solution, fifth minus error, integrates cubics exactly and t^4 not; its weights are known."""
    fifth = [35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0]
    fourth = [b - e for b, e in zip(fifth, DOPRI_ERROR, strict=True)]
    known = [5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40]  # Hairer, table II.5.2
    assert fourth == pytest.approx(known, rel=1e-12)
    moments = [sum(b * c**k for b, c in zip(fourth, DOPRI_C, strict=True)) for k in range(5)]
    assert moments[:4] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-12) and abs(moments[4] - 1 / 5) > 1e-4


def test_dopri5_chooses_the_step_whose_error_is_the_tolerance():
    """x = t^5 has the error 5 |K| h^5 in any step, so the next one is 0.9 (tolerance (1 + x) / (5 |K|))^(1/5) long."""
    tolerance = 1e-7
    fourth = [5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40]
    error = abs(sum(b * c**4 for b, c in zip(fourth, DOPRI_C, strict=True)) - 1 / 5)
    x = torch.zeros((), dtype=torch.float64)
    times = [0.0, *(t for t, _ in solve(lambda x, t: 5 * x.new_tensor(t) ** 4, x, 20, "dopri5", tolerance=tolerance))]
    lengths = [after - before for before, after in pairwise(times)]
    wanted = [0.9 * (tolerance * (1 + t**5) / (5 * error)) ** 0.2 for t in times[1:-2]]
    assert len(wanted) > 4 and lengths[0] == pytest.approx(1 / 20)
    assert lengths[1:-1] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("ratio", "taken"), [(0.9, True), (2.0, False), (50.0, False)])
def test_a_step_is_taken_if_its_error_is_within_the_tolerance(ratio, taken):
    """Of x = t^10 in one step: the error estimate over tolerance (1 + x) is the ratio."""
    slopes = [10 * node**9 for node in DOPRI_C]
    error = abs(sum(weight * slope for weight, slope in zip(DOPRI_ERROR, slopes, strict=True)))
    end = sum(weight * slope for weight, slope in zip(DOPRI_A[-1], slopes, strict=False))
    tolerance = error / ((1 + end) * ratio)
    x = torch.zeros((), dtype=torch.float64)
    t, _ = next(solve(lambda x, t: 10 * x.new_tensor(t) ** 9, x, 1, "dopri5", tolerance=tolerance))
    assert (t == 1) == taken


@pytest.mark.parametrize(("steps", "solver"), [(0, "euler"), (5, "leapfrog")])
def test_wrong_options_are_named(steps, solver):
    with pytest.raises(ValueError, match=str(steps) if steps < 1 else solver):
        solve(lambda x, t: x, torch.ones(1), steps, solver)


def test_a_velocity_that_is_no_number_ends_the_search_for_a_step():
    with pytest.raises(SamplingError, match="not finite"):
        list(solve(lambda x, t: x * float("nan"), torch.ones(3), 10, "dopri5"))
