"""Several processes do what one does: the same losses and weights as one process with the joint batch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toys

from frieren.training import machines
from frieren.training.loop import MachinesError

RECIPES = Path(__file__).parents[1] / "recipes"


def losses(folder: Path, start: int = 0) -> dict[str, list[float]]:
    """Every logged number but the validation's, after `start` steps, by name."""
    entries = [line for line in toys.lines(folder) if "valid" not in line and line["step"] > start]
    return {name: [line[name] for line in entries if name in line] for name in set().union(*entries)}


def assert_same(folder: Path, other: Path, tolerance: float, start: int = 0) -> None:
    one, two = losses(folder, start), losses(other, start)
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert values == pytest.approx(two[name], rel=tolerance), name
    for key, value in toys.weights(folder).items():
        torch.testing.assert_close(value, toys.weights(other)[key], rtol=tolerance, atol=tolerance)
    valid = [[line["valid"]["loss"] for line in toys.lines(each) if "valid" in line][-1] for each in (folder, other)]
    assert valid[0] == pytest.approx(valid[1], rel=tolerance)


def test_alone_everything_is_free():
    assert (machines.rank(), machines.size(), machines.largest(7), machines.gathered("a")) == (0, 1, 7, ["a"])
    with machines.connected(), machines.first_alone():
        assert machines.mean([1.5, 2.0]) == [1.5, 2.0]


def test_move_reaches_every_tensor():
    batch = {"ids": ["a"], "pair": (torch.ones(2), [torch.zeros(1)]), "count": 3}
    moved = machines.move(batch, torch.device("meta"))
    assert moved["pair"][0].is_meta and moved["pair"][1][0].is_meta and moved["count"] == 3 and moved["ids"] == ["a"]


@pytest.mark.parametrize(("parallel", "tolerance"), [("ddp", 1e-6), ("shard", 1e-5)])
def test_two_processes_are_one_with_the_joint_batch(tmp_path, parallel, tolerance):
    """Losses, gradient norms, weights and the averaged ones; two micro-batches on each of two processes, clipped.

    With "ddp" two trainables, of which one skips the first steps.
    """
    plan = {"optim": {"steps": 5, "ema": 0.5, "clip": 1.0}}
    adversarial = parallel == "ddp"
    split = {"parallel": parallel, "accumulate": 2}
    codes, errors = toys.launch(2, tmp_path / "two", task={"adversarial": adversarial}, machines=split, **plan)
    assert codes == [0, 0], errors
    toys.go(tmp_path / "one", {"adversarial": adversarial, "joint": 2, "micro": 2}, **plan)
    assert_same(tmp_path / "two", tmp_path / "one", tolerance)


JOINT = """
import sys, torch, torch.distributed as dist
from frieren.training import machines
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
rows = (torch.arange(6.0).reshape(3, 2) + 10 * rank).requires_grad_()
joint = machines.joint(rows)
(joint.square().sum() * (rank + 1)).backward()
torch.save((joint.detach(), rows.grad), f"{folder}/{rank}.pt")
"""


def test_rows_of_all_processes_are_one_batch(tmp_path):
    """In order of rank, on each of them; the gradient is that of the own rows."""
    assert machines.joint(torch.ones(2)).tolist() == [1, 1]
    running = [subprocess.Popen([sys.executable, "-c", JOINT, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [process.wait() for process in running] == [0, 0]
    own = [torch.arange(6.0).reshape(3, 2) + 10 * rank for rank in (0, 1)]
    for rank in (0, 1):
        joint, gradient = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(joint, torch.cat(own))
        assert torch.equal(gradient, 2 * own[rank] * (rank + 1))


def test_a_signal_to_one_process_stops_all_and_one_process_goes_on(tmp_path):
    """A sharded run of two, of which the second is told to end in step 3, continued by one, then by two again."""
    stop = {"stop": (2, 1, signal.SIGTERM)}
    shard = {"parallel": "shard"}
    plan = {"optim": {"steps": 9, "ema": 0.9}, "save_every": 100}
    codes, errors = toys.launch(2, tmp_path / "run", task=stop, machines=shard, **plan)
    assert codes == [143, 143], errors
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000003"]
    with pytest.raises(SystemExit):
        toys.go(tmp_path / "run", {"joint": 2, "stop": (5, 0, signal.SIGTERM)}, **plan)
    assert (tmp_path / "run" / "checkpoints" / "step-00000006" / "state.pt").exists()
    codes, errors = toys.launch(2, tmp_path / "run", machines=shard, **plan)
    assert codes == [0, 0], errors
    toys.go(tmp_path / "one", {"joint": 2}, **plan)
    assert_same(tmp_path / "run", tmp_path / "one", 1e-5)


def test_a_loss_that_is_no_number_on_one_process_stops_all_and_names_the_batch(tmp_path):
    codes, errors = toys.launch(2, tmp_path, task={"broken": (4, 1)})
    assert codes == [1, 1]
    assert "field: step 4: loss of net is nan in micro-batch 0 of process 1, items item0, item1" in errors[1]
    assert "DivergedError" in errors[0]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


def test_trainables_that_use_each_other_are_not_sharded(tmp_path):
    with pytest.raises(
        MachinesError, match="discriminator, net use each other's networks, .*; set machines.parallel = 'ddp'"
    ):
        toys.go(tmp_path, {"adversarial": True}, machines={"parallel": "shard"})


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "shard"])
def test_bfloat16_is_near_float32(tmp_path, parallel):
    toys.go(tmp_path / "one", {"joint": 2})
    codes, errors = toys.launch(2, tmp_path / "half", machines={"parallel": parallel, "precision": "bfloat16"})
    assert codes == [0, 0], errors
    one, half = losses(tmp_path / "one"), losses(tmp_path / "half")
    assert one["net/total"] != half["net/total"]
    assert one["net/total"] == pytest.approx(half["net/total"], rel=0.05)


@pytest.mark.slow
def test_compiled_is_the_same(tmp_path):
    toys.go(tmp_path / "plain")
    toys.go(tmp_path / "compiled", machines={"compile": True})
    assert_same(tmp_path / "plain", tmp_path / "compiled", 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "shard"])
def test_torchrun_trains_the_tiny_model(tmp_path, parallel):
    """Every part, data rendered once, by the command a person would type; sharded, the field alone."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "frieren"]
    run += ["train", "--out", str(tmp_path), "--set", "shared.clips=4", "--set", "shared.valid=2"]
    names = ["tiny"] if parallel == "ddp" else ["tiny/encoder.toml", "tiny/autoencoder.toml", "tiny/field.toml"]
    for name in names:
        field = ["--set", f"machines.parallel={parallel}"] if "field" in name else []
        command = [*run, *field, str(RECIPES / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    part = tmp_path / "field"
    assert (part / "model.safetensors").exists()
    last = json.loads((part / "log.jsonl").read_text().splitlines()[-2])
    assert last["step"] == 20 and last["items_per_second"] > 0
    if parallel == "ddp":
        assert f"{tmp_path / 'model'}  use it with" in done.stdout and done.stdout.count("use it with") == 1
