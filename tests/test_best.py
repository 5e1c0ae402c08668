"""The best of several takes: what a score is, which takes stay, and how the command line keeps and replays them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from command import make_video, names, run

import frieren
from frieren import Sound
from frieren.categories import categories
from frieren.conditioning import feature_size
from frieren.cues import Cues, SoundCue, Strike
from frieren.errors import ConfigError
from frieren.evaluation import best as module
from frieren.evaluation.best import TakeScores, best, score, what_is_heard, when_it_strikes
from frieren.nets.field import VectorField
from frieren.pipeline import Model
from frieren.sound_recognition import SoundWindows, Unasked

RATE = 16_000
NAMES = [category.name for category in categories()]


def windows(*likely: dict[str, float]) -> SoundWindows:
    """Windows a second apart, two seconds long, with these probabilities; what is left is another category's."""
    probabilities = torch.zeros(len(likely), len(NAMES))
    for row, each in zip(probabilities, likely, strict=True):
        for name, value in each.items():
            row[NAMES.index(name)] = value
        row[NAMES.index("boat")] = 1 - sum(each.values())
    return SoundWindows(torch.arange(len(likely)) * 1.0, 2.0, torch.ones(len(likely)), probabilities.log())


def test_what_is_heard_is_the_probability_of_each_sound_in_its_span() -> None:
    heard = windows({"dog": 0.8}, {"dog": 0.8}, {"rain_storm": 0.6}, {"rain_storm": 0.6})  # middles at 1, 2, 3, 4 s
    assert what_is_heard(heard, [SoundCue("dog", 0, 2)], 5.0) == pytest.approx(0.8)
    assert what_is_heard(heard, [SoundCue("dog", 3)], 5.0) == 0
    both = [SoundCue("puppy", 0, 2.5), SoundCue("rain", 2.5)]
    assert what_is_heard(heard, both, 5.0) == pytest.approx(0.7)
    leaked = windows({"dog": 0.8, "rain_storm": 0.1}, {"rain_storm": 0.6, "dog": 0.1})
    apart = [SoundCue("dog", 0, 1.5), SoundCue("rain", 1.5)]
    assert what_is_heard(leaked, apart, 3.0) == pytest.approx(0.7)


def test_sounds_asked_for_at_the_same_time_take_nothing_from_each_other() -> None:
    heard = windows({"dog": 0.5, "rain_storm": 0.4})
    cues = [SoundCue("dog"), SoundCue("rain", 0, 9)]
    assert what_is_heard(heard, cues, 2.0) == pytest.approx((0.5 / 0.6 + 0.4 / 0.5) / 2, abs=1e-4)
    assert what_is_heard(heard, [SoundCue("dog"), SoundCue("dog", 0, 1)], 2.0) == pytest.approx(0.5)


def test_silence_is_nothing() -> None:
    silent = dataclasses.replace(windows({"dog": 1.0}), levels=torch.tensor([-5.0]))
    assert what_is_heard(silent, [SoundCue("dog")], 2.0) == 0


def clicks(times: tuple[float, ...]) -> Sound:
    """Bursts of noise that fade, over faint noise."""
    rng = np.random.default_rng(0)
    wave = 1e-4 * rng.standard_normal(3 * RATE)
    for time in times:
        begin = round(time * RATE)
        wave[begin : begin + 1600] += 0.5 * rng.standard_normal(1600) * np.exp(-np.arange(1600) / 300)
    return Sound(torch.from_numpy(wave.astype(np.float32)), RATE)


def test_when_it_strikes_is_f1_of_onsets() -> None:
    pytest.importorskip("librosa")
    sheet = Cues((), tuple(map(Strike, (0.5, 1.2, 2.0, 2.6, 99.0))))  # the last lies beyond the sound
    assert when_it_strikes(clicks((0.5, 1.2, 2.0, 2.6)), sheet) == 1
    assert when_it_strikes(clicks((0.5, 1.2)), sheet) == pytest.approx(4 / 6, abs=1e-4)
    assert when_it_strikes(clicks((0.9, 1.6)), sheet) == 0


def test_what_does_not_strike_is_not_timed() -> None:
    sound = clicks((0.5,))
    assert score(sound, Cues((SoundCue("wind"),), (Strike(0.5),))).when is None
    assert score(sound, Cues((SoundCue("wind"),))).what is not None
    timed = score(sound, Cues((), (Strike(0.5),)))
    assert timed == TakeScores(None, 1.0) and timed.total == 1.0
    assert TakeScores(0.2, 0.6).total == pytest.approx(0.4)
    with pytest.raises(ConfigError, match="nothing is known"):
        score(sound, Cues())
    with pytest.raises(ConfigError, match="has no cue sheet"):
        score(sound)


