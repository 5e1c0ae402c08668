"""The training loop: a state, a step, and, once in a while, a log line, a validation and a checkpoint.

One loop for one CPU, one GPU, many GPUs and many machines. The data and noise of a micro-batch depend on (seed, step,
micro-batch, process) alone, so a resumed run is bit-exact to an uninterrupted one on a CPU. On a GPU some kernels add
in no fixed order (atomic additions in the backward pass of indexing), and two runs differ in the last digits.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from frieren.errors import FrierenError
from frieren.training import checkpoint, machines, randomness
from frieren.training.board import Board, open_board
from frieren.training.feed import feed
from frieren.training.learner import Learner, Losses, Trainable, rate
from frieren.training.recipe import AnyRecipe

Report = Callable[[int, int, dict[str, float]], None]  # step, steps, averaged losses
LOG = "log.jsonl"


Network = TypeVar("Network", bound=nn.Module)


class TrainingTask(Protocol[Network]):
    """Interface between a part and the loop; parts inherit it.

    Attributes:
        trainables: what learns, by name, in the order of a step.
        network: that of one of the trainables: the one that is validated and kept. The loop hands it, averaged and in
            one piece, to `validate`, `preview` and `finish`, which therefore use that and not their own.
    """

    trainables: dict[str, Trainable]
    network: Network

    @property
    def part(self) -> nn.Module:
        """The part in it, into which a recipe's `init` is loaded."""
        return self.network

    def batch(self, index: int) -> Any:
        """Micro-batch `index` of this process, counted over all steps: tensors, dicts, lists and tuples, on the CPU.

        Random numbers come from the global generators, seeded by the loop. A dict may name its items under "ids". It
        may be made in another process, ahead of time (`feed`), so it depends on nothing that is learnt.
        """

    def validate(self, network: Network) -> dict[str, float]:
        """Scores on the validation split, with the networks where they are; on process 0 alone."""

    def finish(self, network: Network, folder: Path) -> None:
        """Writes the trained part; on process 0 alone."""

    def preview(self, network: Network) -> dict[str, Tensor]:
        """Mels [M, T] and waves [S] of fixed validation clips, for a board; none if the part has nothing to show."""
        return {}


class MachinesError(FrierenError):
    """A run cannot be spread over machines in the way that its recipe says."""


class Signals:
    """Remembers the first SIGTERM or SIGINT, so that the step can be finished and saved. A second SIGINT interrupts."""

    def __init__(self) -> None:
        self.number = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        # Under torchrun one Ctrl-C comes twice, from the terminal and from torchrun; it kills after 30 s anyway.
        if number == self.number == signal.SIGINT and not machines.joined():
            raise KeyboardInterrupt
        self.number = number


