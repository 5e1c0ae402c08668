"""A folder that is watched: what counts as a new video, what becomes of it, and that nothing stops it but Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command import FakeModel, make_video, names, run

from frieren.apps.generate import watch as module
from frieren.apps.generate.watch import Arrivals


def test_a_video_is_given_once_it_stands_still_and_again_when_it_changes(tmp_path: Path) -> None:
    arrivals, clip = Arrivals(tmp_path), tmp_path / "a.mp4"
    for name in ("b.txt", ".hidden.mp4", "empty.mp4"):
        (tmp_path / name).write_bytes(b"" if name == "empty.mp4" else b"x")
    (tmp_path / "folder.mp4").mkdir()
    clip.write_bytes(b"1")
    assert arrivals.look() == []
    clip.write_bytes(b"12")
    assert arrivals.look() == []
    assert arrivals.look() == [clip] and arrivals.look() == []
    clip.write_bytes(b"other")
    assert arrivals.look() == [] and arrivals.look() == [clip]
    assert arrivals.order == [clip]


def test_outputs_are_no_arrivals_and_a_folder_may_go_away_for_a_while(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    arrivals = Arrivals(folder)
    assert arrivals.look() == []
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"1")
    (folder / "a_frieren.mp4").write_bytes(b"2")
    (folder / "a_frieren.mp4.json").write_text('{"wave_sha256": "", "command": {}}')
    arrivals.look()
    assert arrivals.look() == [folder / "a.mp4"]


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens between two looks, one after the other; then Ctrl-C."""

    def happen(*events: Callable[[], object]) -> None:
        ahead = iter(events)

        def sleep(seconds: float) -> None:
            event = next(ahead, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        monkeypatch.setattr(module.time, "sleep", sleep)

    return happen


def nothing() -> None:
    """Time passes."""


def test_what_comes_gets_its_sound_and_bad_files_are_said_once(
    fake_model: FakeModel, tmp_path: Path, days: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    make_video(folder / "first.mp4")
    bad = folder / "bad.mp4"
    days(
        nothing,
        lambda: (bad.write_bytes(b"no video"), make_video(folder / "second.mov")),
        nothing, nothing,
        lambda: bad.unlink(),
        nothing,
    )  # fmt: skip
    assert run("generate", "--watch", folder, "-o", f"{out}/", "--seed", 4) == 130
    assert names(out) == [
        "first_frieren.mp4", "first_frieren.mp4.json", "second_frieren.mp4", "second_frieren.mp4.json",
    ]  # fmt: skip
    assert [call["seeds"] for call in fake_model.calls] == [[4], [4]] and len(fake_model.loads) == 1
    told = capsys.readouterr()
    assert told.err.count("bad.mp4") == 1 and "Traceback" not in told.err and "is watched; Ctrl-C ends it" in told.err
    assert names(folder) == ["first.mp4", "second.mov"]


def test_a_second_run_takes_up_what_came_meanwhile_and_nothing_twice(
    fake_model: FakeModel, tmp_path: Path, days: Callable[..., None]
) -> None:
    for name in ("a.mp4", "a.mov"):
        make_video(tmp_path / name, 0.4 if name == "a.mp4" else 0.5)
    for expected in (["a.mp4", "a.mov"], [], ["b.mp4"], ["a.mp4"]):
        if expected == ["b.mp4"]:
            make_video(tmp_path / "b.mp4", 0.6)
        if expected == ["a.mp4"]:
            make_video(tmp_path / "a.mp4", 0.7)
        fake_model.calls.clear()
        days(nothing, nothing)
        assert run("generate", "--watch", tmp_path) == 130
        assert sorted(call["video"].name for call in fake_model.calls) == sorted(expected)
    outputs = [name for name in names(tmp_path) if "frieren" in name and name.endswith(".mp4")]
    assert outputs == ["a_frieren.mp4", "a_frieren_2.mp4", "b_frieren.mp4"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--watch nowhere", "there is no such folder"),
        ("--watch . -o a.mp4", "one file cannot hold"),
        ("--watch . --format wav --keep-original", "need a video as output"),
        ("--watch . clip.mp4", "leave out videos"),
    ],
)
def test_what_cannot_be_watched_is_said_at_once(
    fake_model: FakeModel,
    tmp_path: Path,
    line: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("generate", *line.split()) == 2
    assert " ".join(said.split()) in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not fake_model.loads
