"""The models that ship: they are small, whole, offline, and sound when and as their cue sheets say."""

from __future__ import annotations

import re

import mir_eval
import numpy as np
import pytest
import torch

import frieren
from frieren.catalogue import SHIPPED
from frieren.conditioning import cue_features
from frieren.cues import Cues, SoundCue, Strike
from frieren.dataset.takes import find_onsets
from frieren.evaluation.timing.clipsets import impact_clips
from frieren.spectrogram import log_mel
from frieren.world import example

FOLDER = SHIPPED / "mini"
STEPS = {"mini": 25, "mini-reflow": 5, "mini-1step": 1}
FAR = {"mini": 0.7, "mini-reflow": 0.3, "mini-1step": 0.2}  # most that moving a strike may change far from it
TIMES = (0.5, 1.2, 1.9, 3.1, 3.5, 4.2)  # of strikes, s


@pytest.fixture(scope="module")
def mini():
    return frieren.load("mini", device="cpu")


def test_all_are_small_and_carry_their_records():
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(sizes) <= 48e6 and max(sizes) <= 12e6  # scorers included
    parts = frieren.weights.read_model_config(FOLDER).parts
    assert {f"{part}.json" for part in parts} <= {path.name for path in (FOLDER / "training").iterdir()}
    for variant, stage in (("mini-reflow", "reflow"), ("mini-1step", "distillation")):
        assert (SHIPPED / variant / "training" / f"{stage}.json").exists()


def test_the_card_says_what_the_files_hold(mini):
    """Parameters of every part, in millions, and the megabytes of its file."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part in mini.config.parts:
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


def sound(model, sheet, seconds=5.0):
    """The sound [S] of a cue sheet, seed 0, at the model's own steps."""
    features = cue_features(sheet, seconds, model.clock)
    return model.vocode(model.decode(model.sample(features, seconds=seconds, seed=0))).numpy()


def struck(name, times=TIMES):
    return Cues((SoundCue(name),), tuple(Strike(time) for time in times), seconds=5.0)


@pytest.mark.parametrize("name", STEPS)
def test_it_sounds_when_the_sheet_has_strikes(name):
    """Onsets within 50 ms of three kinds of strikes; chance would be below 0.3."""
    model = frieren.load(name, device="cpu")
    assert model.config.steps == STEPS[name] and model.config.name == name and model.config.condition == "cues"
    found = [find_onsets(sound(model, struck(kind)), 16_000) for kind in ("hammer", "drums", "chopping")]
    scores = [mir_eval.onset.f_measure(np.array(TIMES), np.asarray(each), window=0.05)[0] for each in found]
    assert np.mean(scores) > 0.7, scores


@pytest.mark.parametrize("name", STEPS)
def test_a_strike_that_is_moved_takes_its_sound_along_and_little_else(name):
    """By half a second within 50 ms; what is more than 0.6 s away from both instants stays, by log10-mel L1."""
    model = frieren.load(name, device="cpu")
    moved = (*TIMES[:2], 2.4, *TIMES[3:])  # the third, by half a second
    waves = [sound(model, struck("hammer", times)) for times in (TIMES, moved)]
    before, after = (np.asarray(find_onsets(wave, 16_000)) for wave in waves)
    assert np.abs(before - 1.9).min() < 0.05 < np.abs(before - 2.4).min()
    assert np.abs(after - 2.4).min() < 0.05 < np.abs(after - 1.9).min()
    first, second = (log_mel(torch.from_numpy(wave), model.config.mel) for wave in waves)
    times = torch.arange(first.shape[-1]) * model.clock.hop / model.clock.sample_rate
    far = (times < 1.9 - 0.6) | (times > 2.4 + 0.6)
    difference = (first - second).abs().mean(0)
    assert difference[far].mean() < FAR[name] and difference[~far].mean() > 2 * difference[far].mean()


def test_another_name_is_another_sound_at_the_same_instants(mini):
    mels = [log_mel(torch.from_numpy(sound(mini, struck(name))), mini.config.mel) for name in ("hammer", "dog")]
    assert (mels[0] - mels[1]).abs().mean() > 0.3


def test_variants_differ_in_the_field_alone(mini):
    for name in STEPS.keys() - {"mini"}:
        other = frieren.load(name, device="cpu")
        for part in mini.config.parts:
            pairs = zip(mini.parts[part].parameters(), other.parts[part].parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs) == (part != "field")
