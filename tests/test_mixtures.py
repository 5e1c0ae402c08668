"""Mixtures of recordings: the sheet and the sound agree, and a scene is the same one however often it is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frieren import sounds
from frieren.clock import Clock
from frieren.conditioning import feature_size
from frieren.dataset import mixtures
from frieren.dataset.mixtures import JITTER, Mixture, mixture
from frieren.dataset.prepare import DatasetSpec, prepare
from frieren.dataset.recordings import Recording, RecordingsError
from frieren.dataset.shards import Shards
from frieren.dataset.sources import SourceError, read_source
from frieren.dataset.takes import LEAD, Take, TakeLibrary, find_onsets, gain, strength
from frieren.weights import save_part

RATE = 16_000


def clicks(times: list[float], seconds: float, amplitudes: list[float] | None = None) -> np.ndarray:
    """Short noise bursts that rise within a millisecond and die in 50 ms, over silence."""
    rng = np.random.default_rng(0)
    wave = np.zeros(round(seconds * RATE), np.float32)
    decay = np.exp(-np.arange(1600) / 400) * np.minimum(1, np.arange(1600) / 16)
    for time, amplitude in zip(times, amplitudes or [1.0] * len(times), strict=True):
        place = round(time * RATE)
        wave[place : place + 1600] += amplitude * (decay * rng.uniform(-1, 1, 1600))[: len(wave) - place]
    return wave


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a hammer, and one of rain, in folders of their names."""
    root = tmp_path_factory.mktemp("recordings")
    for name, wave in (
        ("hammer", clicks([0.2, 0.9, 1.5], 2.0)),
        ("rain_storm", 0.3 * np.random.default_rng(1).standard_normal(RATE).clip(-1, 1).astype(np.float32)),
    ):
        (root / name).mkdir()
        sounds.write(root / name / "one.wav", wave, RATE)
    return root


@pytest.fixture(scope="module")
def library(folder: Path) -> TakeLibrary:
    return TakeLibrary.read([folder], "train", RATE)


def test_onsets_lie_where_the_level_begins_to_rise() -> None:
    times = [0.25, 0.7, 1.31, 1.9]
    assert np.allclose(find_onsets(clicks(times, 2.5), RATE), times, atol=0.008)


def test_gain_and_strength_are_inverse() -> None:
    assert [strength(gain(value)) for value in (0.1, 0.5, 1.0)] == pytest.approx([0.1, 0.5, 1.0])
    assert gain(1.0) == 1 and strength(0.0) == 0


def test_hits_begin_just_before_their_onsets_and_have_a_peak_of_one() -> None:
    take = Take(clicks([0.2, 0.9], 1.5, [1.0, 0.3]), RATE, np.array([0.2, 0.9]))
    assert len(take.hits) == 2
    for hit in take.hits:
        assert np.abs(hit).max() == pytest.approx(1)
        assert np.flatnonzero(np.abs(hit) > 0.01)[0] / RATE == pytest.approx(LEAD, abs=0.002)
    assert take.strengths[0] == 1 and 0.5 < take.strengths[1] < 0.8


def scenes(library: TakeLibrary, category: str, count: int) -> list[Mixture]:
    """The first scenes of which a category is the only thing."""
    found = (mixture(library, "train", index, 6.0) for index in range(400))
    return [one for one in found if set(one.categories) == {category}][:count]


def test_what_strikes_is_more_often_unknown_than_what_sounds_on(library: TakeLibrary) -> None:
    every = [mixture(library, "train", index, 6.0) for index in range(400)]
    nameless = [one for one in every if not one.cues.sounds]
    struck = [one for one in nameless if set(one.categories) == {"hammer"}]
    rain = [one for one in every if "rain_storm" in one.categories]
    assert len(struck) > 0.2 * len([one for one in every if set(one.categories) == {"hammer"}])
    assert len([one for one in rain if not one.cues.sounds]) < 0.15 * len(rain)
    assert len(struck) > 0.6 * len(nameless)


def test_what_strikes_is_heard_at_the_strikes_of_the_sheet(library: TakeLibrary) -> None:
    errors: list[float] = []
    for scene in scenes(library, "hammer", 12):
        onsets = find_onsets(scene.wave, RATE)
        for strike in scene.cues.strikes:
            if strike.strength > 0.5 and strike.time < 5.8:
                errors.append(float(np.abs(onsets - strike.time).min(initial=9.0)))
    assert len(errors) > 30
    assert np.mean(np.array(errors) < 0.04 + JITTER) > 0.9


