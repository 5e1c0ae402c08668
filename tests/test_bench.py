"""The measurement of training speed: its FLOPs against torch's counter, and that the command reports everything."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from frieren.apps import bench as verb
from frieren.apps.cli import main
from frieren.nets.field import FieldConfig, VectorField
from frieren.training import bench

TOY = FieldConfig(
    latent=4, features=10, context=12, width=16, depth=2, heads=2, ffn_mult=3, ffn_kernel=5, input_kernel=3,
    positions=257, time_features=6, block_groups=2, output_groups=2,
)  # fmt: skip


def counted(config: FieldConfig, batch: int, columns: int, backward: bool) -> int:
    """torch's own count; on tensors that hold nothing, it costs nothing."""
    frames = columns // config.repeat
    with torch.device("meta"), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        field = VectorField(config)
        condition = field.condition(torch.empty(batch, frames, config.features))
        velocity = field(torch.empty(batch, config.latent, columns), torch.empty(batch), condition)
        if backward:
            velocity.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(("config", "batch", "columns"), [(TOY, 1, 16), (TOY, 3, 40), (FieldConfig(), 8, 256)])
def test_the_flops_are_those_that_torch_counts(config: FieldConfig, batch: int, columns: int) -> None:
    expected = counted(config, batch, columns, backward=False)
    assert bench.forward_flops(config, batch, columns, columns // config.repeat) == expected


def test_a_step_has_three_times_the_flops_of_a_forward_pass() -> None:
    step = 3 * bench.forward_flops(FieldConfig(), 8, 256, 32)
    # Only the gradients of the inputs, which nobody needs, are missing from torch's count.
    assert 0.999 < counted(FieldConfig(), 8, 256, backward=True) / step <= 1


def test_the_sizes_are_the_published_ones() -> None:
    assert get_args(verb.Size) == tuple(bench.SIZES)
    for size, millions in (("small", 70.90), ("base", 159.28), ("large", 421.1)):
        with torch.device("meta"):
            parameters = sum(p.numel() for p in VectorField(bench.SIZES[size]).parameters())
        assert parameters / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SIZES, "base", TOY)
    monkeypatch.setattr(bench, "MATRIX", 128)
    monkeypatch.setattr(bench, "SHORTEST", 1e-4)


def test_the_command_reports_everything(small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precision = torch.get_float32_matmul_precision()
    with pytest.raises(SystemExit) as end:
        main(["bench", "train", "--batch", "2", "--steps", "2", "--json", str(tmp_path / "bench.json")])
    assert end.value.code == 0
    assert torch.get_float32_matmul_precision() == precision
    reports = json.loads((tmp_path / "bench.json").read_text())
    assert [report["precision"] for report in reports] == ["float32", "bfloat16"]
    for report in reports:
        assert report.keys() == {field.name for field in dataclasses.fields(bench.TrainingBenchmark)}
        assert len(report["step_seconds"]) == 2 and min(report["step_seconds"]) > 0
        seconds = sum(report["step_seconds"]) / 2  # the median of two
        assert report["samples_per_second"] == pytest.approx(2 / seconds)
        assert report["flops_per_step"] == 3 * bench.forward_flops(TOY, 2, 256, 32)
        assert report["flops_per_second"] == pytest.approx(report["flops_per_step"] / seconds)
        assert report["mfu"] == pytest.approx(report["flops_per_second"] / max(report["matmul"].values()))
        assert 0 < report["mfu_at_least"] <= report["mfu"]
        assert report["parameters"] == sum(p.numel() for p in VectorField(TOY).parameters())
        assert report["memory"] > 0 and report["threads"] == torch.get_num_threads()
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("float32", "bfloat16", "MFU", "clips per second"))


def test_the_steps_are_those_of_training(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step, warm-up included, changes the weights by the engine's own optimiser."""
    seen = []

    class Watched(bench.Learner):
        def step(self, batches, step):
            before = {name: p.detach().clone() for name, p in self.network.named_parameters()}
            losses = super().step(batches, step)
            moved = {name for name, p in self.network.named_parameters() if not torch.equal(p, before[name])}
            seen.append((float(losses["total"]), moved == set(before), self.network.config.gradient_checkpointing))
            return losses

    monkeypatch.setattr(bench, "Learner", Watched)
    report = bench.measure(steps=3, batch=2, gradient_checkpointing=True)
    assert len(report.step_seconds) == 3 and len(seen) >= 4
    assert all(checkpointing for _, _, checkpointing in seen)
    assert seen[-1][1], "a parameter stays as it is"
    assert all(torch.isfinite(torch.tensor(loss)) for loss, _, _ in seen)


def test_ways_that_are_not_float32_do_not_count(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU there is one library")

    def rounded(call):
        return lambda a, b: call(a, b).bfloat16().float()

    # Whether oneDNN itself multiplies float32 exactly depends on the processor: with AMX it rounds to bfloat16.
    monkeypatch.setattr(bench, "by_onednn", lambda call: call)
    assert "oneDNN mm" in bench.Matmul(torch.float32).ways
    monkeypatch.setattr(bench, "by_onednn", rounded)
    assert set(bench.Matmul(torch.float32).ways) == {"BLAS mm", "BLAS linear"}


def test_a_gpu_that_is_not_there_is_an_error_that_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        main(["bench", "train", "--device", "cuda"])
    assert end.value.code == 2
    assert "torch sees no GPU here" in capsys.readouterr().err.replace("\n", " ")
