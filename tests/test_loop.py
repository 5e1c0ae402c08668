"""The loop in one process: what it minimises, averages, accumulates, logs, shows, and when it refuses."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from frieren.training import randomness
from frieren.training.board import BoardError, grey, identity
from frieren.training.learner import DivergedError, Learner, Trainable, meta_skeleton, rate
from frieren.training.loop import train
from frieren.training.recipe import Optim, RecipeError, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"


class Mean:
    """A task with a known answer: the weight goes to the mean of the data."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.trainables = {"net": Trainable(self.network, self.losses)}
        self.seen, self.validated = [], []

    def losses(self, batch, step):
        self.seen.append(self.network.weight.item())
        return {"total": (self.network.weight - batch).square().mean()}

    def batch(self, step):
        return 3 + torch.randn(64)

    def validate(self, network):
        self.validated.append(network.weight.item())
        return {}

    def finish(self, network, folder):
        (folder / "weight").write_text(repr(network.weight.item()))


def silent(step, steps, losses):
    pass


def test_loop_minimises(tmp_path):
    task = Mean()
    plan = toys.recipe({"lr": 0.1, "warmup": 1, "cooldown": 0.5, "steps": 200, "weight_decay": 0.0})
    train(task, plan, tmp_path, silent)
    assert task.network.weight.item() == pytest.approx(3, abs=0.05)


def test_learning_rate_warms_up_stays_and_falls():
    optim = Optim(lr=1.0, warmup=10, cooldown=0.5, steps=100)
    assert [rate(optim, step) for step in (0, 4, 9, 30, 50, 75, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 0.02])


def test_averaged_weights_follow_the_recursion(tmp_path):
    """e_0 = w_0, e_n = d e_(n-1) + (1 - d) w_n in numpy; they are what is validated and kept, and not trained on."""
    task = Mean()
    train(task, toys.recipe({"lr": 0.1, "steps": 6, "ema": 0.8}), tmp_path, silent)
    weights = [*task.seen, task.network.weight.item()]
    average = [np.float64(weights[0])]
    for weight in weights[1:]:
        average.append(0.8 * average[-1] + 0.2 * weight)
    assert task.validated == pytest.approx([average[3], average[6]], rel=1e-6)
    assert float((tmp_path / "weight").read_text()) == pytest.approx(average[6], rel=1e-6)
    assert weights[6] != pytest.approx(average[6], rel=1e-3)


def test_micro_batches_are_one_batch(tmp_path):
    toys.go(tmp_path / "two", machines={"accumulate": 2}, optim={"clip": 0.5})
    toys.go(tmp_path / "one", {"micro": 2}, optim={"clip": 0.5})
    for two, one in zip(toys.lines(tmp_path / "two"), toys.lines(tmp_path / "one"), strict=True):
        assert two.pop("valid", {}) == pytest.approx(one.pop("valid", {}), rel=1e-6)
        assert two == pytest.approx(one, rel=1e-6)


def test_workers_make_the_same_batches(tmp_path):
    """Ahead of time and in other processes, and from where an earlier run stopped."""
    toys.go(tmp_path / "own", machines={"accumulate": 2})
    for steps in (3, 6):
        toys.go(tmp_path / "theirs", machines={"accumulate": 2, "workers": 2}, optim={"steps": steps})
    assert toys.lines(tmp_path / "theirs") == toys.lines(tmp_path / "own")


def test_a_run_with_workers_is_told_to_end(tmp_path):
    """The loop finishes its step and saves; the workers are gone afterwards, and the run goes on where it was.

    Ctrl-C reaches the workers too, twice if it is typed twice: they leave it to the loop.
    """
    plan = toys.recipe(machines={"workers": 2})
    task = toys.ToyTask(plan)
    learn = task.losses

    def losses(batch, step):
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGINT)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(batch, step)

    task.trainables = {"net": Trainable(task.network, losses)}
    with pytest.raises(SystemExit, match="143"):
        train(task, plan, tmp_path, silent)
    assert [line["step"] for line in toys.lines(tmp_path)][-1] == 4 and not multiprocessing.active_children()
    toys.go(tmp_path, machines={"workers": 2})
    toys.go(tmp_path / "whole")
    assert toys.lines(tmp_path) == toys.lines(tmp_path / "whole")


def test_what_a_worker_cannot_make_is_said(tmp_path):
    task = Mean()
    task.batch = lambda number: 1 / (2 - number)
    with pytest.raises(ZeroDivisionError):
        train(task, toys.recipe(machines={"workers": 1}), tmp_path, silent)


def test_the_log_holds_means_of_the_steps_since_the_line_before(tmp_path):
    toys.go(tmp_path / "each")
    toys.go(tmp_path / "third", log_every=3)
    each = [line for line in toys.lines(tmp_path / "each") if "valid" not in line]
    third = [line for line in toys.lines(tmp_path / "third") if "valid" not in line]
    assert [line["step"] for line in third] == [3, 6]
    for key in ("net/total", "net/grad_norm"):
        assert third[1][key] == pytest.approx(np.mean([line[key] for line in each[3:]]))
    assert third[1]["lr"] == each[5]["lr"]


