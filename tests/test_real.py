"""Real clips: counts by hand and by another scorer, baselines on films that are known, manifests, the command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

for package in ("librosa", "matplotlib", "scipy"):
    pytest.importorskip(package)

import clips  # noqa: E402
import eyes_clips  # noqa: E402

from frieren.apps.cli import main  # noqa: E402
from frieren.categories import categories  # noqa: E402
from frieren.clock import Clock  # noqa: E402
from frieren.cues import Cues, SoundCue, Strike  # noqa: E402
from frieren.evaluation.real import baselines, measure  # noqa: E402
from frieren.evaluation.real.clips import ManifestError, RealClip, read_clips  # noqa: E402
from frieren.evaluation.real.counts import count, pooled  # noqa: E402
from frieren.evaluation.real.report import RealReport  # noqa: E402
from frieren.evaluation.timing.onset_detector import match  # noqa: E402
from frieren.sound_recognition import CLASSIFIER, true_shares  # noqa: E402
from frieren.spotting import Sight  # noqa: E402
from frieren.weights import ModelConfig  # noqa: E402

RATE = 16_000
NAMES = [category.name for category in categories()]


def real_clip(seconds: float, *events: float, **other: object) -> RealClip:
    return RealClip(Path("a.mp4"), "chop", seconds, events, **other)


def test_f1_is_what_a_hand_counts() -> None:
    clip = real_clip(4.0, 1.0, 2.0, 3.0, ignore=((0.0, 0.1), (3.5, 4.0)))
    tries = [[1.04, 2.08, 2.5], [3.0, 1.0, 2.05], [], [0.05, 3.5, 4.2, -1.0]]
    found = count(clip, tries)
    assert found.hits.tolist() == [[1, 3, 0, 0], [2, 3, 0, 0]] and found.found.tolist() == [3, 3, 0, 0]
    assert found.f1 == pytest.approx(np.array([[1 / 3, 1, 0, 0], [2 / 3, 1, 0, 0]]))
    both = pooled([found, count(real_clip(2.0, 1.0), [[1.0], [1.3], [1.0, 1.01], []])])
    assert both.f1[0] == pytest.approx([2 * 2 / (4 + 4), 2 * 3 / (4 + 4), 2 * 1 / (2 + 4), 0])
    assert np.isnan(count(real_clip(2.0), [[]]).f1).all()


def test_counts_are_those_of_the_optimal_matching() -> None:
    """Another scorer: clip by clip, try by try, by the assignment of `timing.onset_detector`."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        ignore = tuple((start, start + 0.3) for start in rng.uniform(0, 6, 2))
        clip = real_clip(6.0, *np.sort(rng.uniform(0, 6, rng.integers(0, 20))), ignore=ignore)
        tries = [rng.uniform(-0.5, 6.5, rng.integers(0, 25)) for _ in range(5)]
        found = count(clip, tries)
        for index, times in enumerate(tries):
            kept = [t for t in times if 0 <= t <= 6 and not any(a <= t <= b for a, b in ignore)]
            assert found.found[index] == len(kept)
            for row, window in enumerate((0.05, 0.1)):
                assert found.hits[row, index] == len(match(np.array(clip.events), np.array(kept), window))


def test_shifts_keep_the_rhythm() -> None:
    """One event in ten seconds: within 50 ms by chance once in a hundred tries, within 100 ms twice."""
    found = baselines.shifts(real_clip(10.0, 5.0), np.random.default_rng(0))
    assert found.hits.shape == (2, 1000) and found.found.tolist() == [1] * 1000
    assert found.hits.mean(axis=1) == pytest.approx([0.01, 0.02], abs=0.01)


def test_the_best_metronome_is_the_beat_of_the_clip() -> None:
    """A beat of 0.5 s; the metronome does not know when to begin: one of its four phases is right."""
    clip = real_clip(20.0, *np.arange(0.5, 19.9, 0.5))
    counts = baselines.metronomes(clip)
    f1 = counts.f1.reshape(2, len(baselines.PERIODS), len(baselines.PHASES))
    assert f1[0, round((0.5 - 0.1) / 0.02)] == pytest.approx([0, 0, 0, 1], abs=0.02)
    assert baselines.best_metronome(counts) == pytest.approx(f1.mean(axis=2).max(axis=1))


