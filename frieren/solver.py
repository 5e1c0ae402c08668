"""Steps along an ordinary differential equation dx = v(x, t) dt from t = 0 (noise) to t = 1 (data).

Each solver is a generator over (velocity, x, times): it yields (t, x) after every step, so the caller owns progress,
cancelling and memory. Fixed-step solvers take exactly the given times; dopri5 chooses its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from frieren.errors import SamplingError

Velocity = Callable[[Tensor, float], Tensor]  # (x, t) -> v of the shape of x
Step = tuple[float, Tensor]

# An explicit Runge-Kutta method: rows a (one per stage after the first), weights b, nodes c.
TABLEAUS: dict[str, tuple[list[list[float]], list[float], list[float]]] = {
    "euler": ([], [1.0], [0.0]),
    "midpoint": ([[1 / 2]], [0.0, 1.0], [0.0, 1 / 2]),
    "heun": ([[1.0]], [1 / 2, 1 / 2], [0.0, 1.0]),
    "rk4": ([[1 / 2], [0.0, 1 / 2], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], [0.0, 1 / 2, 1 / 2, 1.0]),
}

# Dormand and Prince (1980), RK5(4)7M: the last row of A is also the fifth-order solution (first same as last).
DOPRI_A = [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
]
DOPRI_C = [0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0]
DOPRI_ERROR = [71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]

SOLVERS = (*TABLEAUS, "dopri5")


def solve(
    velocity: Velocity, x: Tensor, steps: int, solver: str = "euler", *, tolerance: float = 1e-4, first: int = 0
) -> Iterator[Step]:
    """Integrates from t = 0 to t = 1 and yields (t, x) after every step.

    Args:
        velocity: the field v(x, t).
        x: start, any shape.
        steps: number of equal steps (25 means 25); the first step size for dopri5.
        solver: one of SOLVERS.
        tolerance: absolute and relative error per step, for dopri5 only (the published setting is 1e-4).
        first: step to begin with, x being what the steps before it gave; not for dopri5.

    Raises:
        ValueError: for an unknown solver or fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if solver == "dopri5":
        return dopri5(velocity, x, first_step=1 / steps, tolerance=tolerance)
    if solver not in TABLEAUS:
        raise ValueError(f"unknown solver {solver!r}; choose one of {', '.join(SOLVERS)}")
    # In float32, as published: where the field cuts time to thousandths, the rounding of this grid decides.
    return runge_kutta(velocity, x, torch.linspace(0, 1, steps + 1).tolist()[first:], solver)


def runge_kutta(velocity: Velocity, x: Tensor, times: list[float], solver: str) -> Iterator[Step]:
    """One explicit Runge-Kutta step from each time to the next."""
    rows, weights, nodes = TABLEAUS[solver]
    for start, end in zip(times, times[1:], strict=False):
        h = end - start
        slopes = [velocity(x, start)]
        for row, node in zip(rows, nodes[1:], strict=True):
            slopes.append(velocity(x + h * combine(row, slopes), start + node * h))
        x = x + h * combine(weights, slopes)
        yield end, x


def dopri5(velocity: Velocity, x: Tensor, first_step: float, tolerance: float) -> Iterator[Step]:
    """Adaptive Dormand-Prince 5(4): a step is taken if its error estimate is within the tolerance, else a shorter one.

    Raises:
        SamplingError: if the velocity is not finite.
    """
    t, h = 0.0, first_step
    slope = velocity(x, t)
    while t < 1.0:
        h = min(h, 1.0 - t)
        slopes = [slope]
        for row, node in zip(DOPRI_A, DOPRI_C[1:], strict=True):
            ahead = x + h * combine(row, slopes)
            slopes.append(velocity(ahead, t + node * h))
        scale = tolerance * (1 + torch.maximum(x.abs(), ahead.abs()))
        error = (h * combine(DOPRI_ERROR, slopes) / scale).square().mean().sqrt().item()
        if not math.isfinite(error):
            raise SamplingError(f"the velocity at t = {t:.3f} is not finite; try --precision float32, or other weights")
        if error <= 1.0:
            t = 1.0 if t + h >= 1.0 - 1e-9 else t + h
            x, slope = ahead, slopes[-1]
            yield t, x
        h = h * min(5.0, max(0.2, 0.9 * (error + 1e-12) ** -0.2))


def combine(weights: list[float], slopes: list[Tensor]) -> Tensor:
    """Weighted sum of slopes; zero weights cost nothing."""
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight]
    return torch.stack(terms).sum(0) if len(terms) > 1 else terms[0]
