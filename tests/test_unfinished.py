"""Work that was stopped goes on from its last finished piece, with the same samples."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import video
from command import FakeModel, make_video, names, run

import frieren
from frieren.apps.generate import batch
from frieren.errors import OutputError
from frieren.longwave import LongWave
from frieren.unfinished import Unfinished, lock

SECONDS = 12.0  # three windows of `tiny`, two chunks of its vocoder


@pytest.fixture(scope="module")
def model() -> frieren.Model:
    return frieren.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video(tmp_path_factory.mktemp("clip") / "clip.mp4", [index / 5 for index in range(round(SECONDS * 5))])


class StoppedError(Exception):
    """In place of a signal."""


class Stopping(Unfinished):
    """Stops the work as soon as some pieces are written."""

    def __init__(self, target: Path, pieces: float, *, resume: bool = False) -> None:
        super().__init__(target, resume=resume)
        self.pieces, self.written = pieces, []

    def put(self, name: str, array: torch.Tensor) -> None:
        if len(self.written) >= self.pieces:
            raise StoppedError
        super().put(name, array)
        self.written.append(name)


@pytest.mark.parametrize("options", [{"steps": 2}, {"steps": 1, "solver": "heun"}, {"steps": 3, "solver": "dopri5"}])
def test_whatever_was_finished_the_samples_are_the_same(
    model: frieren.Model, clip: Path, tmp_path: Path, options: dict
) -> None:
    whole = model.generate(clip, seed=3, **options)
    unbroken = Stopping(tmp_path / "out.wav", float("inf"))
    (sound,) = model.takes(clip, [3], unfinished={3: unbroken}, **options)
    assert isinstance(sound.samples, LongWave) and torch.equal(sound.wave, whole.wave)
    assert sound.record["wave_sha256"] == whole.record["wave_sha256"]
    unbroken.discard()
    for count in range(len(unbroken.written)):
        first = Stopping(tmp_path / "out.wav", count)
        with pytest.raises(StoppedError):
            list(model.takes(clip, [3], unfinished={3: first}, **options))
        first.stop()
        second = Stopping(tmp_path / "out.wav", float("inf"), resume=True)
        (sound,) = model.takes(clip, [3], unfinished={3: second}, **options)
        assert torch.equal(sound.wave, whole.wave)
        lasting = {name for name in first.written if not name.startswith(("features", "times", "seconds"))}
        assert not lasting & set(second.written)  # nothing is made twice
        second.discard()
    assert names(tmp_path) == []


def test_cues_are_spotted_once(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = frieren.load("mini-1step", device="cpu")
    sheet = frieren.cues.Cues((frieren.cues.SoundCue("dog", 1.0, 2.5),), (frieren.cues.Strike(1.2),), seconds=2.0)
    monkeypatch.setattr("frieren.spotting.spot", lambda *_, **__: sheet)
    first = Stopping(tmp_path / "out.wav", 4)
    with pytest.raises(StoppedError):
        list(model.takes(clip, [0], unfinished={0: first}))
    first.stop()
    monkeypatch.setattr("frieren.spotting.spot", None)
    (sound,) = model.takes(clip, [0], unfinished={0: Unfinished(tmp_path / "out.wav", resume=True)})
    assert frieren.cues.from_json(json.dumps(sound.record["cues"])) == sheet


def test_a_mel_is_vocoded_from_where_it_stopped(model: frieren.Model, tmp_path: Path) -> None:
    mel = np.random.default_rng(0).standard_normal((80, 1100)).astype(np.float32)
    np.save(tmp_path / "mel.npy", mel)
    whole = model.generate(tmp_path / "mel.npy", kind="mel")
    first, second = Stopping(tmp_path / "o.wav", 2), Stopping(tmp_path / "o.wav", 9, resume=True)
    with pytest.raises(StoppedError):
        list(model.takes(tmp_path / "mel.npy", [0], kind="mel", unfinished={0: first}))
    first.stop()
    (sound,) = model.takes(tmp_path / "mel.npy", [0], kind="mel", unfinished={0: second})
    assert torch.equal(sound.wave, whole.wave) and second.written == ["wave-2"]


def test_pieces_of_other_work_are_refused_or_left_out(tmp_path: Path) -> None:
    place = Unfinished(tmp_path / "out.wav")
    place.begin({"options": {"seed": 3}, "model": "m"})
    place.put("wave-0", torch.ones(2))
    assert place.stop()
    with pytest.raises(OutputError, match=r"begun with another options\.seed \(3, now 4\); give the same"):
        Unfinished(tmp_path / "out.wav", resume=True).begin({"options": {"seed": 4}, "model": "m"})
    same = Unfinished(tmp_path / "out.wav", resume=True)
    same.begin({"options": {"seed": 3}, "model": "m"})
    assert same.get("wave-0") is not None
    same.stop()
    anew = Unfinished(tmp_path / "out.wav")
    anew.begin({"options": {"seed": 3}, "model": "m"})
    assert anew.get("wave-0") is None
    assert not anew.stop() and names(tmp_path) == []  # nothing finished: nothing stays


def pickled() -> bytes:
    """An array of objects, which are made when it is read."""
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array", pickled()], ids=["empty", "cut", "text", "pickle"])
def test_a_damaged_piece_is_made_again(tmp_path: Path, damage: bytes) -> None:
    place = Unfinished(tmp_path / "out.wav")
    place.begin({})
    place.put("wave-0", torch.ones(2))
    (place.folder / "wave-0.npy").write_bytes(damage)
    assert place.get("wave-0") is None
    place.put("wave-0", torch.ones(2))
    assert torch.equal(place.get("wave-0"), torch.ones(2))


@pytest.mark.parametrize("damage", [b"[" * 100_000, b"[]", b"\xff", b""], ids=["deep", "list", "no text", "empty"])
def test_a_damaged_key_is_no_key(tmp_path: Path, damage: bytes) -> None:
    place = Unfinished(tmp_path / "out.wav")
    place.begin({"seed": 1})
    place.put("wave-0", torch.ones(2))
    (place.folder / "key.json").write_bytes(damage)
    place.stop()
    again = Unfinished(tmp_path / "out.wav", resume=True)
    again.begin({"seed": 2})
    assert again.get("wave-0") is None


def test_every_output_has_pieces_of_its_own(tmp_path: Path) -> None:
    one, other = (Unfinished(tmp_path / name) for name in ("a.wav", "b.wav"))
    assert one.folder.parent == other.folder.parent == tmp_path and one.folder != other.folder


def test_two_runs_on_one_output_do_not_share_pieces(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    one, two = Unfinished(tmp_path / "out.wav"), Unfinished(tmp_path / "out.wav")
    one.begin({})
    one.put("wave-0", torch.ones(2))
    two.begin({})
    assert two.folder != one.folder and two.get("wave-0") is None and one.get("wave-0") is not None
    with pytest.raises(OutputError, match="another run is at work on it"):
        Unfinished(tmp_path / "out.wav", resume=True).begin({})
    one.discard()
    two.discard()
    assert names(tmp_path) == []


# -- the command line --


def record_of(output: Path) -> dict:
    return json.loads(output.with_name(f"{output.name}.json").read_text())


def interrupt(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model stop after it has finished a piece."""

    def takes(source: Path, seeds: list[int], *, unfinished: dict[int, Unfinished], **_: object) -> Iterator[None]:
        unfinished[seeds[0]].begin({})
        unfinished[seeds[0]].put("wave-0", torch.ones(1))
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(model, "takes", takes)


