"""What this machine can do, measured beside what is asked of it: matmuls, time, memory.

A fraction of the fastest matmul holds even where other processes come and go, if the same process measures both in
turn. CPU time tells the work of a single thread even there.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

MATRIX = 2048  # rows and columns of the matrices that are multiplied
ROUNDS = 3  # measurements of every matmul in a row
SHORTEST = 0.02  # s; matmuls are measured in bursts of at least this length
EXACT = 1e-5  # relative error of a matmul that counts as float32 arithmetic

Multiply = Callable[[Tensor, Tensor], Tensor]


class Matmul:
    """Matmul of two square matrices by every implementation there is in one dtype."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.device = device
        self.a, self.b = (torch.randn(MATRIX, MATRIX).to(device, dtype) for _ in range(2))
        bias = torch.zeros(MATRIX, device=device, dtype=dtype)
        calls: dict[str, Multiply] = {"mm": torch.mm, "linear": lambda a, b: F.linear(a, b, bias)}
        self.ways: dict[str, Multiply] = {}
        for name, call in calls.items():
            if device.type == "cuda":
                self.ways[f"cuBLAS {name}"] = call
            elif dtype != torch.float32:
                self.ways[f"oneDNN {name}"] = call
            else:
                self.ways[f"BLAS {name}"] = call
                if self.is_float32(by_onednn(call), call):
                    self.ways[f"oneDNN {name}"] = by_onednn(call)
        self.bursts = {name: self.burst(call) for name, call in self.ways.items()}

    def is_float32(self, way: Multiply, reference: Multiply) -> bool:
        """True if an implementation computes in float32; oneDNN may take bfloat16 instead on CPUs that have it."""
        rows = self.a[:64]
        expected = reference(rows, self.b)
        return ((way(rows, self.b) - expected).norm() <= EXACT * expected.norm()).item()

    def seconds(self, way: Multiply, count: int) -> tuple[float, float]:
        """Wall and CPU seconds of `count` matmuls in a row."""
        watch = StepTimer(self.device)
        with watch.timing():
            for _ in range(count):
                way(self.a, self.b)
        return watch.seconds[0], watch.cpu_seconds[0]

    def burst(self, way: Multiply) -> int:
        """Number of matmuls in a row that takes `SHORTEST`; warms up on the way."""
        count = 1
        while self.seconds(way, count)[0] < SHORTEST:
            count *= 2
        return count

    def rates(self) -> Iterator[tuple[str, float, float]]:
        """(name, FLOPs in a second, in a CPU second), ROUNDS times for every way in turn."""
        for _ in range(ROUNDS):
            for name, way in self.ways.items():
                flops = 2 * MATRIX**3 * self.bursts[name]
                wall, cpu = self.seconds(way, self.bursts[name])
                yield name, flops / wall, flops / max(cpu, 1e-9)


class StepTimer:
    """Wall and CPU seconds of every step within `timing`, to its end on the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    @contextmanager
    def timing(self, counted: bool = True) -> Iterator[None]:
        self._wait()
        began, worked = time.perf_counter(), time.process_time()
        yield
        self._wait()
        if counted:
            self.seconds.append(time.perf_counter() - began)
            self.cpu_seconds.append(time.process_time() - worked)

    def cpu_utilisation(self) -> float:
        """CPU time over wall time: cores that worked."""
        return sum(self.cpu_seconds) / sum(self.seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def by_onednn(call: Multiply) -> Multiply:
    """The same by oneDNN, which torch takes for float32 on a CPU only if lower precision is allowed."""

    def way(a: Tensor, b: Tensor) -> Tensor:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return call(a, b)
        finally:
            torch.set_float32_matmul_precision(before)

    return way


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Within it GPUs compute float32 in float32, not in TF32, both the step and what it is compared with."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def device_name(device: torch.device) -> str:
    """Name of the GPU, or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}"


def peak_memory(device: torch.device) -> int:
    """Peak memory so far in bytes: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
