"""What a CUDA device computes is what a processor computes: pytest -m gpu."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toys

import frieren

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")]
DEVICE = "cuda"


def test_a_seed_is_the_same_take() -> None:
    """Noise is drawn on the processor, whatever the device. The convolutions of a GPU may round to TF32."""
    cpu, gpu = frieren.load("tiny", device="cpu"), frieren.load("tiny", device=DEVICE)
    assert next(gpu.parts["field"].parameters()).device.type == DEVICE
    features = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    latent = cpu.sample(features, seed=3)
    mel = cpu.decode(latent)
    stages = (
        (gpu.sample(features, seed=3), latent),
        (gpu.decode(latent), mel),
        (gpu.vocode(mel), cpu.vocode(mel)),
    )
    for ours, theirs in stages:
        assert ((ours.cpu() - theirs).norm() / theirs.norm()).item() < 5e-3


def test_a_training_has_the_same_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.go(tmp_path / "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    toys.go(tmp_path / "cpu")
    gpu, cpu = (
        [line["net/total"] for line in toys.lines(tmp_path / name) if "net/total" in line] for name in ("gpu", "cpu")
    )
    assert len(cpu) == 6 and gpu == pytest.approx(cpu, rel=1e-3)
