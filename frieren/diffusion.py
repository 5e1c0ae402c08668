"""Gaussian diffusion, and the way back by the schedulers of `diffusers` (extra `rivals`): what a flow is compared with.

x_k = sqrt(a_k) x1 + sqrt(1 - a_k) x0 for k = 0 .. 999, with noise x0, data x1 and the squared signal a_k of
`noise_schedule`. Its time t = k / 1000 runs from data to noise, against that of the flow. A network predicts x0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frieren.errors import package
from frieren.noise_schedule import FIRST_BETA, LAST_BETA, TIMES, squared_signal

if TYPE_CHECKING:
    from frieren.solver import Step, Velocity

SCHEDULERS = ("ddim", "pndm", "dpm++")
# Steps begin at the last of the times, so that even a single one begins where everything is noise (arXiv 2305.08891).
SETTINGS: dict[str, Any] = {
    "num_train_timesteps": TIMES,
    "beta_start": FIRST_BETA,
    "beta_end": LAST_BETA,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
}
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": False}),
    # Of second order, with equal steps of the log of signal over noise, as its authors have it (arXiv 2211.01095).
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_lu_lambdas": True}),
}


def signal() -> Tensor:
    """The squared signal a_k of every time, float32 [1000]."""
    return torch.tensor(squared_signal())


def diffuse(x0: Tensor, x1: Tensor, k: Tensor) -> Tensor:
    """x_k between noise x0 and data x1 [B, ...] at times k [B], int64."""
    a = signal().to(x1.device)[k].view(-1, *[1] * (x1.ndim - 1))
    return a.sqrt() * x1 + (1 - a).sqrt() * x0


def scheduler(name: str, steps: int) -> Any:
    """A scheduler of `diffusers` that is set to a number of steps.

    Raises:
        ValueError: for an unknown name or fewer than one step.
        PackageError: if diffusers is not installed.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if name not in SCHEDULERS:
        raise ValueError(f"unknown scheduler {name!r}; a model that predicts noise takes {', '.join(SCHEDULERS)}")
    kind, settings = CLASSES[name]
    made = getattr(package("diffusers", "rivals"), kind)(**SETTINGS, **settings)
    made.set_timesteps(steps)
    return made


def steer(noise: Tensor, x: Tensor, t: float, log_probability: Callable[[Tensor], Tensor], weight: float) -> Tensor:
    """Classifier guidance: noise - weight sqrt(1 - a_k) times the gradient of a classifier (arXiv 2105.05233).

    Args:
        noise: predicted in x [B, ...] at t = k / 1000.
        log_probability: x -> [B], of what is wanted, by a classifier of noisy data.
    """
    with torch.inference_mode(False), torch.enable_grad():
        moved = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(log_probability(moved).sum(), moved)
    return noise - weight * (1 - signal()[round(t * TIMES)]).sqrt().to(noise) * gradient.to(noise)


def denoise(noise_in: Velocity, x: Tensor, steps: int, name: str) -> Iterator[Step]:
    """Goes from noise x to data and yields (share of the steps that is done, x) after each.

    Args:
        noise_in: predicts the noise in x at t = k / 1000.
        steps, name: see `scheduler`. "pndm" takes one evaluation more.
    """
    made = scheduler(name, steps)
    for done, k in enumerate(made.timesteps.tolist(), 1):
        x = made.step(noise_in(x, k / TIMES), k, x).prev_sample
        yield done / len(made.timesteps), x
