"""ImageBind's score through a stand-in for the user's package: its inputs, and the messages without it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frieren.errors import WeightsError
from frieren.evaluation.scorers import catalogue, imagebind
from frieren.evaluation.scorers.spectra import imagebind_fbank


class Binding(nn.Module):
    """Keeps its inputs; embeds a video by its brightness, a sound by its level."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.fed: dict[str, Tensor] = {}

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        self.fed |= given
        return {name: self.scale * torch.stack([x.mean(), x.std()])[None] for name, x in given.items()}


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed `imagebind`."""
    module = types.ModuleType("imagebind.models.imagebind_model")
    module.imagebind_huge = lambda pretrained: Binding()
    for name in ("imagebind", "imagebind.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def scorer(package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> imagebind.MeaningAgreement:
    torch.save(Binding().state_dict(), tmp_path / "weights.pth")
    monkeypatch.setenv("FRIEREN_IMAGEBIND", str(tmp_path / "weights.pth"))
    return catalogue.loaders()["imagebind"]()


def test_pictures_two_at_a_time_in_three_squares(scorer: imagebind.MeaningAgreement, tmp_path: Path) -> None:
    images = []
    for index in range(80):  # 10 frames per second; the left, middle and right third have a level of their own
        image = np.zeros((48, 144, 3), np.uint8)
        for third in range(3):
            image[:, 48 * third : 48 * (third + 1)] = 60 * third + 10 * (index // 20)
        images.append(image)
    path = clips.video(tmp_path / "a.mkv", [index / 10 for index in range(80)], size=(144, 48), images=images)
    with torch.inference_mode():
        scorer.encode_video(path, 8.1)
    (fed,) = scorer.network.fed["vision"]
    assert fed.shape == (9, 3, 2, 224, 224)
    mean, deviation = (torch.tensor(one)[:, None] for one in (imagebind.MEAN, imagebind.DEVIATION))
    levels = 255 * (fed.mean(dim=(3, 4)) * deviation + mean)
    # av-benchmark's order: all squares of the first two pictures, then all of the next two.
    wanted = [[60 * third + 10 * (pair + later) for later in (0, 1)] for pair in range(3) for third in range(3)]
    torch.testing.assert_close(levels.mean(dim=1), torch.tensor(wanted).float(), atol=4, rtol=0)
    with torch.inference_mode():
        scorer.encode_video(path, 12.0)
    assert scorer.network.fed["vision"].shape[1] == 15, "the last picture stays"


def test_three_pieces_of_the_sound(scorer: imagebind.MeaningAgreement) -> None:
    wave = torch.from_numpy(0.1 * np.random.default_rng(0).normal(size=128_000)).float()
    with torch.inference_mode():
        sound = scorer.encode_sound(wave)
    (fed,) = scorer.network.fed["audio"]
    assert fed.shape == (3, 1, 128, 204)
    for piece, start in zip(fed, (0, 48_000, 96_000), strict=True):
        torch.testing.assert_close(piece[0], imagebind_fbank(wave[start : start + 32_000]))
    score = scorer.score(torch.tensor([[1.0, 0.0]]), sound)
    assert score.item() == pytest.approx((sound[0, 0] / sound.norm()).item())


def test_squares_of_a_tall_picture() -> None:
    first, between, last = imagebind.squares(torch.arange(7.0).reshape(1, 1, 7, 1).expand(1, 3, 7, 4))
    assert [one[0, 0, 0, 0].item() for one in (first, between, last)] == [0, 2, 3]
    assert first.shape == last.shape == (1, 3, 4, 4)


def test_what_is_missing_is_said(package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="imagebind_huge.pth: .*FRIEREN_IMAGEBIND=FILE"):
        imagebind.load()
    monkeypatch.setenv("FRIEREN_IMAGEBIND", str(tmp_path / "other.pth"))
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="other.pth: not ImageBind's weights .*Missing key"):
        imagebind.load()
    monkeypatch.setitem(sys.modules, "imagebind.models.imagebind_model", None)
    with pytest.raises(WeightsError, match="imagebind needs the package imagebind .*CC-BY-NC-SA-4.0"):
        imagebind.load()