def test_falls_are_where_motion_stops(tmp_path: Path) -> None:
    """A square that moves fast and stops at 1 s and at 2 s: the last frame that moved, and 20 ms."""
    images, place = [], 0
    for index in range(75):
        place += 6 if index % 25 > 15 or index % 25 == 0 else 0
        image = np.zeros((48, 640, 3), np.uint8)
        image[10:40, place : place + 40] = 255
        images.append(image)
    path = clips.video(tmp_path / "a.mp4", [index / 25 for index in range(75)], size=(640, 48), images=images)
    assert baselines.falls(path) == pytest.approx([1.02, 2.02], abs=0.021)
    still = clips.video(tmp_path / "b.mp4", [0.0, 0.1, 0.2], images=[np.full((48, 64, 3), 90, np.uint8)] * 3)
    assert baselines.falls(still) == []
    assert baselines.falls(clips.video(tmp_path / "c.mp4", [0.0])) == []


def test_falls_are_picked_by_height_and_distance() -> None:
    times = np.arange(1, 101) / 25
    curve = np.zeros(100)
    curve[[19, 39, 42, 59]] = 1.0, 1.0, 0.9, 0.2  # at 0.8, 1.6, 1.72 (too near), 2.4 s (too low)
    assert baselines.pick_falls(times, curve) == pytest.approx([0.82, 1.62])


SHEETS = {
    "a.mp4": Cues((SoundCue("dog", 0, 1, 0.9), SoundCue("cat", 0, 2, 0.6)), (Strike(0.5), Strike(1.0)), seconds=2.0),
    "b.mp4": Cues((SoundCue("dog", certainty=0.3),), (Strike(1.5),), seconds=2.0),
    "c.mp4": Cues(seconds=2.0),
    "d.mp4": Cues((SoundCue("rain", 0, 2, 0.7),), seconds=2.0),
    "f.mp4": Cues((SoundCue("rain", 0, 2, 0.4), SoundCue("dog", 0, 1, 0.7)), seconds=2.0),
    "e.mp4": Cues((SoundCue("rain", 0, 1, 0.5),), seconds=2.0),
}


SIGHTS = {
    name: Sight(SHEETS[name], likeliest)
    for name, likeliest in {
        "a.mp4": (("cat", 0.6), ("dog", 0.45), ("rain_storm", 0.0)),
        "b.mp4": (("cow", 0.2), ("horse", 0.15), ("dog", 0.1)),
        "c.mp4": (("cat", 0.19), ("dog", 0.1), ("cow", 0.0)),
        "d.mp4": (("rain_storm", 0.7), ("cat", 0.2), ("cow", 0.1), ("dog", 0.0)),
        "f.mp4": (("rain_storm", 0.4), ("dog", 0.35), ("cow", 0.0)),
        "e.mp4": (("rain_storm", 0.5), ("cat", 0.1), ("dog", 0.0)),
    }.items()
}


def report(monkeypatch: pytest.MonkeyPatch) -> RealReport:
    """Two clips with timing, and five without: two of them show nothing, of one nobody has said what it shows."""
    some = [
        RealClip(Path("a.mp4"), "chop", 2.0, (0.5, 1.5), categories=("cow", "cat")),
        RealClip(Path("b.mp4"), "bark", 2.0, (1.5,), categories=("dog",)),
        RealClip(Path("c.mp4"), "none", 2.0, (), scored=False, categories=()),
        RealClip(Path("d.mp4"), "none", 2.0, (), scored=False, categories=("dog",)),
        RealClip(Path("e.mp4"), "none", 2.0, (), scored=False, categories=()),
        RealClip(Path("f.mp4"), "none", 2.0, (), scored=False, categories=("dog",)),
        RealClip(Path("d.mp4"), "none", 2.0, (), scored=False),
    ]
    monkeypatch.setattr(measure, "falls", lambda path: [0.58])
    return RealReport(measure.measure(some, {}, look=lambda path: SIGHTS[path.name]))


def test_the_report_pools_clips_and_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {(row.action, row.measured): row for row in report(monkeypatch).timing()}
    assert list(dict.fromkeys(action for action, _ in rows)) == ["all", "bark", "chop"]
    sheet, rule = rows["all", "cue sheet"], rows["all", "motion rule"]
    assert sheet.f1 == pytest.approx((2 * 2 / (3 + 3),) * 2) and (sheet.found, sheet.events) == (3, 3)
    assert rule.f1 == pytest.approx((0, 2 * 1 / (2 + 3)))
    assert rows["bark", "cue sheet"].f1 == (1, 1) and rows["chop", "cue sheet"].f1 == pytest.approx((0.5, 0.5))
    assert 0 < rows["all", "shifts, mean"].f1[0] < rows["all", "shifts, 95 %"].f1[0]
    assert ("all", "best metronome") in rows


