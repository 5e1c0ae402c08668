"""The models that ship: they are small, whole, offline, and do on a few clips what their cards say."""

from __future__ import annotations

import re

import pytest
import torch

import frieren
from frieren.catalogue import SHIPPED
from frieren.evaluation.foleyworld.takes import features_of, sound_of
from frieren.evaluation.timing.clipsets import impact_clips
from frieren.evaluation.timing.impacts import measure
from frieren.spectrogram import log_mel
from frieren.world import example

FOLDER = SHIPPED / "mini"
STEPS = {"mini": 25, "mini-reflow": 5, "mini-1step": 1}


@pytest.fixture(scope="module")
def mini():
    return frieren.load("mini", device="cpu")


def test_all_are_small_and_carry_their_records():
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(sizes) <= 48e6 and max(sizes) <= 12e6  # scorers included
    assert {f"{part}.json" for part in frieren.weights.PARTS} <= {path.name for path in (FOLDER / "training").iterdir()}
    for variant, stage in (("mini-reflow", "reflow"), ("mini-1step", "distillation")):
        assert (SHIPPED / variant / "training" / f"{stage}.json").exists()


def test_the_card_says_what_the_files_hold(mini):
    """Parameters of every part, in millions, and the megabytes of its file."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part in frieren.weights.PARTS:
        millions, megabytes = re.search(rf"^\| {part} \|.*\| ([\d.]+) M \| ([\d.]+) \|$", card, re.MULTILINE).groups()
        assert float(millions) == round(sum(each.numel() for each in mini.parts[part].parameters()) / 1e6, 2)
        assert float(megabytes) == round((FOLDER / part / "model.safetensors").stat().st_size / 1e6, 1)


def test_records_hold_no_paths():
    """Where something was trained is nobody's business; names of other records may stand there."""
    for path in SHIPPED.rglob("training/*.json*"):
        assert '": "/' not in path.read_text(), path


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


@pytest.mark.parametrize("name", STEPS)
def test_its_onsets_are_those_of_the_video(name):
    """Four clips of the validation split at the model's own steps: far above chance, which is about 0.2."""
    model = frieren.load(name, device="cpu")
    assert model.config.steps == STEPS[name] and model.config.name == name

    def generate(clip):
        return sound_of(model, features_of(model, clip), clip.seconds, clip.index)

    clips = impact_clips("valid", 4, model.clock)
    report = measure(generate, clips, model.clock.sample_rate, model=name, steps=STEPS[name], shifts=10)
    assert report.onsets.overall.generated > 0.6


def test_variants_differ_in_the_field_alone(mini):
    for name in STEPS.keys() - {"mini"}:
        other = frieren.load(name, device="cpu")
        for part in frieren.weights.PARTS:
            pairs = zip(mini.parts[part].parameters(), other.parts[part].parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs) == (part != "field")
