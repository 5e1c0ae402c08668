"""The scorers get the right pairs: own sound, circularly shifted, another clip's of the same or another kind."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from frieren import world
from frieren.evaluation.foleyworld import quality
from frieren.world import Clip
from frieren.world.camera import Capture
from frieren.world.script import Event

KINDS = ("ball", "drum", "ball", "drum", "ball")


def toy_clip(split, index, clock, size):
    """A clip whose frames and whose first sample are its index plus one; the last has no timing that can be seen."""
    event = Event(KINDS[index], "wood", 1.0, 1.0, 0.5, 0.5, True, 100.0)
    wave = np.zeros(8 * clock.sample_rate, np.float32)
    wave[0] = index + 1
    images = np.full((4, 3, 2, 2), index + 1, np.uint8)
    events = (event,) * (1 if index == 4 else 2)
    rest = (clock.sample_rate, 8.0, Capture(), events, ())
    return Clip(split, index, 0, (KINDS[index],), images, np.zeros(4), wave, *rest)


class Tagger:
    """Names a ball in everything."""

    digest = "t"
    network = SimpleNamespace(config=SimpleNamespace(classes=("drum", "ball")))

    def __call__(self, wave):
        return {"logits": torch.tensor([0.0, 1.0])}


class Classifier:
    """Accepts the pairs in `accepted` (video, sound); a sound that was shifted starts with 0."""

    digest, sample_rate = "c", 1000
    network = SimpleNamespace(config=SimpleNamespace(fps=25.0))

    def __init__(self, accepted):
        self.accepted = accepted

    def encode_frames(self, images, seconds):
        return round(float(images.max() * 255))

    def encode_sound(self, wave):
        return int(wave[0])

    def score(self, video, sound):
        return torch.tensor([float((video, sound) in self.accepted)])


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(world, "clip", toy_clip)


def test_shares_are_of_the_right_pairs():
    accepted = {(1, 1), (2, 2), (3, 3), (1, 2), (2, 4), (3, 0)}
    rows = {row["pairs"]: row for row in quality.measure("valid", 5, Tagger(), Classifier(accepted)).rows()}
    assert rows["tagger, single source"]["share"] == pytest.approx(3 / 5)
    assert (rows["matched"]["share"], rows["matched"]["decisions"]) == (3 / 4, 4)
    assert (rows["shifted"]["share"], rows["shifted"]["decisions"]) == (1 / 4, 20)  # clip 3: all of its five shifts
    assert (rows["mismatched, another kind"]["share"], rows["mismatched, another kind"]["decisions"]) == (1 / 8, 8)
    assert (rows["mismatched, same kind"]["share"], rows["mismatched, same kind"]["decisions"]) == (1 / 4, 4)
    assert not rows["matched"]["met"] and rows["mismatched, same kind"]["met"] is None


def test_a_report_has_its_networks_and_clips():
    report = quality.measure("valid", 5, Tagger(), Classifier(set()))
    body = json.loads(report.to_json())
    assert body["networks"] == {"tagger": "t", "alignment": "c"} and body["clips"] == 5
    cells = [cell.strip() for cell in report.markdown().splitlines()[4].split("|")]
    assert cells[1:5] == ["shifted", "at most 0.1", "yes", "0.000"] and cells[5].startswith("0.000 … ")


def test_clips_without_timing_are_refused(monkeypatch):
    monkeypatch.setattr(world, "clip", lambda split, index, clock, size: toy_clip(split, 4, clock, size))
    with pytest.raises(ValueError, match="no clip of 2 has two visible impacts"):
        quality.measure("valid", 2, Tagger(), Classifier(set()))
