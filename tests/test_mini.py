"""The model that ships: it is small, whole, offline, and does on a few clips what its card says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import frieren
from frieren.catalogue import SHIPPED
from frieren.evaluation.clipsets import impact_clips
from frieren.evaluation.onsets import OnsetDetector, Score, score, true_onsets
from frieren.spectrogram import log_mel
from frieren.world import example

FOLDER = SHIPPED / "mini"


@pytest.fixture(scope="module")
def mini():
    return frieren.load("mini", device="cpu")


def test_it_is_small_and_says_where_it_comes_from():
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) <= 20e6 and max(sizes) <= 12e6
    card = (FOLDER / "README.md").read_text()
    assert "FoleyWorld" in card and "CC BY-NC" in card and "cannot" in card
    assert "CC BY" in (FOLDER / "ATTRIBUTION.md").read_text()
    assert {f"{part}.json" for part in frieren.weights.PARTS} <= {path.name for path in (FOLDER / "training").iterdir()}


def test_it_loads_without_a_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert frieren.load("mini").config.name == "mini"
    assert "mini" in frieren.models()


def test_every_part_of_a_latent_carries_its_level(mini):
    """A spectrogram comes back from windows of its latent, not only from the whole."""
    for kind in ("ball", "drum", "hammer", "chop"):
        clip = example(kind, 0, mini.clock, picture=False)
        mel = log_mel(torch.from_numpy(clip.wave), mini.config.mel)
        latent, _ = mini.encode_mel(mel)
        late = mini.decode(latent[:, 90:])
        assert (mini.decode(latent) - mel).abs().mean() < 0.4
        assert (late - mel[:, 180:]).abs().mean() < 0.4


def test_vocoder_gives_the_mel_back(mini):
    clip = impact_clips("valid", 1, mini.clock, picture=False)[0]
    mel = log_mel(torch.from_numpy(clip.wave), mini.config.mel)
    assert (log_mel(mini.vocode(mel), mini.config.mel) - mel).abs().mean() < 0.3


def test_it_strikes_when_the_picture_does(mini):
    """Four clips of the validation split, few steps: far above chance, which is about 0.2."""
    detector, total = OnsetDetector(), Score()
    for number, clip in enumerate(impact_clips("valid", 4, mini.clock)):
        features = mini.encode(torch.from_numpy(clip.images).float() / 255)
        wave = mini.vocode(mini.decode(mini.sample(features, seconds=clip.seconds, seed=number, steps=8)))
        total += score(true_onsets(clip.events)[0], detector.detect(np.asarray(wave), 16_000))
    assert total.f1 > 0.6