class Meter:
    """Running means between two log lines, kept on the device so that steps do not wait for them."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}  # name -> [sum, count]
        self.seconds = 0.0  # of training, over all sittings
        self.began = time.monotonic()
        self.items, self.step_seconds = (
            0,
            0.0,
        )  # of this process since the last line: items learnt from, seconds it took

    def add(self, name: str, losses: Losses) -> None:
        for key, value in losses.items():
            entry = torch.stack([value.double(), torch.ones_like(value, dtype=torch.float64)])
            self.sums[f"{name}/{key}"] = self.sums.get(f"{name}/{key}", 0.0) + entry

    def means(self) -> dict[str, float]:
        """Means over steps and processes, items per second of all processes together; begins anew."""
        names = sorted(self.sums)
        values = machines.mean([(total / count).item() for total, count in (self.sums[name] for name in names)])
        speed = machines.size() * self.items / max(self.step_seconds, 1e-9)
        self.sums, self.items, self.step_seconds = {}, 0, 0.0
        return {**dict(zip(names, values, strict=True)), "items_per_second": speed, "seconds": self.elapsed()}

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.began

    def state(self) -> dict[str, Any]:
        return {"sums": {name: entry.tolist() for name, entry in self.sums.items()}, "seconds": self.elapsed()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.sums = {
            name: torch.tensor(entry, dtype=torch.float64, device=machines.device())
            for name, entry in state["sums"].items()
        }
        self.seconds = state["seconds"]


def train(task: TrainingTask[Any], recipe: AnyRecipe, folder: Path, report: Report, *, resume: bool = True) -> None:
    """Runs a part's training in `folder`, from its last checkpoint if there is one, to the recipe's last step.

    Every process of the run calls it, after `machines.connected`.

    Args:
        task: networks, losses and data.
        recipe: the run.
        folder: for checkpoints, log.jsonl and what `task.finish` writes; all machines see it.
        report: called now and then with the progress, on process 0.
        resume: False deletes the folder's checkpoints and log, and starts over.

    Raises:
        DivergedError: if a loss is not finite; the last checkpoint stays.
        CheckpointError: if there are checkpoints and none can be used.
        MachinesError: if a run with several trainables is to be sharded.
        SystemExit: 143 or 130, after a checkpoint, if the process was told to end (SIGTERM, SIGINT).
    """
    if recipe.machines.parallel == "shard" and len(task.trainables) > 1:
        raise MachinesError(
            f"{recipe.part}: {', '.join(task.trainables)} use each other's networks, which have to be whole for "
            "that; set machines.parallel = 'ddp'"
        )
    Run(task, recipe, folder, report, resume).to_the_end()


class Run(Generic[Network]):
    """A part's training in a folder: learners, log and board, and the step that it has reached."""

    def __init__(
        self, task: TrainingTask[Network], recipe: AnyRecipe, folder: Path, report: Report, resume: bool
    ) -> None:
        self.task, self.recipe, self.folder, self.report = task, recipe, folder, report
        self.first = machines.rank() == 0
        self.learners = [
            Learner(name, trainable, recipe, stream)
            for stream, (name, trainable) in enumerate(task.trainables.items(), 1)
        ]
        self.kept = next(learner for learner in self.learners if learner.network is task.network)
        self.meter = Meter()
        if self.first:
            folder.mkdir(parents=True, exist_ok=True)
            if not resume:
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
                (folder / LOG).unlink(missing_ok=True)
        machines.barrier()
        self.saved = self.step = self.restore()
        if self.first:
            rewind(folder, self.step)
        self.board: Board | None = open_board(recipe, folder) if self.first else None

    def to_the_end(self) -> None:
        """Steps until the recipe's last one, then writes the trained part."""
        steps = self.recipe.optim.steps
        if self.first:
            self.report(self.step, steps, {})
        with Signals() as signals:
            batches = feed(self.task.batch, self.recipe, self.step)
            while self.step < steps:
                self.take_step(batches)
                last = self.step == steps
                if last or self.step % self.recipe.log_every == 0:
                    self.log_means()
                if last or self.step % self.recipe.save_every == 0:
                    self.validate()
                if self.step % self.recipe.preview_every == 0:
                    self.preview()
                stop = machines.largest(signals.number)
                if last or stop or self.step % self.recipe.save_every == 0:
                    self.save()
                if stop and not last:
                    self.close()
                    raise SystemExit(128 + stop)
        network = self.finished()
        if self.first:
            self.task.finish(network, self.folder)
        self.close()
        machines.barrier()

    def take_step(self, coming: Iterator[Any]) -> None:
        """One step of every trainable in turn, on the same micro-batches: the next ones that come."""
        began = time.monotonic()
        batches = [machines.move(batch, machines.device()) for batch in islice(coming, self.recipe.machines.accumulate)]
        for learner in self.learners:
            self.meter.add(learner.name, learner.step(batches, self.step))
        self.meter.items += self.recipe.optim.batch * len(batches)
        self.meter.step_seconds += time.monotonic() - began
        self.step += 1

    def log_means(self) -> None:
        """A line, a report and a point on the board."""
        means = {"lr": rate(self.recipe.optim, self.step - 1), **self.meter.means()}
        if self.board:
            log(self.folder, {"step": self.step, **means})
            self.board.numbers(means, self.step)
            self.report(self.step, self.recipe.optim.steps, means)

    def validate(self) -> None:
        """Scores of the network as it would be kept; their random numbers depend on the step alone."""
        network = self.finished()
        if self.board:
            randomness.seed_all(self.recipe.seed, self.step)
            scores = self.task.validate(network)
            log(self.folder, {"step": self.step, "valid": scores})
            self.board.numbers({f"valid/{name}": value for name, value in scores.items()}, self.step)

    def preview(self) -> None:
        """Pictures and sounds, where there is a board to look at."""
        if self.recipe.board == "none":
            return
        network = self.finished()
        if self.board:
            randomness.seed_all(self.recipe.seed)
            self.board.previews(self.task.preview(network), self.step)

    def finished(self) -> Network:
        """The network as it would be kept (`Learner.finished`)."""
        network: Network = self.kept.finished()  # type: ignore[assignment]  # a copy of the task's own
        return network

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor for learner in self.learners for name, tensor in learner.tensors().items()}

    def save(self) -> None:
        """A checkpoint of everything that the next step depends on, unless the newest one is it."""
        if self.step > self.saved:
            own = {"random": randomness.states(), "meter": self.meter.state()}
            checkpoint.save(self.folder / "checkpoints", self.step, self.tensors(), own, self.recipe.keep)
            self.saved = self.step

    def restore(self) -> int:
        """Back to the newest checkpoint, if there is one; returns the number of steps done."""
        path = checkpoint.newest(self.folder / "checkpoints")
        if path is None:
            return 0

        def targets(names: Mapping[str, torch.Size]) -> dict[str, Tensor]:
            for learner in self.learners:
                learner.expect(names)
            return self.tensors()

        own = checkpoint.load(path, targets)
        if own:
            randomness.restore(own["random"])
            self.meter.restore(own["meter"])
        return json.loads((path / checkpoint.MANIFEST).read_text())["step"]

    def close(self) -> None:
        if self.board:
            self.board.close()


def log(folder: Path, entry: dict[str, Any]) -> None:
    """Appends one line to log.jsonl."""
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def rewind(folder: Path, step: int) -> None:
    """Takes from log.jsonl the lines of steps that a resumed run is about to do again, and a torn last line."""
    path = folder / LOG
    if not path.exists():
        return
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    kept = [line for line in lines if (json.loads(line)["step"] or 0) <= step]  # a change of recipe has no step
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)
