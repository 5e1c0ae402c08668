"""The scorers that ship: small, complete, and right about clips that they were not trained on."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from frieren import sound_recognition as recordings
from frieren import world
from frieren.apps.world import write_clip
from frieren.catalogue import SHIPPED
from frieren.categories import categories
from frieren.clock import Clock
from frieren.evaluation.foleyworld import quality
from frieren.evaluation.protocol import PRESETS
from frieren.evaluation.run import evaluate
from frieren.evaluation.scorers import extractors
from frieren.evaluation.scorers.alignment import WORLD, WorldAlignment
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.weights import load_part
from frieren.world.clips import CYCLE


def test_the_tagger_knows_the_kinds():
    tagger = extractors.load_world()
    classes = tagger.network.config.classes
    right = []
    for index in range(24):
        clip = world.clip("test", index, Clock(), picture=False)
        if len(clip.kinds) == 1:
            logits = tagger(torch.from_numpy(clip.wave))["logits"]
            right.append(classes[logits.argmax()] == clip.kinds[0])
    assert len(right) >= 12 and sum(right) / len(right) >= 0.8


def test_they_are_small():
    files = [path for part in ("tagger", "alignment") for path in (SHIPPED / "scorers" / part).iterdir()]
    assert sum(path.stat().st_size for path in files) < 6e6
    assert load_part(WORLD).config.fps == 25.0


def test_the_alignment_classifier_accepts_matched_pairs_alone():
    tagger, classifier = extractors.load_world(), WorldAlignment()
    rows = {row["pairs"]: row["share"] for row in quality.measure("valid", 30, tagger, classifier).rows()}
    assert rows["matched"] >= 0.85
    assert rows["shifted"] <= 0.10 and rows["mismatched, another kind"] <= 0.05


def test_shifting_all_sounds_costs_timing_and_hardly_moves_fd(tmp_path):
    """By half a second; FD is to the sounds of other clips of the same kinds, as to its own set it is 0."""
    pytest.importorskip("librosa")
    clock, cycle, few = Clock(fps=25.0), world.LEVELS * len(CYCLE), 8
    folders = {name: tmp_path / name for name in ("generated", "shifted", "other", "videos", "some", "some shifted")}
    for folder in folders.values():
        folder.mkdir()
    for place, index in enumerate(range(0, 48, 2)):
        clip = world.clip("valid", index, clock, 32, picture=place < few)
        other = world.clip("valid", index + cycle, clock, picture=False)
        waves = {"generated": clip.wave, "shifted": np.roll(clip.wave, clock.sample_rate // 2), "other": other.wave}
        if place < few:
            write_clip(clip, folders["videos"] / f"{index}.mp4", clock.fps)
            waves |= {"some": waves["generated"], "some shifted": waves["shifted"]}
        for name, wave in waves.items():
            soundfile.write(folders[name] / f"{index}.wav", wave, clock.sample_rate)

    def scores(generated: str, reference: str, *names: str) -> dict[str, float]:
        sides = folders[generated], folders[reference]
        found = evaluate(*sides, PRESETS["world"], scores=names, cache=FeatureCache(tmp_path / "cache")).scores
        return {score.name: score.value for score in found}

    still, moved = (scores(name, "other", "fd")["fd_world"] for name in ("generated", "shifted"))
    assert moved == pytest.approx(still, rel=0.05) and still > 1
    own, shifted = (scores(name, "videos", "onsets", "alignment_world") for name in ("some", "some shifted"))
    assert shifted["alignment_world"] < 0.5 * own["alignment_world"]
    for name in ("onset_precision_50ms", "onset_recall_50ms", "onset_f1_50ms", "onset_ap_50ms", "onset_f1_100ms"):
        assert shifted[name] < 0.6 * own[name]


def test_the_classifier_of_recordings_is_whole_and_small():
    classifier = recordings.classifier()
    assert recordings.CLASSIFIER.joinpath("model.safetensors").stat().st_size < 9.3e6
    assert classifier.config.columns * classifier.config.hop / recordings.RATE == pytest.approx(3.07, abs=0.01)


def test_noise_goes_on_and_a_bell_rings():
    """Probability of each behaviour: sounds that no recording is, so that hardly more can be asked."""
    time = torch.arange(64_000) / recordings.RATE
    partials = ((220, 1.0, 0.5), (524, 0.8, 0.9), (667, 0.7, 1.1), (880, 0.5, 1.5), (1330, 0.4, 2.2), (1870, 0.3, 3.0))
    bell = sum(
        level * torch.exp(-fall * time) * torch.sin(2 * torch.pi * hertz * time) for hertz, level, fall in partials
    )
    noise = torch.randn(64_000, generator=torch.Generator().manual_seed(0))
    behaviours = np.array([category.behaviour for category in categories()])
    for wave, behaviour in ((noise, "sustained"), (bell, "tonal")):
        named = recordings.name_sound(wave / wave.abs().max() / 2).numpy()
        assert named[behaviours == behaviour].sum() > 0.6, behaviour
