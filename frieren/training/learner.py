"""A trainable in training: its network on the machines, its optimiser, its averaged weights, and one step.

torch's own engines do the distribution: DistributedDataParallel ("ddp") or `fully_shard` ("shard", FSDP2).
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from frieren.errors import FrierenError
from frieren.training import machines
from frieren.training.randomness import seed_all
from frieren.training.recipe import AnyRecipe, Optim, Precision

Losses = dict[str, Tensor]


class DivergedError(FrierenError):
    """A loss or a gradient is no longer a finite number."""


@dataclass(frozen=True)
class Trainable:
    """Networks with one optimiser and one objective. Most runs have one; an adversarial run has two.

    `losses(batch, step)` returns named terms, of which "total" is minimised; None skips the step.
    """

    network: nn.Module
    losses: Callable[[Any, int], Losses | None]


class Objective(nn.Module):
    """A trainable as one module whose forward gives its losses: DDP and `fully_shard` hook into a forward."""

    def __init__(self, trainable: Trainable) -> None:
        super().__init__()
        self.network = trainable.network
        self.losses = trainable.losses

    def forward(self, batch: Any, step: int) -> Losses | None:
        return self.losses(batch, step)


class Learner:
    """One trainable of a run, ready to take steps.

    Args:
        name: of the trainable.
        trainable: its network is moved to this process's device and, if the recipe says so, sharded or compiled in
            place.
        recipe: the run.
        stream: index of the trainable, from 1; its random numbers differ from those of the others.
    """

    def __init__(self, name: str, trainable: Trainable, recipe: AnyRecipe, stream: int) -> None:
        self.name, self.network, self.recipe, self.stream = name, trainable.network, recipe, stream
        self.network.to(machines.device())
        machines.broadcast_parameters(self.network)
        sharded = recipe.machines.parallel == "shard" and machines.size() > 1
        self.skeleton = meta_skeleton(self.network) if sharded or recipe.optim.ema else None
        objective = Objective(trainable)
        self.objective: nn.Module = objective
        if recipe.machines.compile:
            for module in repeated(self.network) if sharded else [self.network]:
                module.compile()
        if sharded:
            shard(objective, recipe.machines.precision)
        elif machines.size() > 1:
            self.objective = DistributedDataParallel(self.objective)
        self.optimiser = adamw(self.network, recipe.optim)
        self.average = {key: value.detach().clone() for key, value in self.weights().items()}

    def weights(self) -> dict[str, Tensor]:
        """The parameters that are averaged; none if the recipe averages nothing."""
        return dict(self.network.named_parameters()) if self.recipe.optim.ema else {}

    def step(self, batches: list[Any], step: int) -> Losses:
        """One step of the optimiser on micro-batches.

        Args:
            batches: micro-batches of this process.
            step: steps done before.

        Returns:
            Means of the losses over the micro-batches, and "grad_norm", the norm before clipping; {} if skipped.

        Raises:
            DivergedError: if a total or the gradient is not finite; nothing has been updated.
        """
        self.optimiser.zero_grad(set_to_none=True)
        totals: list[Tensor] = []
        means: dict[str, Any] = {}
        for micro, batch in enumerate(batches):
            seed_all(self.recipe.seed, step, micro, machines.rank(), self.stream)
            with self.syncing(micro == len(batches) - 1):
                with self.precision():
                    losses = self.objective(batch, step)
                if losses is None:
                    return {}
                (losses["total"] / len(batches)).backward()
            totals.append(losses["total"].detach())
            for key, value in losses.items():
                means[key] = means.get(key, 0.0) + value.detach() / len(batches)
        # Clipping to infinity only measures.
        norm = full_tensor(nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optim.clip or math.inf))
        self.check(torch.stack(totals), norm.item(), batches, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.recipe.optim, step)
        self.optimiser.step()
        if self.average:
            pairs = zip(self.average.values(), self.weights().values(), strict=True)
            averages, weights = zip(*((local(a), local(w.detach())) for a, w in pairs), strict=True)
            get_ema_multi_avg_fn(self.recipe.optim.ema)(averages, weights, 0)
        return {**means, "grad_norm": norm}

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast, if the recipe asks for bfloat16.

        On a CPU, attention is then plain matmuls: in bfloat16 torch's fused one is several times slower there in the
        backward pass.
        """
        stack = contextlib.ExitStack()
        if self.recipe.machines.precision == "bfloat16":
            stack.enter_context(torch.autocast(machines.device().type, torch.bfloat16))
            if machines.device().type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        return stack

    def syncing(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients travel between the processes with the last micro-batch alone."""
        if isinstance(self.objective, DistributedDataParallel):
            return contextlib.nullcontext() if last else self.objective.no_sync()
        if isinstance(self.objective, FSDPModule):
            self.objective.set_requires_gradient_sync(last)
        return contextlib.nullcontext()

    def check(self, totals: Tensor, norm: float, batches: list[Any], step: int) -> None:
        """DivergedError if something is not finite.

        What is not a number on one process is none in the shared gradient, so all of them stop without asking.
        """
        bad = [micro for micro, finite in enumerate(totals.isfinite().tolist()) if not finite]
        if not bad and math.isfinite(norm):
            return
        if bad:
            batch = batches[bad[0]]
            where = f"micro-batch {bad[0]} of process {machines.rank()}"
            what = f"loss of {self.name} is {totals[bad[0]].item()} in {where}"
            if isinstance(batch, dict) and "ids" in batch:
                what += f", items {', '.join(map(str, batch['ids']))}"
        else:
            what = f"gradient of {self.name} has norm {norm}; the losses of process {machines.rank()} are finite"
        raise DivergedError(
            f"{self.recipe.part}: step {step}: {what}; look at these items, or lower optim.lr, and run again: "
            "the last checkpoint is as it was"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name; the tensors themselves, not copies."""
        flat = {f"{self.name}/network/{key}": value for key, value in self.network.state_dict().items()}
        flat |= {f"{self.name}/average/{key}": value for key, value in self.average.items()}
        for key, parameter in self.network.named_parameters():
            for slot, value in self.optimiser.state.get(parameter, {}).items():
                flat[f"{self.name}/optimiser/{key}/{slot}"] = value
        return flat

    def expect(self, names: Mapping[str, Any]) -> None:
        """Makes room for those of the optimiser's moments that a checkpoint has; it has none before a first step."""
        for key, parameter in self.network.named_parameters():
            if f"{self.name}/optimiser/{key}/step" in names:
                moments = {slot: torch.zeros_like(parameter) for slot in ("exp_avg", "exp_avg_sq")}
                self.optimiser.state[parameter] = {"step": torch.zeros(()), **moments}

    def finished(self) -> nn.Module:
        """The network as training would leave it if it ended now: averaged, and in one piece.

        Every process calls it; a single one may then use what it got. That is the network in training itself where
        nothing is averaged or sharded, and otherwise a copy: a sharded module cannot run on one process.
        """
        if self.skeleton is None:
            return self.network
        state = {key: full_tensor(self.average.get(key, value)) for key, value in self.network.state_dict().items()}
        network = copy.deepcopy(self.skeleton)
        network.load_state_dict(state, assign=True)
        return network


def rate(optim: Optim, step: int) -> float:
    """Learning rate at a step (0-based): linear warm-up, `lr_gamma` per step, fall over the `cooldown`."""
    warm = min(1.0, (step + 1) / max(1, optim.warmup))
    left = min(1.0, (optim.steps - step) / max(1.0, optim.cooldown * optim.steps))
    if optim.fall == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return optim.lr * optim.lr_gamma**step * min(warm, left)


def adamw(network: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW over a trainable's parameters."""
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if not optim.decay_vectors:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    # On a CPU the fused step takes a seventh of the time; elsewhere torch's own choice is as good.
    fused = all(p.device.type == "cpu" and not isinstance(p, DTensor) for p in parameters) or None
    return torch.optim.AdamW(groups, optim.lr, optim.betas, weight_decay=optim.weight_decay, fused=fused)


def meta_skeleton(network: nn.Module) -> nn.Module:
    """A copy of a network whose parameters take no memory; its buffers are true copies."""
    empty = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, empty)


def repeated(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network, inner ones first: what its module lists hold."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    blocks = [block for module in lists for block in module if not isinstance(block, (nn.ModuleList, nn.ModuleDict))]
    return blocks[::-1]


def shard(objective: Objective, precision: Precision) -> None:
    """Shards a trainable over all processes: block by block, then what remains.

    In bfloat16 the blocks, where nearly all parameters are, travel and compute in it altogether. The remainder, which
    also takes the batch in, leaves its parameters and inputs alone (times and targets do not fit into 8 bits) and
    computes under autocast. Gradients are summed in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(machines.device().type, (machines.size(),))
    half = torch.bfloat16 if precision == "bfloat16" else None
    for block in repeated(objective.network):
        fully_shard(block, mesh=mesh, mp_policy=MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32))
    fully_shard(objective, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))


def full_tensor(tensor: Tensor) -> Tensor:
    """All of a tensor, on every process."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
