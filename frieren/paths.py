"""Paths from noise to data for what a network predicts: a velocity, the noise in x, or an average velocity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from frieren import diffusion
from frieren.errors import ConfigError
from frieren.nets.field import Prediction
from frieren.solver import SOLVERS, Step, solve

AVERAGE = "average"  # the solver of average velocities: a step is exact where the prediction is
SOLVERS_OF: dict[str, tuple[str, ...]] = {
    "velocity": SOLVERS,
    "noise": diffusion.SCHEDULERS,
    "average velocity": (AVERAGE, *SOLVERS),
    "codes": ("autoregressive",),  # `autoregression`
}


class Predict(Protocol):
    """A network's prediction at x and t; an average velocity's is that over [t, t + span]."""

    def __call__(self, x: Tensor, t: float, span: float = 0.0) -> Tensor: ...


def path(
    predicts: Prediction, predict: Predict, noise: Tensor, steps: int, solver: str, *, first: int = 0
) -> Iterator[Step]:
    """Goes from noise to data and yields (t, x) after every step, t from 0 to 1.

    Args:
        predicts: of the network behind `predict`.
        steps, first: see `solver.solve`; `first` is for solvers that depend on x alone (`resumes`).
        solver: of those of this prediction; for an average velocity any other than "average" solves its limit, the
            velocity.

    Raises:
        ConfigError: for a solver that is none of them.
        ValueError: for fewer than one step.
    """
    raise_if_unfit(solver, predicts)
    if predicts == "noise":
        return diffusion.denoise(predict, noise, steps, solver)
    if solver == AVERAGE:
        return average(predict, noise, steps, first)
    return solve(predict, noise, steps, solver, first=first)


def raise_if_unfit(solver: str, predicts: str) -> None:
    """Raises ConfigError for a solver that does not go with what a network predicts."""
    if solver not in SOLVERS_OF[predicts]:
        known = ", ".join(SOLVERS_OF[predicts])
        raise ConfigError(f"solver {solver!r} does not go with a model that predicts {predicts}; choose one of {known}")


def resumes(solver: str) -> bool:
    """Whether a step of this solver depends on nothing but x and its number."""
    return solver != "dopri5" and solver not in diffusion.SCHEDULERS


def average(predict: Predict, x: Tensor, steps: int, first: int = 0) -> Iterator[Step]:
    """x + span u(x, t, span) from each of `steps` equal spans to the next (equation 12 of arXiv 2505.13447).

    Raises:
        ValueError: for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    times = torch.linspace(0, 1, steps + 1).tolist()[first:]
    for start, end in zip(times, times[1:], strict=False):
        x = x + (end - start) * predict(x, start, end - start)
        yield end, x