def test_what_sounds_on_follows_the_motion(library: TakeLibrary) -> None:
    levels, motions = [], []
    for scene in scenes(library, "rain_storm", 12):
        if scene.cues.motion.values:
            blocks = scene.wave[: 6 * RATE].reshape(-1, RATE // 25)
            level = 20 * np.log10(np.maximum(blocks.std(1), 1e-4))
            levels.append(level - level.mean())
            motions.append(np.array(scene.cues.motion.values) - np.mean(scene.cues.motion.values))
    assert np.corrcoef(np.concatenate(levels), np.concatenate(motions))[0, 1] > 0.4


def test_things_move_where_nothing_strikes_too(library: TakeLibrary, monkeypatch) -> None:
    """As fast as for a strike, in scenes with strikes; what sounds on keeps its motion."""

    def fastest(category: str, missed: float) -> list[float]:
        monkeypatch.setattr(mixtures, "MISSED", missed)
        found = []
        for scene in scenes(library, category, 8):
            motion = np.array(scene.cues.motion.values)
            times = np.arange(len(motion)) / 25
            strikes = np.array([strike.time for strike in scene.cues.strikes] or [-9.0])
            apart = np.abs(times[:, None] - strikes).min(1) > 0.3
            found.append(np.abs(np.diff(motion))[apart[1:] & apart[:-1]].max(initial=0.0))
        return found

    assert np.mean(fastest("hammer", 1.0)) > 1.5 * np.mean(fastest("hammer", 0.0))
    assert fastest("rain_storm", 1.0) == fastest("rain_storm", 0.0)


def test_a_scene_is_always_the_same_and_its_sheet_is_whole(library: TakeLibrary) -> None:
    one, again, other = (mixture(library, split, 3, 6.0) for split in ("train", "train", "valid"))
    assert np.array_equal(one.wave, again.wave) and one.cues == again.cues
    assert len(one.wave) != len(other.wave) or not np.array_equal(one.wave, other.wave)
    for index in range(60):
        scene = mixture(library, "train", index, 6.0)
        assert len(scene.wave) == 6 * RATE and np.abs(scene.wave).max() <= 1
        assert sum(cue.certainty for cue in scene.cues.sounds) <= 1 + 1e-6
        assert scene.cues.seconds == 6.0


def test_sometimes_nothing_is_named_and_sometimes_nothing_is_timed(library: TakeLibrary) -> None:
    sheets = [mixture(library, "train", index, 2.0).cues for index in range(200)]
    assert 4 < sum(not sheet.sounds for sheet in sheets) < 40
    assert 8 < sum(not sheet.strikes and not sheet.motion.values for sheet in sheets) < 50


def test_recordings_without_a_category_cannot_be_mixed(folder: Path) -> None:
    with pytest.raises(RecordingsError, match="categories.csv"):
        TakeLibrary([Recording(folder / "hammer" / "one.wav", "")], RATE)


def test_prepared_mixtures_have_features_of_their_sheets(folder: Path, tmp_path: Path) -> None:
    source = read_source("mixtures:train:4,valid:2", recordings=[folder])
    clock = Clock(fps=31.25, window=160, overlap=48)
    prepare(source, tmp_path / "data", DatasetSpec(condition="cues", seconds=6.0, clock=clock), workers=0)
    data = Shards(tmp_path / "data", "train")
    assert len(data.ids) == 4 and len(Shards(tmp_path / "data", "valid").ids) == 2
    assert data.read(0, "features").shape == (188, feature_size())
    assert data.read(0, "mel").shape == (375, 80)
    assert set(data.meta(0)["categories"]) <= {"hammer", "rain_storm"}


def test_the_detector_is_compiled_before_workers_begin(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several that compile it at once may leave a broken cache."""
    order: list[str] = []
    monkeypatch.setattr("frieren.dataset.prepare.compile_detector", lambda: order.append("compiled"))
    monkeypatch.setattr("frieren.dataset.prepare.scatter", lambda *_, **__: order.append("scattered") or {tmp_path: ""})
    spec = DatasetSpec(condition="cues", seconds=6.0)
    prepare(read_source("mixtures:train:1", recordings=[folder]), tmp_path / "data", spec, workers=2)
    assert order == ["compiled", "scattered"]


def test_latents_of_the_autoencoder_are_those_of_the_mel(folder: Path, tmp_path: Path) -> None:
    import frieren

    model = frieren.load("tiny", device="cpu")
    save_part(tmp_path / "autoencoder", model.parts["autoencoder"], model.autoencoder.config)
    source = read_source("mixtures:train:1", recordings=[folder])
    fields = ("mel", "mean", "log_variance")
    spec = DatasetSpec(fields, autoencoder=tmp_path / "autoencoder", condition="cues", seconds=6.0, clock=model.clock)
    prepare(source, tmp_path / "data", spec, workers=0)
    data = Shards(tmp_path / "data", "train")
    mean, log_variance = model.encode_mel(data.read(0, "mel").float().T[:, :374])
    assert np.allclose(data.read(0, "mean").float().T, mean, atol=2e-2)
    assert np.allclose(data.read(0, "log_variance").float().T, log_variance, atol=2e-2)


@pytest.mark.parametrize("name", ["mixtures:train", "mixtures:train:0", "mixtures:train:5;valid:2", "clips"])
def test_a_wrong_name_says_what_is_right(folder: Path, name: str) -> None:
    with pytest.raises(SourceError, match="mixtures:train:12000"):
        read_source(name, recordings=[folder])
    with pytest.raises(SourceError, match="--recordings"):
        read_source("mixtures:train:5")
