"""Checkpoints: a run that was killed or told to end, or has a broken file, goes on as if nothing had happened."""

from __future__ import annotations

import json
import signal
import warnings
import zlib
from pathlib import Path

import pytest
import torch
import toys

from frieren.training import checkpoint
from frieren.training.checkpoint import CheckpointError

NOISY = {"task": {"noisy": True}}


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_killed_at_any_moment_of_a_save_it_repeats_the_run_bit_exactly(tmp_path):
    """Really killed, in the save of step 8: in the middle of a file, and before every fsync, rename and deletion."""
    plan = {
        "task": {"noisy": True, "adversarial": True},
        "optim": {"steps": 12, "ema": 0.9, "clip": 0.1},
        "save_every": 4,
        "log_every": 3,
        "keep": 1,
    }
    first = 6  # touches of the disk before the save of step 8: those of the save of step 4
    points = [0, *range(first + 1, first + 9)]
    toys.go(tmp_path / "whole", **plan)
    for point in points:
        assert toys.launch(1, tmp_path / str(point), die=point, **plan)[0] == [-signal.SIGKILL], point
        assert toys.launch(1, tmp_path / str(point), **plan) == ([0], [""]), point
        assert toys.lines(tmp_path / str(point)) == toys.lines(tmp_path / "whole"), point
        assert saved(tmp_path / str(point)) == ["step-00000012"], point
        for key, value in toys.weights(tmp_path / "whole").items():
            assert torch.equal(toys.weights(tmp_path / str(point))[key], value), (point, key)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_the_step_and_saves(tmp_path, number):
    with pytest.raises(SystemExit) as end:
        toys.go(tmp_path / "stopped", {"noisy": True, "stop": (4, 0, number)}, log_every=4)
    assert end.value.code == 128 + number and saved(tmp_path / "stopped") == ["step-00000003", "step-00000005"]
    toys.go(tmp_path / "stopped", **NOISY, log_every=4)
    toys.go(tmp_path / "whole", **NOISY, log_every=4)
    assert toys.lines(tmp_path / "stopped") == toys.lines(tmp_path / "whole")


def test_only_the_newest_stay(tmp_path):
    toys.go(tmp_path, optim={"steps": 10}, save_every=2, keep=3)
    assert saved(tmp_path) == ["step-00000006", "step-00000008", "step-00000010"]


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "manifest"])
def test_a_broken_checkpoint_falls_back_on_the_one_before_and_says_so(tmp_path, damage):
    toys.go(tmp_path / "run", **NOISY)
    whole = toys.lines(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "step-00000006"
    state = path / "state.pt"
    content = bytearray(state.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        state.write_bytes(content)
    elif damage == "cut":
        state.write_bytes(content[:-100])
    elif damage == "lose":
        (path / "process-0.pt").unlink()
    else:
        (path / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match="step-00000006: .*going back to the one before"):
        toys.go(tmp_path / "run", **NOISY)
    assert toys.lines(tmp_path / "run") == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint.newest(tmp_path / "run" / "checkpoints") == path


def test_nothing_but_broken_checkpoints_is_an_error(tmp_path):
    toys.go(tmp_path)
    for path in (tmp_path / "checkpoints").glob("*/state.pt"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="--no-resume"):
        toys.go(tmp_path)


def test_a_checkpoint_of_another_recipe_is_an_error_and_not_a_broken_one(tmp_path):
    toys.go(tmp_path)
    with pytest.raises(CheckpointError, match=r"net/average/blocks.0.bias: missing there, \(6,\) here"):
        toys.go(tmp_path, optim={"ema": 0.9})


def test_a_torn_log_line_is_dropped(tmp_path):
    toys.go(tmp_path)
    whole = toys.lines(tmp_path)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "valid": {}')
    toys.go(tmp_path)
    assert toys.lines(tmp_path) == whole


def test_a_checkpoint_with_former_names_is_resumed(tmp_path):
    """Discriminators had another name, and so had the modules in them."""
    plan = {"task": {"adversarial": True}, "optim": {"steps": 6}}
    toys.go(tmp_path / "whole", **plan)
    toys.go(tmp_path / "old", **{**plan, "optim": {"steps": 3}})
    (folder,) = (tmp_path / "old" / "checkpoints").iterdir()
    state = torch.load(folder / checkpoint.STATE)
    assert any(name.startswith("discriminator/") for name in state)
    former = {name.replace("discriminator/", "judge/"): tensor for name, tensor in state.items()}
    torch.save(former, folder / checkpoint.STATE)
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest["files"][checkpoint.STATE] = checkpoint.checksum(folder / checkpoint.STATE)
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    toys.go(tmp_path / "old", **plan)
    assert toys.lines(tmp_path / "old")[-1] == toys.lines(tmp_path / "whole")[-1]


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("judge/network/0.weight", "discriminator/network/0.weight"),
        ("judges/network/judges.0.layers.1.bias", "discriminators/network/discriminators.0.layers.1.bias"),
        ("judges/optimiser/judges.7.bias/exp_avg", "discriminators/optimiser/discriminators.7.bias/exp_avg"),
        ("autoencoder/average/encoder.past.weight", "autoencoder/average/encoder.skip.weight"),
        ("vocoder/network/blocks.0.weight", "vocoder/network/blocks.0.weight"),
    ],
)
def test_former_names_of_tensors(former, now):
    assert checkpoint.current_name(former) == now == checkpoint.current_name(now)


def test_a_checksum_is_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "BLOCK", 4)
    (tmp_path / "a").write_bytes(b"nine bytes")
    assert checkpoint.checksum(tmp_path / "a") == zlib.crc32(b"nine bytes")
