"""Timing in the report: the same numbers as `timing.onset_scores`, one decoding of every file, FoleyWorld's scripts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("librosa")

from frieren import sounds, world  # noqa: E402
from frieren.apps.world import script  # noqa: E402
from frieren.clock import Clock  # noqa: E402
from frieren.evaluation.protocol import PRESETS, ProtocolError  # noqa: E402
from frieren.evaluation.run import evaluate  # noqa: E402
from frieren.evaluation.scorers.cache import FeatureCache  # noqa: E402
from frieren.evaluation.timing import onset_scores as timing
from frieren.evaluation.timing.envelope import Envelope  # noqa: E402
from frieren.evaluation.timing.onset_detector import OnsetDetector, event_onsets  # noqa: E402
from frieren.evaluation.timing.protocol import ReferenceTiming, analyse  # noqa: E402
from frieren.evaluation.timing.report_rows import TIMING, read_events  # noqa: E402

RATE = 16_000
CLIPS = [world.clip("valid", index, Clock(), picture=False) for index in (0, 3, 6, 9)]
GENERATED = [np.roll(clip.wave, 800 * index) for index, clip in enumerate(CLIPS)]  # 0, 50, 100, 150 ms late


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    generated, reference = tmp_path / "generated", tmp_path / "reference"
    generated.mkdir(), reference.mkdir()
    for clip, wave in zip(CLIPS, GENERATED, strict=True):
        soundfile.write(generated / f"{clip.index}.wav", wave, RATE, subtype="FLOAT")
        soundfile.write(reference / f"{clip.index}.wav", clip.wave, RATE, subtype="FLOAT")
    return generated, reference


def rows(generated: Path, reference: Path, preset: str = "world", **options: object) -> dict:
    options = {"scores": tuple(TIMING), "cache": FeatureCache(False)} | options
    return {score.name: score for score in evaluate(generated, reference, PRESETS[preset], **options).scores}


def add_scripts(folder: Path) -> None:
    for clip in CLIPS:
        (folder / f"{clip.index}.json").write_text(json.dumps(script(clip, 25.0)))


def same(found: dict, wanted: timing.TimingScores) -> None:
    body = wanted.summary()
    assert found.keys() == wanted.pooled.keys() | {"onset_offset_ms"}
    for name in wanted.pooled:
        row, score = body[name], found[name]
        baselines = {
            "ceiling": row["ceiling"],
            "chance": row["chance_mean"],
            "chance, 95th percentile": row["chance_95"],
        }
        assert score.value == pytest.approx(row["value"]) and score.baselines == pytest.approx(baselines, abs=1e-3)
        assert list(score.interval[:2]) == pytest.approx(row["interval"]) and score.count == row["clips"]
    offset = found["onset_offset_ms"]
    assert offset.value == pytest.approx(body["offset_ms"]["median"], abs=0.05) and offset.better == "nearer 0"
    assert offset.baselines["ceiling"] == pytest.approx(body["ceiling_offset_ms"]["median"], abs=0.05)
    assert offset.interval and {"chance", "chance, 95th percentile", "upper quartile"} < offset.baselines.keys()


def test_rows_are_the_scores_of_the_waves(folders: tuple[Path, Path]) -> None:
    same(rows(*folders), timing.scores(GENERATED, [clip.wave for clip in CLIPS], RATE))


def test_scripts_of_the_references_give_the_onsets(folders: tuple[Path, Path]) -> None:
    before = rows(*folders)
    add_scripts(folders[1])
    known = []
    for clip in CLIPS:
        sound = analyse(clip.wave, RATE, OnsetDetector(), Envelope())
        events = [event for event in clip.events if event.visible]
        known.append(ReferenceTiming(event_onsets(events), sound.level, sound))
    after = rows(*folders)
    same(after, timing.scores(GENERATED, known, RATE))
    assert before["onset_recall_50ms"].baselines["ceiling"] == 1
    report = evaluate(*folders, PRESETS["world"], scores=["onsets"], cache=FeatureCache(False))
    assert report.timing["scripts"] == 4 and "visible events of 4 scripts" in report.markdown()
    (folders[1] / "0.json").write_text(json.dumps(script(dataclasses.replace(CLIPS[0], events=()), 25.0)))
    other = evaluate(*folders, PRESETS["world"], scores=["onsets"], cache=FeatureCache(False))
    assert other.files_sha256 != report.files_sha256  # a script is input too


def test_a_json_that_is_no_script_changes_nothing_and_a_broken_script_stops(folders: tuple[Path, Path]) -> None:
    path = folders[1] / "0.json"
    assert read_events(path) is None
    path.write_text('{"title": "a video"}')
    report = evaluate(*folders, PRESETS["world"], scores=["onsets"], cache=FeatureCache(False))
    assert report.timing["scripts"] == 0 and "detected onsets of 4 reference sounds" in report.markdown()
    for text in ("{", '{"world_version": 1}', '{"world_version": 1, "events": [{"time": 1}]}'):
        path.write_text(text)
        with pytest.raises(ProtocolError, match=r"0.json: no script of FoleyWorld .*; repair it, or move it away"):
            rows(*folders)


def test_every_file_is_decoded_once_and_a_second_run_decodes_none(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, paths = sounds.read_channels, []
    monkeypatch.setattr(sounds, "read_channels", lambda path: (paths.append(path), read(path))[1])
    options = {"scores": ("fd", "kl", *TIMING), "cache": FeatureCache(tmp_path / "kept")}
    first = rows(*folders, **options)
    assert len(paths) == len(set(paths)) == 8
    assert rows(*folders, **options) == first and len(paths) == 8


def test_sounds_of_other_length_and_rate_are_cut_to_the_shorter(folders: tuple[Path, Path]) -> None:
    generated, reference = folders
    for clip in CLIPS:
        wave = sounds.resample(clip.wave, RATE, 44_100)[: round(5.003 * 44_100)]
        soundfile.write(generated / f"{clip.index}.wav", wave, 44_100, subtype="FLOAT")
    for options in ({}, {"preset": "paper"}):
        found = rows(generated, reference, **options)
        assert found["onset_f1_50ms"].value > 0.97 and found["envelope"].value > 0.99
        assert abs(found["onset_offset_ms"].value) < 1


def test_what_is_not_defined_says_so(folders: tuple[Path, Path]) -> None:
    for path in folders[0].iterdir():
        soundfile.write(path, np.zeros(8 * RATE), RATE)
    found = rows(*folders)
    assert found["onset_precision_50ms"].value is None and found["onset_f1_50ms"].value == 0
    assert found["onset_precision_50ms"].notes == ("not defined for 4 of the sounds",)
    offset = found["onset_offset_ms"]
    assert offset.value is None and offset.interval is None and offset.notes == ("no onset is matched",)


def test_the_preset_world_measures_timing_and_the_others_when_asked() -> None:
    assert {name: preset.timing for name, preset in PRESETS.items()} == {
        "world": tuple(TIMING),
        "paper": (),
        "av-bench": (),
    }
