"""Recordings of a folder: by manifest or by folders, with categories, splits and onsets."""

from __future__ import annotations

from pathlib import Path

import pytest

from frieren.dataset.recordings import Recording, RecordingsError, read_recordings


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
