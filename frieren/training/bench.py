"""Speed of the vector field's training step, against this machine's fastest matmul.

frieren bench train

The step is the engine's own (`Learner.step`), on random data. Between the steps the same process multiplies matrices by
every means it has, so that a fraction of the best of them holds even where other processes come and go.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.flow import interpolate
from frieren.limits import Matmul, StepTimer, device_name, peak_memory, without_tf32
from frieren.nets.field import FieldConfig, VectorField
from frieren.training import machines
from frieren.training.learner import Learner, Trainable
from frieren.training.loss_settings import FieldLoss
from frieren.training.recipe import Machines, Optim, Precision, Recipe
from frieren.training.tasks.flow_losses import flow_loss

# The published sizes (paper section 4.4); the head counts of small and large are not published.
SIZES = {"small": FieldConfig(width=384), "base": FieldConfig(), "large": FieldConfig(width=768, depth=6)}
COLUMNS = 256  # latent columns of a window: 8.192 s


@dataclass(frozen=True)
class TrainingBenchmark:
    """Result of a measurement. Times are medians; a FLOP is a multiplication or an addition.

    Attributes:
        step_seconds: every step that was measured, in order.
        samples_per_second: items learnt from.
        flops_per_step: of the model: 3 times those of a forward pass. What is computed again for gradient checkpointing
            and the optimiser's own are not counted.
        flops_per_second: flops_per_step over the median step.
        matmul: FLOP/s by implementation; every one in the step's dtype.
        mfu: model FLOP utilisation, flops_per_second over the fastest matmul; both are medians, measured in turn.
        mfu_at_least: flops_per_second over the fastest single matmul, which no other process slowed down.
        cpu_utilisation: CPU time over wall time (cores), of the steps and of the matmuls: below `threads` where others
            use the cores too. Meaningless on a GPU.
        memory: largest amount so far, bytes: of the GPU, or of the process.
    """

    model_size: str
    parameters: int
    batch: int
    columns: int
    precision: str
    compile: bool
    gradient_checkpointing: bool
    device: str
    threads: int
    torch: str
    step_seconds: tuple[float, ...]
    samples_per_second: float
    flops_per_step: int
    flops_per_second: float
    matmul: dict[str, float]
    mfu: float
    mfu_at_least: float
    cpu_utilisation: tuple[float, float]
    memory: int


def forward_flops(config: FieldConfig, batch: int, columns: int, frames: int) -> int:
    """FLOPs of one evaluation of the field, condition included: those of matmuls and convolutions.

    A product of [m, k] and [k, n] has 2 m k n; padding of convolutions counts as if it were data.
    """
    width, tokens = config.width, columns + 1
    condition = config.features * config.context + config.context * width + width**2 + width * (width // 2)
    embed_time = config.time_features * width + width**2
    embed_latent = config.latent * config.input_kernel * width + width * (width // 2)
    attention = 4 * width**2 + 2 * tokens * width  # query, key, value, out; scores and their use
    feed_forward = 3 * config.ffn_mult * config.ffn_kernel * width**2  # in: twice the hidden channels, out: once
    block = 2 * width**2 + 2 * attention + feed_forward
    ends = embed_latent + width * config.latent
    return 2 * batch * (frames * condition + embed_time + columns * ends + tokens * config.depth * block)


class SyntheticWorkload:
    """The flow loss on one random batch."""

    def __init__(self, config: FieldConfig, batch: int, columns: int) -> None:
        torch.manual_seed(0)
        self.network = VectorField(config).train()
        self.frames = columns // config.repeat
        shape = (batch, config.latent, columns)
        self.batch = {
            "features": F.normalize(torch.randn(batch, self.frames, config.features), dim=-1),
            "x0": torch.randn(shape),
            "x1": torch.randn(shape),
            "t": torch.rand(batch),
        }

    def learner(self, how: Machines) -> Learner:
        """The engine with this network in it."""
        optim = Optim(batch=len(self.batch["t"]))
        recipe = Recipe("field", self.network.config, FieldLoss(), optim=optim, machines=how)
        return Learner("field", Trainable(self.network, self.losses), recipe, 1)

    def batch_on_device(self) -> dict[str, Tensor]:
        return machines.move(self.batch, machines.device())

    def losses(self, batch: Any, step: int) -> dict[str, Tensor]:
        condition = self.network.condition(batch["features"])
        velocity = self.network(interpolate(batch["x0"], batch["x1"], batch["t"]), batch["t"], condition)
        return {"total": flow_loss(velocity, batch["x0"], batch["x1"], batch["t"])}


def measure(
    model_size: str = "base",
    *,
    batch: int = 8,
    precision: Precision = "float32",
    compile: bool = False,
    gradient_checkpointing: bool = False,
    steps: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> TrainingBenchmark:
    """Measures steps and matmuls in turn.

    Args:
        model_size: a key of SIZES.
        batch: items per step.
        precision, compile: see `recipe.Machines`.
        gradient_checkpointing: see `FieldConfig`.
        steps: that are measured, after 1 (CPU) or 3 (GPU) that are not; by default 5 or 30.
        on_progress: called with (steps done, steps in all).
    """
    config = dataclasses.replace(SIZES[model_size], gradient_checkpointing=gradient_checkpointing)
    device = machines.device()
    steps, warmup = (steps or 30, 3) if device.type == "cuda" else (steps or 5, 1)
    with without_tf32(device):
        task = SyntheticWorkload(config, batch, COLUMNS)
        learner, data = task.learner(Machines(precision=precision, compile=compile)), [task.batch_on_device()]
        matmul = Matmul(getattr(torch, precision), device)
        step_watch, matmul_watch = StepTimer(device), StepTimer(device)
        rates: dict[str, list[float]] = {name: [] for name in matmul.ways}
        for step in range(warmup + steps):
            with step_watch.timing(counted=step >= warmup):
                learner.step(data, step)
            with matmul_watch.timing(counted=step >= warmup):
                for name, rate, _ in matmul.rates():
                    rates[name].append(rate)
            on_progress(step + 1, warmup + steps)
    best = {name: statistics.median(values) for name, values in rates.items()}
    seconds = statistics.median(step_watch.seconds)
    flops = 3 * forward_flops(config, batch, COLUMNS, task.frames)
    return TrainingBenchmark(
        model_size=model_size,
        parameters=sum(p.numel() for p in task.network.parameters()),
        batch=batch,
        columns=COLUMNS,
        precision=precision,
        compile=compile,
        gradient_checkpointing=gradient_checkpointing,
        device=device_name(device),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        step_seconds=tuple(step_watch.seconds),
        samples_per_second=batch / seconds,
        flops_per_step=flops,
        flops_per_second=flops / seconds,
        matmul=best,
        mfu=flops / seconds / max(best.values()),
        mfu_at_least=flops / seconds / max(max(values) for values in rates.values()),
        cpu_utilisation=(step_watch.cpu_utilisation(), matmul_watch.cpu_utilisation()),
        memory=peak_memory(device),
    )