def test_the_best_stay_in_order_and_of_equal_ones_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = [0.2, 0.9, 0.5, 0.9, 0.1]
    monkeypatch.setattr(module, "score", lambda take, cues: TakeScores(totals[take.record["seed"]], None))
    takes = [Sound(torch.zeros(1), RATE, record={"seed": seed}) for seed in range(5)]
    kept = best(iter(takes), 3)
    assert [take.record["seed"] for take in kept] == [1, 3, 2]
    assert kept[2].record["scores"] == {"what": 0.5, "when": None, "rank": 3}
    assert "scores" not in takes[2].record
    assert len(best(takes, 9)) == 5
    with pytest.raises(ValueError, match="at least 1"):
        best(takes, 0)


@pytest.fixture
def cued(monkeypatch: pytest.MonkeyPatch) -> Model:
    """`tiny` as a model that sees cue sheets, whatever model is loaded."""
    tiny = frieren.load("tiny", device="cpu")
    field = VectorField(dataclasses.replace(tiny.field.config, features=feature_size()))
    model = Model(dataclasses.replace(tiny.config, condition="cues"), {**tiny.parts, "field": field})
    monkeypatch.setattr(frieren, "load", lambda name, **_: model, raising=False)
    return model


def test_the_command_line_keeps_the_best_and_replays_them(
    cued: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("librosa")
    clip = make_video(tmp_path / "clip.mp4", 1.0)
    (tmp_path / "clip.json").write_text('{"strikes": [{"time": 0.5}]}')
    line = ("--cues", tmp_path / "clip.json", "--sound", "hammer", "--seed", 3, "--format", "wav")
    assert run("generate", clip, *line, "--samples", 4, "--best", 2) == 0
    sheet = Cues((SoundCue("hammer"),), (Strike(0.5),))
    takes = {seed: cued.generate(clip, seed=seed, cues=sheet) for seed in range(3, 7)}
    ranked = sorted(takes, key=lambda seed: -score(takes[seed]).total)
    assert names(tmp_path)[2:] == [
        f"clip_frieren_best{rank}.wav{suffix}" for rank in (1, 2) for suffix in ("", ".json")
    ]
    for rank, seed in enumerate(ranked[:2], 1):
        record = json.loads((tmp_path / f"clip_frieren_best{rank}.wav.json").read_text())
        assert record["options"]["seed"] == record["command"]["seed"] == seed
        assert record["wave_sha256"] == takes[seed].record["wave_sha256"]
        assert record["scores"] == {**dataclasses.asdict(score(takes[seed])), "rank": rank}
    capsys.readouterr()
    assert run("generate", "--replay", tmp_path / "clip_frieren_best2.wav.json") == 0
    told = capsys.readouterr()
    assert "identical: every sample" in told.out and "scores" not in told.err


def test_one_best_take_is_called_as_one_take(cued: Model, tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    clip = make_video(tmp_path / "clip.mp4", 0.5)
    assert run("generate", clip, "--sound", "wind", "--samples", 2, "--best", 1, "-o", tmp_path / "a.wav") == 0
    assert names(tmp_path) == ["a.wav", "a.wav.json", "clip.mp4"]


def test_what_was_not_asked_for_is_said_and_recorded(
    cued: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sound as it is made, by the names of its sheet; a replay finds the same, and warns of no difference."""
    clip, asked = make_video(tmp_path / "clip.mp4", 0.4), []

    def find_unasked(wave: object, sample_rate: int, names: Iterable[str]) -> list[Unasked]:
        asked.append((len(wave), sample_rate, *names))
        return [Unasked("music", "piano", 1.5, 0.9)]

    monkeypatch.setattr("frieren.sound_recognition.find_unasked", find_unasked)
    out = tmp_path / "out.wav"
    assert run("generate", clip, "--sound", "dog, rain", "-o", out) == 0
    assert capsys.readouterr().err.splitlines()[0] == (
        f"frieren: warning: {out}: the sound holds music (piano, at 1.5 s) that was not asked for; another seed may do"
    )
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert record["unasked"] == [{"kind": "music", "name": "piano", "from": 1.5, "certainty": 0.9}]
    monkeypatch.setattr("frieren.sound_recognition.find_unasked", lambda *_: [])
    assert run("generate", "--replay", tmp_path / "out.wav.json", "-o", tmp_path / "again.wav") == 0
    told = capsys.readouterr()
    assert "identical: every sample" in told.out and "unasked" not in told.err
    assert asked == [(6400, RATE, "dog", "rain")]
    assert "unasked" not in json.loads((tmp_path / "again.wav.json").read_text())


def test_what_cannot_be_ranked_is_said_before_the_work(
    cued: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_video(tmp_path / "clip.mp4", 0.4)
    for wrong, said in ((("--best", 3), "ask for more samples"), (("--best", 1, "--resume"), "and then chooses")):
        assert run("generate", clip, "--samples", 2, *wrong) == 2
        assert said in capsys.readouterr().err
    pytest.importorskip("librosa")
    monkeypatch.setattr("frieren.spotting.spot", lambda *_, **__: Cues())
    monkeypatch.setattr(Model, "takes", None)
    assert run("generate", clip, "--samples", 2, "--best", 1) == 1
    assert "say what is there with --sound" in capsys.readouterr().err
