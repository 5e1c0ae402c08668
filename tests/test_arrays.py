"""Arrays from files: numpy's own come back, everything else is named; nothing is unpickled."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from frieren import ArrayError, arrays
from frieren.arrays import read_array, read_features, read_mel

FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<i4", "|u1"])
def test_npy_of_any_numbers_is_float32(tmp_path, kind):
    np.save(tmp_path / "a.npy", FEATURES.astype(kind))
    read = read_features(tmp_path / "a.npy", 4)
    assert read.dtype == torch.float32 and torch.equal(read, torch.from_numpy(FEATURES))


@pytest.mark.parametrize("names", [{"feat": FEATURES, "other": FEATURES + 1}, {"anything": FEATURES}])
def test_npz_by_its_key_or_its_only_array(tmp_path, names):
    np.savez(tmp_path / "a.npz", **names)
    assert torch.equal(read_array(tmp_path / "a.npz"), torch.from_numpy(FEATURES))


def test_a_mel_has_its_bins_first(tmp_path):
    np.save(tmp_path / "mel.npy", FEATURES)
    assert read_mel(tmp_path / "mel.npy", 3).shape == (3, 4)
    with pytest.raises(ArrayError, match=r"expected a log10 mel spectrogram \[4, T\], got \[3, 4\]"):
        read_mel(tmp_path / "mel.npy", 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (FEATURES.T, r"expected features \[F, 4\], got \[4, 3\]"),
        (FEATURES[None], r"got \[1, 3, 4\]"),
        (FEATURES[:0], r"got \[0, 4\]"),
        (np.full((3, 4), np.nan), "not finite"),
        (np.full((3, 4), 1e39), "not finite"),
        (np.full((3, 4), "x"), "expected numbers"),
        (FEATURES > 3, "expected numbers"),
        (np.array([{"a": 1}], dtype=object), "cannot be read"),
    ],
)
def test_other_arrays_are_named(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ArrayError, match=message) as caught:
        read_features(tmp_path / "a.npy", 4)
    assert str(caught.value).startswith(str(tmp_path / "a.npy")) and "pickle" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY nothing", b"PK\x03\x04 nothing", b"<html>quota</html>"])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ArrayError, match="a.npz: cannot be read as .npy or .npz"):
        read_array(tmp_path / "a.npz")


def test_a_truncated_file_is_named(tmp_path):
    np.save(tmp_path / "a.npy", FEATURES)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(ArrayError, match="cannot be read"):
        read_array(tmp_path / "a.npy")


def test_missing_files_and_names_are_named(tmp_path):
    with pytest.raises(ArrayError, match="No such file"):
        read_array(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=FEATURES, b=FEATURES)
    with pytest.raises(ArrayError, match="no array named 'feat'"):
        read_array(tmp_path / "a.npz")


def zipped(path, *members, flag=0):
    """An .npz of (name, array) pairs; `flag` goes into the headers of the archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in members:
            memory = io.BytesIO()
            np.save(memory, array)
            file.writestr(name, memory.getvalue())
    if flag:
        data = bytearray(path.read_bytes())
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + place] |= flag
        path.write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_named_before_they_are_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    for members, flag, said in [
        ([("feat.npy", FEATURES), ("feat.npy", FEATURES)], 0, "2 arrays"),
        ([("a.npy", FEATURES), ("b.npy", FEATURES)], 0, "has no array named 'feat'"),
        ([("../../feat.npy", FEATURES), ("b.npy", FEATURES)], 0, "2 arrays"),
        ([], 0, "has no array named"),
        ([("feat.npy", FEATURES)], 1, "encrypted"),
    ]:
        with pytest.raises(ArrayError, match=said):
            read_array(zipped(path, *members, flag=flag))
    monkeypatch.setattr(arrays, "LARGEST", 1000)
    with pytest.raises(ArrayError, match="bytes unpacked, more than the 1,000 of any features"):
        read_array(zipped(path, ("feat.npy", np.zeros((100, 100), np.float32))))
    np.save(tmp_path / "a.npy", np.zeros((100, 100), np.float32))
    with pytest.raises(ArrayError, match="40,000 bytes, more than the 1,000"):
        read_array(tmp_path / "a.npy")
    assert torch.equal(
        read_array(zipped(path, ("../x.npy", FEATURES))), torch.from_numpy(FEATURES)
    )  # nothing is written
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.npy", "a.npz"]
