"""The judges are asked the right questions: own sound, rolled around, another clip's of the same or another kind."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from frieren import world
from frieren.evaluation.foleyworld import quality
from frieren.world import Clip
from frieren.world.camera import Film
from frieren.world.script import Event

KINDS = ("ball", "drum", "ball", "drum", "ball")


def toy_clip(split, index, clock, size):
    """A clip whose picture and whose first sample are its number; the last has nothing to be seen in time."""
    event = Event(KINDS[index], "wood", 1.0, 1.0, 0.5, 0.5, True, 100.0)
    wave = np.zeros(8 * clock.sample_rate, np.float32)
    wave[0] = index + 1
    images = np.full((4, 3, 2, 2), index + 1, np.uint8)
    events = (event,) * (1 if index == 4 else 2)
    return Clip(split, index, 0, (KINDS[index],), images, np.zeros(4), wave, clock.sample_rate, 8.0, Film(), events, ())


class Tagger:
    """Hears a ball in everything."""

    digest = "t"
    network = SimpleNamespace(config=SimpleNamespace(classes=("drum", "ball")))

    def __call__(self, wave):
        return {"logits": torch.tensor([0.0, 1.0])}


class Classifier:
    """Says yes to the numbers in `yes` (seen, heard); a sound that was rolled starts with 0."""

    digest, sample_rate = "c", 1000
    network = SimpleNamespace(config=SimpleNamespace(fps=25.0))

    def __init__(self, yes):
        self.yes = yes

    def look(self, images, seconds):
        return round(float(images.max() * 255))

    def __call__(self, wave):
        return int(wave[0])

    def judge(self, seen, heard):
        return torch.tensor([float((seen, heard) in self.yes)])


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(world, "clip", toy_clip)


def test_shares_are_of_the_right_pairs():
    yes = {(1, 1), (2, 2), (3, 3), (1, 2), (2, 4), (3, 0)}
    rows = {row["question"]: row for row in quality.measure("valid", 5, Tagger(), Classifier(yes)).rows()}
    assert rows["tagger, single source"]["share"] == pytest.approx(3 / 5)
    assert (rows["true"]["share"], rows["true"]["answers"]) == (3 / 4, 4)
    assert (rows["shifted"]["share"], rows["shifted"]["answers"]) == (1 / 4, 20)  # clip 3: all of its five shifts
    assert (rows["foreign, another kind"]["share"], rows["foreign, another kind"]["answers"]) == (1 / 8, 8)
    assert (rows["foreign, same kind"]["share"], rows["foreign, same kind"]["answers"]) == (1 / 4, 4)
    assert not rows["true"]["met"] and rows["foreign, same kind"]["met"] is None


def test_report_says_what_it_is_of():
    report = quality.measure("valid", 5, Tagger(), Classifier(set()))
    body = json.loads(report.to_json())
    assert body["networks"] == {"tagger": "t", "alignment": "c"} and body["clips"] == 5
    assert "| shifted | 0.000 | 0.000 … " in report.markdown() and "| at most 0.1 | yes |" in report.markdown()


def test_clips_without_timing_cannot_be_asked_about(monkeypatch):
    monkeypatch.setattr(world, "clip", lambda split, index, clock, size: toy_clip(split, 4, clock, size))
    with pytest.raises(ValueError, match="no clip of 2 has two visible impacts"):
        quality.measure("valid", 2, Tagger(), Classifier(set()))