def test_categories_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """a: cat before dog, in its sheet (.45 in all) too; b: dog is third, and first in its sheet; d: rain; f: 2nd."""
    assert report(monkeypatch).categories() == {
        "right category first": (1, 4),
        "right category among three": (3, 4),
        "right when sure (0.5 or more)": (1, 3),
        "below 0.2 where nothing is known": (1, 2),
        "first in its sheet": (2, 4),
        "no category in its sheet where nothing is known": (1, 2),
    }


def test_a_models_sounds_are_measured_with_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes(path: Path, seeds: range, cues: None, sounds: None, steps: int | None) -> list[SimpleNamespace]:
        assert steps == 3 and cues is sounds is None
        waves = []
        for seed in seeds:
            wave = np.zeros(2 * RATE, np.float32)
            for time in (0.5, 1.5 + seed):
                wave[round(time * RATE) :][:2000] += (0.5 * clips.noise(0.125, RATE) * np.exp(-np.arange(2000) / 300))[
                    : max(0, len(wave) - round(time * RATE))
                ]
            waves.append(SimpleNamespace(wave=torch.from_numpy(wave), sample_rate=RATE))
        return waves

    monkeypatch.setattr(measure, "falls", lambda path: [])
    model = SimpleNamespace(takes=takes, config=ModelConfig("m"), clock=Clock())
    clip = real_clip(2.0, 0.5, 1.5)
    (one,) = measure.measure([clip], {"m": model}, seeds=2, steps=3, look=lambda path: Sight(Cues(seconds=2.0), ()))
    assert one.counts["m"].f1 == pytest.approx(np.array([[1, 2 / 3], [1, 2 / 3]]))
    (row,) = [row for row in RealReport([one]).timing() if (row.action, row.measured) == ("all", "m")]
    assert row.f1 == pytest.approx((5 / 6, 5 / 6)) and row.found == 1.5


def test_sounds_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sheet is surest of is wanted, or else what the model was told; the sheet's own instants are kept."""
    asked: list[tuple[str, Cues, str | None]] = []

    def takes(path: Path, seeds: range, cues: Cues, sounds: str | None, steps: None) -> list[SimpleNamespace]:
        asked.append((path.name, cues, sounds))
        heard = [sounds or "dog", "cat"][: len(seeds)]
        return [SimpleNamespace(wave=torch.full((100,), float(NAMES.index(name)))) for name in heard]

    def name_sound(wave: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(wave[0].long(), len(NAMES)).float()

    monkeypatch.setattr(measure, "falls", lambda path: [])
    monkeypatch.setattr(measure, "name_sound", name_sound)
    monkeypatch.setattr("frieren.evaluation.real.report.true_shares", lambda: {"dog": 0.25, "cat": 1.0})
    model = SimpleNamespace(takes=takes, config=ModelConfig("m", condition="cues"), clock=Clock())
    some = [
        RealClip(Path("a.mp4"), "chop", 2.0, (), scored=False, categories=("cat", "dog")),  # its sheet says dog
        RealClip(Path("c.mp4"), "none", 2.0, (), scored=False, categories=()),
        RealClip(Path("b.mp4"), "bark", 2.0, (), scored=False),
    ]
    sheets = SHEETS | {"a.mp4": Cues((SoundCue("dog", certainty=0.7),), (Strike(0.5),), seconds=2.0)}
    found = RealReport(
        measure.measure(some, {"m": model}, seeds=2, look=lambda path: Sight(sheets[path.name], (("dog", 0.7),)))
    )
    assert asked == [
        ("a.mp4", sheets["a.mp4"], None),
        ("a.mp4", sheets["a.mp4"], "cat"),
        ("b.mp4", sheets["b.mp4"], None),
    ]
    spotted, told = found.sounds()
    assert (spotted.told, spotted.right, spotted.true, spotted.ratio) == (
        False,
        {"dog": (2, 4)},
        0.25,
        1.0,
    )  # at most 1
    assert (told.told, told.right, told.true, told.ratio) == (True, {"cat": (2, 2)}, 1.0, 1.0)
    assert "| m " in found.markdown() and json.loads(found.to_json())["clips"][0]["sounds"][0]["heard"] == "dog"


def test_silence_has_no_name() -> None:
    assert measure._name(torch.zeros(RATE)) == ""


def test_shares_of_true_recordings_are_those_of_the_card() -> None:
    """Right of those in `test`, by category, as the card lists them."""
    card = (CLASSIFIER.parent / "README.md").read_text()
    listed = {name: int(a) / int(b) for name, a, b in re.findall(r"(\w+)\s+(\d+)/(\d+)", card) if name in NAMES}
    assert true_shares() == pytest.approx(listed) and len(listed) > 70


def write(folder: Path, *rows: dict) -> None:
    (folder / "manifest.json").write_text(json.dumps({"note": "", "clips": rows}))


ROW = {"file": "a.mp4", "action": "chop", "seconds": 2.0, "events_s": [1.5, 0.5], "fps": 25}


def test_a_manifest_is_read(tmp_path: Path) -> None:
    unscored = {"file": "b.mp4", "action": "type", "seconds": 1, "scored": False, "category": ""}
    write(tmp_path, ROW | {"ignore_s": [[0, 0.1]], "category": "Puppy"}, unscored | {"events_s": [5]})
    first, second = read_clips(tmp_path)
    assert first == RealClip(tmp_path / "a.mp4", "chop", 2.0, (0.5, 1.5), ((0.0, 0.1),), True, ("dog",))
    assert second == RealClip(tmp_path / "b.mp4", "type", 1.0, (), (), False, ())
    write(tmp_path, ROW | {"category": ["cat", "kitten", "horses"]}, ROW | {"category": []}, ROW)
    assert [clip.categories for clip in read_clips(tmp_path)] == [("cat", "cat", "horse"), (), None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 0}, "a.mp4: seconds must be positive"),
        ({"events_s": [2.5]}, "every event within"),
        ({"events_s": [float("nan")]}, "every event within"),
        ({"category": "xyzzy"}, "no sound is called 'xyzzy'"),
        ({"ignore_s": [1]}, "no list of clips"),
        ({"ignore_s": [[0, float("nan")]]}, "ignore_s must be pairs"),
        ({"seconds": 10**400}, "no list of clips"),
        ({"category": 3}, "no sound is called '3'"),
        ({"file": None}, "no list of clips"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path: Path, change: dict, message: str) -> None:
    write(tmp_path, ROW | change)
    with pytest.raises(ManifestError, match=message) as found:
        read_clips(tmp_path)
    assert "\n" not in str(found.value) and "manifest.json" in str(found.value)


