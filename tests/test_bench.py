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

from frieren import limits
from frieren.apps.bench import command as verb
from frieren.apps.bench.generation import DEMO, cold_starts
from frieren.apps.bench.picture import draw
from frieren.apps.cli import main
from frieren.nets.field import FieldConfig, VectorField
from frieren.pipeline import Model
from frieren.pipeline import bench as generation
from frieren.tiny import published_model, tiny_model
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
    monkeypatch.setattr(limits, "MATRIX", 128)
    monkeypatch.setattr(limits, "SHORTEST", 1e-4)


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
    monkeypatch.setattr(limits, "by_onednn", lambda call: call)
    assert "oneDNN mm" in limits.Matmul(torch.float32, torch.device("cpu")).ways
    monkeypatch.setattr(limits, "by_onednn", rounded)
    assert set(limits.Matmul(torch.float32, torch.device("cpu")).ways) == {"BLAS mm", "BLAS linear"}


def test_a_gpu_that_is_not_there_is_an_error_that_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        main(["bench", "train", "--device", "cuda"])
    assert end.value.code == 2
    assert "torch sees no GPU here" in capsys.readouterr().err.replace("\n", " ")


def test_a_clip_is_timed_stage_by_stage(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as end:
        main(["bench", "generate", *"--model tiny --rounds 2 --batch 2 --against eager --json".split(), str(file)])
    assert end.value.code == 0
    (run,) = json.loads(file.read_text())["runs"]
    names = ["read", "encode", "sample", "decode", "vocode", "write", "all"]
    assert list(run["stages"]["fast"]) == list(run["stages"]["plain"]) == names
    assert run["sound_seconds"] == pytest.approx(16.0, abs=0.1) and run["steps"] == 4
    for stages in run["stages"].values():
        for stage in stages.values():
            assert len(stage["seconds"]) == len(stage["cpu_seconds"]) == 2 and min(stage["seconds"]) > 0
        for turn in range(2):
            total = sum(stages[name]["seconds"][turn] for name in names[:-1])
            assert stages["all"]["seconds"][turn] == pytest.approx(total)
        assert stages["all"]["flops"] == sum(stages[name]["flops"] for name in names[:-1])
        limit = max(run["matmul"]["float32"].values())
        cpu = sum(stages["sample"]["cpu_seconds"]) / 2
        assert stages["sample"]["share_of_limit"] == pytest.approx(stages["sample"]["flops"] / cpu / limit)
    shown = capsys.readouterr().out
    assert all(word in shown for word in (*names, "of the limit", "times faster", "16.00 s of sound (2 at once)"))


def test_the_flops_of_generation_are_those_of_the_networks() -> None:
    config, parts = tiny_model()
    model = Model(config, parts, fast=False)
    clip = generation.TimedClip(DEMO, Path(), batch=1, steps=3, guidance=2.0)
    clip.features, clip.seconds = torch.randn(1, 100, 16), 4.0  # a latent shorter than a window is solved as one
    flops = generation.stage_flops(model, parts, clip)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        condition = torch.randn(2, 160, 16)
        model.field(torch.randn(2, 20, 160), torch.rand(2), condition)
    assert flops["sample"] == 3 * counter.get_total_flops()
    clip.guidance = 1.0
    assert generation.stage_flops(model, parts, clip)["sample"] == flops["sample"] // 2
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.autoencoder.decode(torch.randn(1, 20, 160))
    assert flops["decode"] == counter.get_total_flops()


def test_lengths_are_measured_from_features_to_wave(small: None, tmp_path: Path) -> None:
    config, parts = tiny_model()
    models: dict[generation.Which, Model] = {"fast": Model(config, parts)}
    lengths = (2.0, 12.0)
    short, long = generation.measure(models, parts, DEMO, tmp_path, seconds=lengths, rounds=1)
    assert [short.sound_seconds, long.sound_seconds] == [2.0, 12.0]
    assert list(short.stages["fast"]) == ["sample", "decode", "vocode", "all"]
    assert long.stages["fast"]["sample"].flops == 3 * short.stages["fast"]["sample"].flops  # three windows
    draw([short, long], tmp_path / "cost.svg")
    assert "<svg" in (tmp_path / "cost.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--seconds 8,x", "numbers such as"),
        ("--seconds 0", "must lie in"),
        ("--picture a.svg", "two of them"),
        ("--model published --cold", "no folder"),
    ],
)
def test_options_that_cannot_be_measured(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "generate", *options.split()])
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_cold_start_is_a_process_of_its_own(tmp_path: Path) -> None:
    (seconds,) = cold_starts(DEMO, "tiny", 1, "float32", "cpu", 1)
    assert seconds > 0


def test_the_published_sizes_are_those_of_the_published_parts() -> None:
    with torch.device("meta"):
        config, parts = published_model()
    assert config.windows == "published"
    millions = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in parts.items()}
    assert millions["field"] == pytest.approx(159.28, rel=0.01) and millions["vocoder"] == pytest.approx(
        112.2, rel=0.01
    )
