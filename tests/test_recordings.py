"""Recordings of a folder: by manifest or by folders, with categories, splits and onsets; and named behind a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import frieren
from frieren.categories import categories
from frieren.dataset.recordings import Recording, RecordingsError, read_recordings
from frieren.evaluation import recordings
from frieren.evaluation.recordings import (
    AUTOENCODER,
    AUTOENCODER_GRIFFIN_LIM,
    GRIFFIN_LIM,
    RECORDED,
    SOUNDS,
    VOCODER,
    RecordingsReport,
    choose,
    measure,
    resynthesise,
)
from frieren.spectrogram import log_mel, spectral_distance
from frieren.wave import GriffinLim


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def manifest(folder: Path, *lines: str) -> Path:
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.flac", "two.wav", "three.wav", "not_named.wav")
    manifest(
        tmp_path,
        "path,licence,category,split,onsets_s",
        "two.wav,CC0-1.0,animals/hen,test,1.250 0.500",
        "a/one.flac,CC0-1.0,dog,train,",
        '"three.wav","by, someone",human/burp,valid,0',
    )
    assert read_recordings(tmp_path) == [
        Recording(tmp_path / "two.wav", "chicken", "test", (0.5, 1.25)),
        Recording(tmp_path / "a/one.flac", "dog", "train"),
        Recording(tmp_path / "three.wav", "", "valid", (0.0,)),
    ]


def test_a_manifest_of_two_columns_and_of_files_elsewhere(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path, "elsewhere/one.wav") / "elsewhere/one.wav"
    folder = tmp_path / "lists"
    folder.mkdir()
    manifest(folder, "path,category", f"{elsewhere},dog")
    assert read_recordings(folder) == [Recording(elsewhere, "dog")]


def test_a_folder_for_each_category(tmp_path: Path) -> None:
    touch(tmp_path, "dog/b.WAV", "dog/deep/a.ogg", "dog/notes.txt", "dog/._b.wav", "thing/c.mp3", "loose.wav")
    assert read_recordings(tmp_path) == [
        Recording(tmp_path / "dog/b.WAV", "dog"),
        Recording(tmp_path / "dog/deep/a.ogg", "dog"),
        Recording(tmp_path / "thing/c.mp3", ""),
    ]


def test_several_folders_in_their_order(tmp_path: Path) -> None:
    second, first = touch(tmp_path / "b", "cat/one.wav"), touch(tmp_path / "a", "dog/one.wav")
    assert [one.category for one in read_recordings(second, first)] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("path,category", "one.wav,dog", "none.wav,dog"), "none.wav: named by manifest.csv, but no such file"),
        (("path,category", ",dog"), "named by manifest.csv, but no such file"),
        (("path,split", "one.wav,train"), "no column 'category'"),
        (("path,category,onsets_s", "one.wav,dog,soon"), "one.wav: onsets_s is 'soon'; expected seconds"),
        (("path,category,onsets_s", "one.wav,dog,nan"), "expected times of 0 or later"),
        (("path,category,onsets_s", "one.wav,dog,-1"), "expected times of 0 or later"),
        (("path,category",), "no recordings; give folders"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    manifest(touch(tmp_path, "one.wav"), *lines)
    with pytest.raises(RecordingsError, match=message):
        read_recordings(tmp_path)


def test_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingsError, match="cannot be read as a table"):
        read_recordings(tmp_path)
    with pytest.raises(RecordingsError, match="nowhere: no recordings"):
        read_recordings(tmp_path / "nowhere")


# --- named again behind a model


def test_a_choice_is_even_over_categories(tmp_path: Path) -> None:
    counts = {"dog": 4, "cat": 2, "bell": 1}
    names = [f"{category}{index}.wav" for category, count in counts.items() for index in range(count)]
    touch(tmp_path, *names, "x.wav", "y.wav")
    rows = [f"{name},{name[:-5]},test" for name in names]
    manifest(tmp_path, "path,category,split", "x.wav,human/burp,test", "y.wav,dog,train", *rows)
    chosen = [one.path.name for one in choose([tmp_path], "test", 5)]
    assert chosen == ["dog0.wav", "cat0.wav", "bell0.wav", "dog1.wav", "cat1.wav"]
    assert len(choose([tmp_path], "test", 99)) == 7
    with pytest.raises(RecordingsError, match="no recording of split 'valid'"):
        choose([tmp_path], "valid", 5)


def test_groups_and_shares() -> None:
    named = ["dog"] * 5 + ["hammer"] * 2 + ["bell"]
    right = {sound: np.array([1, 1, 0, 0, 0, 1, 1, first]) for first, sound in enumerate(SOUNDS[:2])}
    right |= {sound: np.zeros(8) for sound in SOUNDS[2:]}
    report = RecordingsReport(named, right, {sound: np.arange(8.0) for sound in SOUNDS})
    rows = {row["group"]: row for row in report.rows()}
    assert list(rows) == ["all", "(impact)", "(tonal)", "(vocal)", "dog"]
    assert rows["all"]["recordings"] == 8 and rows["all"]["right"] == {
        RECORDED: 0.5, VOCODER: 0.625, **dict.fromkeys(SOUNDS[2:], 0)
    }  # fmt: skip
    assert rows["dog"]["right"][RECORDED] == 0.4 and rows["(impact)"]["stft"][VOCODER] == 5.5
    assert rows["all"]["interval"][0] < 0.5 < rows["all"]["interval"][1]
    assert json.loads(report.to_json())["rows"][0] == rows["all"]
    assert "| (tonal)" in report.markdown()


def test_recordings_are_named_as_they_are_and_made_again(tmp_path: Path, monkeypatch) -> None:
    """By a classifier that calls silence a cat, and all else a dog."""
    model = frieren.load("tiny")
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "one.wav", 0.3 * rng.standard_normal(4_000), 16_000)
    soundfile.write(tmp_path / "two.wav", np.zeros(4_000), 16_000)
    chosen = [Recording(tmp_path / "one.wav", "dog"), Recording(tmp_path / "two.wav", "dog")]
    names = [category.name for category in categories()]

    def name_sound(wave, classifier):
        return torch.eye(len(names))[names.index("dog" if wave.abs().max() > 0 else "cat")]

    done: list[int] = []
    monkeypatch.setattr(recordings, "name_sound", name_sound)
    report = measure(model, chosen, on_sound=done.append)
    assert report.right[RECORDED].tolist() == [1, 0] and done == [1, 2]
    assert report.distances[RECORDED].tolist() == [0, 0] and (report.distances[VOCODER] > 0).all()
    wave = torch.from_numpy(soundfile.read(tmp_path / "one.wav", dtype="float32")[0])
    made = resynthesise(model, wave)
    assert len(made[RECORDED]) == 4_000 // model.clock.samples_per_latent * model.clock.samples_per_latent
    mel = log_mel(made[RECORDED], model.config.mel)
    torch.testing.assert_close(made[VOCODER], model.vocode(mel))
    decoded, griffin_lim = model.decode(model.encode_mel(mel)[0]), GriffinLim(model.config.mel)
    torch.testing.assert_close(made[AUTOENCODER], model.vocode(decoded))
    torch.testing.assert_close(made[GRIFFIN_LIM], griffin_lim(mel[None])[0])
    torch.testing.assert_close(made[AUTOENCODER_GRIFFIN_LIM], griffin_lim(decoded[None])[0])
    distance = spectral_distance(made[VOCODER][None], made[RECORDED][None]).item()
    assert report.distances[VOCODER][0] == pytest.approx(distance)