def test_manifests_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_clips(tmp_path)
    write(tmp_path)
    with pytest.raises(ManifestError, match="no clip in it"):
        read_clips(tmp_path)
    write(tmp_path, {key: value for key, value in ROW.items() if key != "seconds"})
    with pytest.raises(ManifestError, match="'seconds' is missing"):
        read_clips(tmp_path)
    for text in ("[]", "{}", "x", '{"clips": 3}', '{"clips": ["a"]}', "[" * 100_000):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ManifestError):
            read_clips(tmp_path)


def test_the_command_prints_and_writes_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips.video(tmp_path / "a.mp4", [index / 10 for index in range(20)])
    write(tmp_path, ROW | {"category": "dog"})
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "real", str(tmp_path), "--model", "tiny", "--seeds", "2", "-o", str(tmp_path / "out")])
    assert not end.value.code
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "real.md").read_text() + "\n"
    assert max(map(len, printed.splitlines())) <= 80
    assert "| tiny " in printed and "| right category first " in printed
    body = json.loads((tmp_path / "out" / "real.json").read_text())
    assert [row["action"] for row in body["timing"]] == ["all"] * 6 + ["chop"] * 6
    (one,) = body["clips"]
    assert one["file"] == "a.mp4" and len(one["counts"]["tiny"]["found"]) == 2 and one["events"] == 2


def test_the_clips_of_the_page_make_a_manifest(tmp_path: Path) -> None:
    """Fetched from a folder in place of the web; what is there already stays."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    clips.video(tmp_path / "a" / "b" / "x y.mp4", [index / 10 for index in range(20)])
    (tmp_path / "out").mkdir()
    clips.video(tmp_path / "out" / "008.mp4", [0.0, 0.1])
    clips.video(tmp_path / "out" / "009.mp4", [0.0, 0.1])
    row = {
        "number": "7",
        "repository": "a/b",
        "path": "x y.mp4",
        "category": "dog|cat",
        "kind": "known",
        "half": "held",
    }
    source = f"file://{tmp_path}/{{repository}}/{{path}}"
    unseen, none = row | {"number": "8", "kind": "unseen"}, row | {"number": "9", "kind": "none", "category": ""}
    write(tmp_path / "out", *(eyes_clips.entry(each, tmp_path / "out", source) for each in (row, unseen, none)))
    found = read_clips(tmp_path / "out")
    assert [clip.path.name for clip in found] == ["007.mp4", "008.mp4", "009.mp4"]
    assert [clip.categories for clip in found] == [("dog", "cat"), None, ()]
    assert [clip.seconds for clip in found] == pytest.approx([2.0, 0.2, 0.2]) and not any(clip.scored for clip in found)
