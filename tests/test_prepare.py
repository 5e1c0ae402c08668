"""Data sets from videos, tables and FoleyWorld: the same however they were made; what cannot be used is named."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import noise, video

import frieren
from frieren import sounds, world
from frieren.clock import Clock
from frieren.dataset.prepare import FIELDS, DatasetError, DatasetSpec, PreparedSummary, prepare
from frieren.dataset.shards import Shards
from frieren.dataset.sources import ClipSource, SourceError, read_source
from frieren.spectrogram import MelConfig, log_mel
from frieren.weights import save_part

CLOCK = Clock(fps=25.0, window=160, overlap=48)
RATE = 16_000


def source(name: object, **options: object) -> ClipSource:
    return read_source(str(name), **options)


def write_clip(path: Path, seconds: float = 1.4, seed: int = 0, **options: object) -> Path:
    times = [index / 10 for index in range(round(seconds * 10))]
    return video(path, times, sounds=[(noise(seconds, RATE, seed), RATE, 0.0)], **options)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 1.2 to 1.7 seconds, named as those of VGGSound."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        write_clip(folder / f"clip-_{number}_00{number:04d}.mp4", 1.2 + number / 10, number)
    return folder


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> DatasetSpec:
    """Every field, with the encoder of the model of random parameters."""
    folder = tmp_path_factory.mktemp("tiny")
    encoder = frieren.load("tiny").parts["encoder"]
    save_part(folder / "encoder", encoder, encoder.config)
    return DatasetSpec(FIELDS, folder / "encoder", size=24, clock=CLOCK)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones as well."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_fields_are_what_the_stages_give(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    summary = prepare(source(clips), tmp_path / "data", wanted, workers=0)
    assert summary == PreparedSummary(6, 1, (), {})
    data, model = Shards(tmp_path / "data"), frieren.load("tiny")
    assert sorted(data.ids) == [path.stem for path in sorted(clips.iterdir())]
    for item, id in enumerate(data.ids):
        path = clips / f"{id}.mp4"
        seconds = data.meta(item)["seconds"]
        frames = frieren.read_frames(path, CLOCK, 32)
        count, samples = CLOCK.frames(seconds), CLOCK.samples(seconds)
        assert 0 <= len(frames) - count <= 1, "the sound may end a little before the picture"
        features = model.encode(frames.images[:count])
        torch.testing.assert_close(data.read(item, "features"), features, rtol=1e-5, atol=1e-6)
        wave = sounds.read(path, RATE)[:samples]
        assert len(wave) == samples
        torch.testing.assert_close(data.read(item, "mel"), log_mel(torch.from_numpy(wave), MelConfig()).T.half())
        assert np.abs(data.read(item, "wave").numpy() / 32767 - wave).max() < 1e-4
        images = frieren.read_frames(path, CLOCK, 24).images[:count]
        assert torch.equal(data.read(item, "images"), (images * 255).round().byte())


def test_a_clip_is_cut_to_the_seconds_that_are_wanted(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    short = replace(wanted, fields=("images", "wave", "mel"), seconds=1.1)
    prepare(source(clips), tmp_path, short, workers=0)
    data = Shards(tmp_path)
    lengths = {name: set(data.lengths(name).tolist()) for name in data.fields}
    assert lengths == {"images": {CLOCK.frames(1.1)}, "wave": {17_600}, "mel": {17_600 // 256}}


def test_sound_and_picture_begin_together(tmp_path: Path, wanted: DatasetSpec) -> None:
    """A sound that begins before the picture is cut, one that begins a little after it is preceded by silence."""
    wave, times = noise(2.0, RATE), [index / 10 for index in range(20)]
    video(tmp_path / "early.mkv", [time + 0.5 for time in times], sounds=[(wave, RATE, 0.0)])
    video(tmp_path / "late.mkv", times, sounds=[(wave, RATE, 0.2)])
    video(tmp_path / "later.mkv", times, sounds=[(wave, RATE, 0.6)])
    summary = prepare(source(tmp_path), tmp_path / "data", replace(wanted, fields=("wave",)), workers=0)
    ((id, reason),) = summary.rejected
    assert id == "later" and "its sound begins 0.60 s after the video" in reason
    data = Shards(tmp_path / "data")
    early, late = (data.read(data.ids.index(name), "wave").numpy() / 32767 for name in ("early", "late"))
    assert np.abs(early - wave[8000 : 8000 + len(early)]).max() < 1e-3 and len(early) == 24_000
    assert np.abs(late[3200:] - wave[: len(late) - 3200]).max() < 1e-3 and not late[:3200].any()


def test_what_cannot_be_used_is_named_and_counted(tmp_path: Path, wanted: DatasetSpec) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    good = write_clip(folder / "good.mp4")
    video(folder / "mute.mp4", [index / 10 for index in range(14)])
    write_clip(folder / "short.mp4", 0.6)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 99)
    (folder / "broken.mp4").write_bytes(good.read_bytes()[:2000])
    (folder / "notes.txt").write_text("not a video, and not meant to be one")
    wanted = replace(wanted, fields=("mel",))
    summary = prepare(source(folder), tmp_path / "data", wanted, workers=0, per_shard=4)
    assert (summary.items, summary.shards) == (1, 2) and Shards(tmp_path / "data").ids == ["good"]
    with (tmp_path / "data" / "rejected.csv").open(newline="") as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons == dict(summary.rejected)
    expected = {"mute": "no sound", "short": "0.6", "empty": "0 bytes", "text": "not a video", "broken": "truncated"}
    assert reasons.keys() == expected.keys()
    assert all(word in reasons[id] and f"{id}.mp4" in reasons[id] for id, word in expected.items())
    good.unlink()
    with pytest.raises(DatasetError, match="none of 5 clips can be used"):
        prepare(source(folder), tmp_path / "none", wanted, workers=0)


def test_a_run_killed_half_way_goes_on_and_workers_make_the_same_bytes(wanted: DatasetSpec, tmp_path: Path) -> None:
    """Two workers, killed together with their parent; the rest in this process; against all in this process."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(source("foleyworld:test:8"), whole, wanted, per_shard=1, workers=0)
    (tmp_path / "run.py").write_text(
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_prepare import CLOCK, FIELDS, Path, DatasetSpec, prepare, source\n"
        "if __name__ == '__main__':\n"
        f"    wanted = DatasetSpec(FIELDS, Path({str(wanted.encoder)!r}), size=24, clock=CLOCK)\n"
        f"    prepare(source('foleyworld:test:8'), Path({str(killed)!r}), wanted, per_shard=1, workers=2)\n"
    )
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 120
    while len(list(killed.glob("[0-9]*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(0.5)  # the workers see that their parent is gone
    there = {path.name: path.stat().st_mtime_ns for path in killed.glob("[0-9]*.safetensors")}
    assert 2 <= len(there) < 8 and not (killed / "index.safetensors").exists()
    (killed / ".0123456789abcdef.part.safetensors").write_bytes(b"what was being written")
    prepare(source("foleyworld:test:8"), killed, wanted, per_shard=1, workers=0)
    assert content(killed) == content(whole)
    assert {name: (killed / name).stat().st_mtime_ns for name in there} == there, "what was done is not done again"


def test_a_shard_that_was_lost_is_made_again(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    wanted = replace(wanted, fields=("mel",))
    prepare(source(clips), tmp_path, wanted, per_shard=2, workers=0)
    before = content(tmp_path)
    (tmp_path / "00001.safetensors").unlink()
    counts = []
    prepare(source(clips), tmp_path, wanted, per_shard=2, workers=0, on_done=lambda *count: counts.append(count))
    assert counts == [(2, 3), (3, 3)] and content(tmp_path) == before


def test_other_settings_in_the_same_folder_are_refused(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    wanted = replace(wanted, fields=("mel",))
    prepare(source(clips), tmp_path, wanted, workers=0)
    said = json.loads((tmp_path / "dataset.json").read_text())
    assert said["source"] == str(clips) and said["items"] == 6 and said["clock"]["fps"] == 25.0
    for other, message in (
        (replace(wanted, fields=("mel", "wave")), r"fields was \['mel'\] and is now \['mel', 'wave'\]"),
        (replace(wanted, seconds=5.0), "seconds was 10.0 and is now 5.0"),
        (replace(wanted, mel=MelConfig(bins=64)), "mel was"),
    ):
        with pytest.raises(DatasetError, match=message):
            prepare(source(clips), tmp_path, other, workers=0)
    with pytest.raises(DatasetError, match="source was"):
        prepare(source("foleyworld:train:4"), tmp_path, wanted, workers=0)


def test_an_encoder_of_other_weights_is_refused(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    wanted = replace(wanted, fields=("features",))
    prepare(source(clips), tmp_path / "data", wanted, workers=0)
    encoder = frieren.load("tiny").parts["encoder"]
    next(encoder.parameters()).mul_(2)
    save_part(tmp_path / "encoder", encoder, encoder.config)
    with pytest.raises(DatasetError, match="encoder was"):
        prepare(source(clips), tmp_path / "data", replace(wanted, encoder=tmp_path / "encoder"), workers=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ("mels",)}, "fields must be some of features, mel, wave, images, mean, log_variance, got mels"),
        ({"fields": ()}, "got none"),
        ({"fields": ("features",)}, "features need an encoder"),
        ({"fields": ("mel",), "mel": MelConfig(sample_rate=22_050)}, "clock at 16000 Hz, mel at 22050 Hz"),
    ],
)
def test_what_cannot_be_wanted_is_an_error(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetSpec(**options)


def test_foleyworld_comes_by_the_same_door(wanted: DatasetSpec, tmp_path: Path) -> None:
    prepare(source("foleyworld:valid:3"), tmp_path, wanted, per_shard=2, workers=0)
    data = Shards(tmp_path, "valid")
    assert data.ids == [f"valid-{index:06d}" for index in range(3)]
    assert json.loads((tmp_path / "dataset.json").read_text())["world"] == world.WORLD_VERSION
    for item in (0, 2):
        clip = world.clip("valid", item, CLOCK, 24)
        assert np.array_equal(data.read(item, "images").numpy(), clip.images)
        assert np.abs(data.read(item, "wave").numpy() / 32767 - clip.wave).max() < 1e-4
        torch.testing.assert_close(data.read(item, "mel"), log_mel(torch.from_numpy(clip.wave), MelConfig()).T.half())
        assert data.labels[item] == clip.kinds[0] and data.meta(item)["kinds"] == list(clip.kinds)
        assert [event["time"] for event in data.meta(item)["events"]] == [event.time for event in clip.events]
    seen = torch.from_numpy(world.clip("valid", 2, CLOCK, 32).images) / 255
    torch.testing.assert_close(data.read(2, "features"), frieren.load("tiny").encode(seen), rtol=1e-5, atol=1e-6)


def test_vggsound_and_its_lists(clips: Path, wanted: DatasetSpec, tmp_path: Path) -> None:
    """The table without a header, and lists with and without suffixes; what is missing is named."""
    rows = [
        f'clip-_{n},{n},"people, {"marching" if n % 2 else "sitting"}",{"test" if n > 3 else "train"}\n'
        for n in range(8)
    ]
    (tmp_path / "vggsound.csv").write_text("".join(rows))
    table = source(tmp_path / "vggsound.csv", videos=clips)
    assert [(c.split, c.listed, c.found, c.missing) for c in table.coverage] == [
        ("train", 4, 4, ()),
        ("test", 4, 2, ("clip-_6_000006", "clip-_7_000007")),
    ]
    assert {item.id: (item.label, item.split) for item in table.items}["clip-_5_000005"] == ("people, marching", "test")

    (tmp_path / "Train.txt").write_text("clip-_0_000000.mp4\nclip-_5_000005.mp4\ngone_000030.mp4\n")
    (tmp_path / "Test.txt").write_text("clip-_2_000002\n\nclip-_7_000007\n")
    lists = [tmp_path / "Train.txt", tmp_path / "Test.txt"]
    listed = source(tmp_path / "vggsound.csv", videos=clips, lists=lists)
    assert [(c.split, c.listed, c.missing) for c in listed.coverage] == [
        ("train", 3, ("gone_000030",)),
        ("test", 2, ("clip-_7_000007",)),
    ]
    assert listed.unlisted == 4
    prepare(listed, tmp_path / "data", replace(wanted, fields=("mel",)), workers=0)
    assert set(Shards(tmp_path / "data", "train").ids) == {"clip-_0_000000", "clip-_5_000005"}
    test = Shards(tmp_path / "data", "test")
    assert (test.ids, test.labels) == (["clip-_2_000002"], ["people, sitting"])
    missing = (tmp_path / "data" / "missing.csv").read_text()
    assert missing == "id,split\ngone_000030,train\nclip-_7_000007,test\n"


def test_a_table_with_a_header_and_bare_file_names(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("one.mp4", "deep/two.mkv"):
        (tmp_path / name).touch()
    (tmp_path / "table.csv").write_text("\ufeffLabel,ID,start\nbell,one,7\ndog,two,\n")
    table = source(tmp_path / "table.csv", videos=tmp_path)
    found = {item.id: (item.label, item.video.name) for item in table.items}
    assert found == {"one_000007": ("bell", "one.mp4"), "two": ("dog", "two.mkv")}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,lable\none,bell\n", "unknown column 'lable'"),
        ("id,label\none,bell,train\n", "line 2: 3 cells, expected 2"),
        ("id,start\none,soon\n", "line 2: start is 'soon'"),
        ("id\none\none\n", "line 3: one stands in line 2 already"),
        ("id,start\none,1\none,9\n", "mean the same file"),
        ("id\nnobody\n", "none of 1 clips has a video file"),
    ],
)
def test_a_table_that_cannot_be_understood_is_an_error(table: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "one.mp4").touch()
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(SourceError, match=message):
        source(tmp_path / "table.csv", videos=tmp_path)


def test_clips_of_foleyworld_are_counted_from_the_first_or_from_another_one() -> None:
    assert [item.index for item in source("foleyworld:train:3").items] == [0, 1, 2]
    both = source("foleyworld:train:1+2,test:1").items
    assert [(item.split, item.index) for item in both] == [("train", 1), ("train", 2), ("test", 0)]
    assert [(item.id, item.split, item.index) for item in source("foleyworld:valid:7+2").items] == [
        ("valid-000007", "valid", 7),
        ("valid-000008", "valid", 8),
    ]


def test_a_source_that_is_none_is_an_error(clips: Path, tmp_path: Path) -> None:
    for name in (
        "foleyworld:training:5",
        "foleyworld:train",
        "foleyworld:train:0",
        "foleyworld:train:5:6",
        "foleyworld:train:5+",
        "foleyworld:train:5+0",
    ):
        with pytest.raises(SourceError, match="expected foleyworld:SPLIT:COUNT"):
            source(name)
    with pytest.raises(SourceError, match="no such folder or table"):
        source(tmp_path / "nowhere")
    for name in ("Train.txt", "Test.txt"):
        (tmp_path / name).write_text("clip-_0_000000\n")
    with pytest.raises(SourceError, match="give --videos"):
        source(tmp_path / "Train.txt")
    with pytest.raises(SourceError, match="in the list 'train' already"):
        source(clips, lists=[tmp_path / "Train.txt", tmp_path / "Test.txt"])
    for name in ("same.mp4", "same.mkv"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match="rename one of them"):
        source(tmp_path)


def test_the_command_line_says_what_has_become_of_the_clips(
    clips: Path, wanted: DatasetSpec, tmp_path: Path, capsys
) -> None:
    """By the command line and by the function: the same bytes."""
    from frieren.apps.cli import main
    from frieren.weights import ModelConfig, save_model_config

    save_model_config(wanted.encoder.parent, ModelConfig("tiny", clock=CLOCK))
    (tmp_path / "Train.txt").write_text("clip-_0_000000\nclip-_1_000001\ngone_000030\n")
    options = ["--model", str(wanted.encoder.parent), "--fields", ",".join(FIELDS), "--size", "24", "--workers", "0"]
    lists = ["--split-list", str(tmp_path / "Train.txt")]
    with pytest.raises(SystemExit) as end:
        main(["prepare", str(clips), str(tmp_path / "a"), *options, *lists])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "train: 2 of 3 clips found (66.7 %), 1 missing" in said and "4 clips are in no list" in said
    assert "2 clips in 1 shard\n" in said
    prepare(source(clips, lists=[tmp_path / "Train.txt"]), tmp_path / "b", wanted, workers=0)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    with pytest.raises(SystemExit) as end:
        main(["prepare", str(clips), str(tmp_path / "a"), *options, *lists, "--seconds", "5"])
    assert end.value.code == 1 and "seconds was 10.0 and is now 5.0" in capsys.readouterr().err
