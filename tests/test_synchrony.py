"""DeSync: which frames and which sounds are compared, and that the verdict is seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("librosa")

import clips  # noqa: E402

from frieren.errors import WeightsError  # noqa: E402
from frieren.evaluation import judges  # noqa: E402
from frieren.evaluation.synchrony import Synchrony  # noqa: E402
from frieren.nets.synchformer import Synchformer, SynchformerConfig  # noqa: E402
from frieren.weights import save_part  # noqa: E402

SMALL = SynchformerConfig(
    width=16, heads=2, seeing_depth=1, hearing_depth=1, image_size=32, comparing_depth=1, comparing_heads=2
)


@pytest.fixture
def judge(tmp_path):
    torch.manual_seed(0)
    save_part(tmp_path / "synchformer", Synchformer(SMALL), SMALL)
    return Synchrony(tmp_path / "synchformer")


def test_segments_of_both_begin_eight_frames_apart(judge, tmp_path):
    path = clips.video(tmp_path / "a.mp4", [index / 25 for index in range(200)])
    with torch.inference_mode():
        seen, heard = judge.see(path, 8.0), judge(torch.randn(128_000))
    assert seen["seen"].shape == (24, 8, 16) and heard["heard"].shape == (24, 6, 16)
    assert judge.shortest == pytest.approx(4.8)
    with torch.inference_mode():
        assert judge(torch.randn(76_800))["heard"].shape[0] == 14 == judge.see(path, 4.8)["seen"].shape[0]
        assert judge.see(path, 9.6)["seen"].shape[0] == 29  # the last frame stays


def test_the_first_and_the_last_segments_are_compared(judge, monkeypatch):
    asked = {}

    def compare(seen, heard):
        asked.update(seen=seen, heard=heard)
        return torch.eye(21)[[0, 13]]

    monkeypatch.setattr(judge.network, "compare", compare)
    rows = torch.arange(24.0)[:, None, None]
    said = judge.judge({"seen": rows.expand(24, 8, 16)}, {"heard": rows[:22].expand(22, 6, 16)})
    np.testing.assert_allclose(said.numpy(), [2.0, 0.6], atol=1e-12)  # offsets -2 and 0.6 s
    for part in asked.values():
        assert part[:, :, 0, 0].tolist() == [list(range(14)), list(range(8, 22))]


def test_without_its_weights_it_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="frieren weights fetch synchformer"):
        judges.loaders()["desync"]()