def test_gradient_norm_is_that_of_the_whole_gradient_before_clipping(tmp_path):
    """One step on one batch, against autograd by hand."""
    plan = toys.recipe({"steps": 1, "clip": 1e-3})
    task = toys.ToyTask(plan)
    randomness.seed_all(plan.seed, 0, 0, 0, 0)
    task.losses(task.batch(0), 0)["total"].backward()
    squares = sum(parameter.grad.double().square().sum() for parameter in task.network.parameters())
    train(task, plan, tmp_path, silent)
    assert toys.lines(tmp_path)[0]["net/grad_norm"] == pytest.approx(squares.sqrt().item(), rel=1e-6)


def test_the_optimiser_gets_a_clipped_gradient():
    task = toys.ToyTask(toys.recipe({"clip": 1e-3}))
    learner = Learner("net", task.trainables["net"], task.recipe, 1)
    losses = learner.step([task.batch(0)], 0)
    norm = torch.stack([parameter.grad.norm() for parameter in task.network.parameters()]).norm().item()
    assert losses["grad_norm"].item() > 0.1 and norm == pytest.approx(1e-3, rel=1e-3)


def test_every_micro_batch_has_random_numbers_of_its_own():
    """In the losses too; and every trainable its own ones."""
    drawn = []

    def losses(batch, step):
        drawn.append(torch.rand(()).item())
        return {"total": network.weight.square().sum()}

    network, plan = torch.nn.Linear(1, 1), toys.recipe()
    for stream in (1, 2):
        Learner("net", Trainable(network, losses), plan, stream).step([None, None], 0)
    assert len(set(drawn)) == 4


def test_starting_over_forgets_the_run(tmp_path):
    plan = toys.recipe()
    toys.go(tmp_path)
    toys.go(tmp_path / "new", optim={"lr": 0.02})
    train(toys.ToyTask(plan), toys.recipe({"lr": 0.02}), tmp_path, silent, resume=False)
    assert toys.lines(tmp_path) == toys.lines(tmp_path / "new")


def test_a_loss_that_is_no_number_stops_and_names_the_batch(tmp_path):
    with pytest.raises(DivergedError, match="step 4: loss of net is nan in micro-batch 0 of process 0, items item0, "):
        toys.go(tmp_path, {"broken": (4, 0)})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


def test_a_gradient_that_is_no_number_stops_as_well(tmp_path):
    task = Mean()
    task.trainables = {
        "net": Trainable(task.network, lambda batch, step: {"total": (0 * task.network.weight).sqrt().sum()})
    }
    with pytest.raises(DivergedError, match="gradient of net has norm nan"):
        train(task, toys.recipe(), tmp_path, silent)
    assert torch.isfinite(task.network.weight).all()


def test_random_states_go_round(tmp_path):
    import random

    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()

    randomness.seed_all(1, 2, 3)
    torch.save(randomness.states(), tmp_path / "states.pt")
    first = draw()
    randomness.restore(torch.load(tmp_path / "states.pt", weights_only=True))
    assert draw() == first
    randomness.seed_all(1, 2, 3)
    assert draw() == first
    randomness.seed_all(1, 3, 2)
    assert draw() != first


def test_a_skeleton_has_the_buffers_and_no_parameters():
    network = toys.Net()
    copied = meta_skeleton(network)
    assert all(parameter.is_meta for parameter in copied.parameters())
    assert copied.scale.item() == 0.5 and copied.scale is not network.scale


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optim.ema=1.0", "ema must be a decay"),
        ("machines.parallel=both", "parallel must be one of ddp, shard, got 'both'"),
        ("machines.accumulate=0", "accumulate must be 1 or more"),
        ("machines.workers=-1", "workers must be 0 or more"),
        ("board=tensorbord", "board must be one of none, tensorboard, wandb"),
        ("keep=0", "keep must be 1 or more"),
    ],
)
def test_a_recipe_that_cannot_be_is_an_error(change, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(RECIPES / "tiny" / "field.toml", [change])


def test_tensorboard_shows_numbers_pictures_and_sounds(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toys.go(tmp_path, board="tensorboard", preview_every=4)
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    tags = events.Tags()
    assert {"net/total", "net/grad_norm", "lr", "valid/loss"} <= set(tags["scalars"])
    assert tags["images"] == ["mel"] and tags["audio"] == ["wave"]
    logged = [line["net/total"] for line in toys.lines(tmp_path) if "valid" not in line]
    assert [event.value for event in events.Scalars("net/total")] == pytest.approx(logged, rel=1e-6)
    assert [event.step for event in events.Images("mel")] == [4]


def test_weights_and_biases_gets_the_same(tmp_path, monkeypatch):
    """Against a stand-in for the package with its documented calls."""
    calls = []
    run = types.SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("end")
    )
    fake = types.SimpleNamespace(
        init=lambda **options: calls.append(options) or run,
        Image=lambda picture: ("image", picture.shape),
        Audio=lambda wave, sample_rate: ("audio", len(wave), sample_rate),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    toys.go(tmp_path, board="wandb", preview_every=4)
    assert calls[0]["resume"] == "allow" and calls[0]["id"] == identity(tmp_path) and calls[-1] == "end"
    assert (4, {"mel": ("image", (20, 30)), "wave": ("audio", 1600, 16000)}) in calls


def test_a_board_that_is_not_installed_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BoardError, match="pip install wandb"):
        toys.go(tmp_path, board="wandb")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BoardError, match=r"pip install 'frieren\[train\]'"):
        toys.go(tmp_path, board="tensorboard")


def test_a_picture_of_a_mel_has_low_notes_at_the_bottom():
    mel = torch.zeros(3, 2)
    mel[0, 1] = 5.0
    assert grey(mel).tolist() == [[0, 0], [0, 0], [0, 255]]