def test_a_short_film_that_is_stopped_leaves_nothing_a_long_one_says_how_to_go_on(
    fake_model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    interrupt(fake_model, monkeypatch)
    assert run("generate", clip) == 130
    assert names(tmp_path) == ["clip.mp4"] and "--resume" not in capsys.readouterr().err
    monkeypatch.setattr(batch, "WORTH_KEEPING", 0.1)
    assert run("generate", clip) == 130
    hidden, *others = names(tmp_path)
    assert hidden.endswith(".unfinished") and others == ["clip.mp4"]
    assert f"{tmp_path / 'clip_frieren.mp4'}: --resume goes on from what is finished" in capsys.readouterr().err
    monkeypatch.setattr(batch, "WORTH_KEEPING", 60.0)
    assert run("generate", clip, "--resume") == 130  # asked for: it stays, however short the film is
    assert names(tmp_path) == [hidden, "clip.mp4"]


def test_what_is_whole_is_not_made_again(fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clips = [make_video(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert run("generate", clips[0], "--samples", 2) == 0
    calls = [call["seeds"] for call in fake_model.calls]
    assert run("generate", *clips, "--samples", 3, "--resume") == 0
    assert [call["seeds"] for call in fake_model.calls[len(calls) :]] == [[2], [0, 1, 2]]
    assert capsys.readouterr().out.count("is there already") == 2
    count = len(fake_model.calls)
    assert run("generate", clips[0], "--samples", 2, "--loudness", "-30", "--resume") == 0
    fake_model.digest = "other weights"
    assert run("generate", clips[0], "--samples", 2, "--loudness", "-30", "--resume") == 0
    make_video(clips[0], seconds=0.8)
    assert run("generate", clips[0], "--samples", 2, "--loudness", "-30", "--resume") == 0
    assert [call["seeds"] for call in fake_model.calls[count:]] == [[0, 1]] * 3


@pytest.mark.parametrize("left", ["unfinished", "0a1b2c3d.part"])
def test_what_a_run_left_that_was_killed_at_its_very_end_goes(fake_model: FakeModel, tmp_path: Path, left: str) -> None:
    """The output is whole, its pieces or half of them are still there."""
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.wav"
    assert run("generate", clip, "-o", target) == 0
    before = names(tmp_path)
    folder = target.with_name(f"{Unfinished(target).folder.stem}.{left}")
    folder.mkdir()
    (folder / "wave-0.npy").write_bytes(b"")
    assert run("generate", clip, "-o", target, "--resume") == 0
    assert names(tmp_path) == before and len(fake_model.calls) == 1
    folder.mkdir()
    with (folder / "lock").open("wb") as file:
        assert lock(file)  # another run is at work
        assert run("generate", clip, "-o", target, "--resume") == 0
    assert folder.exists() == (left == "unfinished")


def ready() -> None:
    """A job in the background of a shell is born deaf to some signals."""
    for name in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def kill_and_resume(folder: Path, wanted: tuple[str, bytes], sent: int, wait: float) -> bool:
    """Stop a run some time after its first piece, go on, and compare; return whether it was stopped at all."""
    command = [sys.executable, "-m", "frieren", "generate", "clip.mp4", "-o", "out.wav", "--model", "tiny", "--resume"]
    options = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "preexec_fn": ready}
    with subprocess.Popen(command, **options) as process:
        while process.poll() is None and not list(folder.glob(".*.unfinished/*.npy")):
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(sent)
    stopped = process.returncode != 0
    if stopped:
        # As a shell says it: Python takes its handlers away at the very end, and then the system ends the process.
        assert (process.returncode if process.returncode > 0 else 128 - process.returncode) == 128 + sent
        assert not (folder / "out.wav.json").exists() or (folder / "out.wav").exists()
    assert subprocess.run(command, **options).returncode == 0
    assert (record_of(folder / "out.wav")["wave_sha256"], (folder / "out.wav").read_bytes()) == wanted
    assert [name for name in names(folder) if not name.endswith(".part.wav")] == ["clip.mp4", "out.wav", "out.wav.json"]
    for path in folder.glob("out.wav*"):
        path.unlink()
    return stopped


@pytest.fixture
def unbroken(clip: Path, tmp_path: Path) -> tuple[str, bytes]:
    """The hash and the file of a run that nobody stops."""
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    command = [sys.executable, "-m", "frieren", "generate", "clip.mp4", "-o", "out.wav", "--model", "tiny"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    wanted = record_of(tmp_path / "out.wav")["wave_sha256"], (tmp_path / "out.wav").read_bytes()
    for path in tmp_path.glob("out.wav*"):
        path.unlink()
    return wanted


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_killed_goes_on(tmp_path: Path, unbroken: tuple[str, bytes], sent: int) -> None:
    assert os.name == "posix"
    kill_and_resume(tmp_path, unbroken, sent, 0.0)


@pytest.mark.slow
def test_fifty_runs_that_were_killed_go_on(tmp_path: Path, unbroken: tuple[str, bytes]) -> None:
    rng = random.Random(0)
    stopped = [
        kill_and_resume(tmp_path, unbroken, rng.choice([signal.SIGKILL, signal.SIGINT]), rng.uniform(0, 0.4))
        for _ in range(50)
    ]
    assert sum(stopped) > 25
