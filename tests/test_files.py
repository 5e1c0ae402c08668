"""Files: whole or not at all, whatever happens meanwhile; hashes; JSON; the cache."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat

import pytest

from frieren.errors import OutputError
from frieren.files import cache_folder, file_hash, files_hash, replacing, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with replacing(target) as part:
        assert part.parent == tmp_path and part.suffix == ".txt"
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_after_any_exception_all_is_as_before(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(type(error)), replacing(target) as part:
        part.write_text("half")
        raise error
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "make room there"),
        (errno.EACCES, "where this user may write"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
    ],
)
def test_a_failure_names_file_reason_and_remedy(tmp_path, number, remedy):
    with pytest.raises(OutputError, match=f"out.txt: cannot be written .*{os.strerror(number)}.*{remedy}"):
        with replacing(tmp_path / "out.txt") as part:
            raise OSError(number, os.strerror(number), str(part))
    assert not os.listdir(tmp_path)


def test_wrong_targets_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(OutputError, match="this is a folder"), replacing(tmp_path):
        pytest.fail("entered")
    with pytest.raises(OutputError, match="the folder .*missing does not exist"):
        write_text(tmp_path / "missing" / "out.txt", "x")


def test_a_name_of_any_length_that_the_disk_takes_can_be_written(tmp_path):
    write_text(tmp_path / ("n" * 251 + ".txt"), "x")
    assert len(os.listdir(tmp_path)) == 1


def test_text_and_json_are_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "Ä\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\x84\n"
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) & 0o444 == 0o444 & ~umask()
    write_json(tmp_path / "a.json", {"b": [1, None], "a": 0.5})
    text = (tmp_path / "a.json").read_text()
    assert (
        json.loads(text) == {"b": [1, None], "a": 0.5}
        and text.endswith("}\n")
        and text.index('"b"') < text.index('"a"')
    )


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert file_hash(tmp_path / "a") == known
    both = {"a": tmp_path / "a", "b": tmp_path / "b"}
    digest = hashlib.sha256(b"a" + bytes.fromhex(known) + b"b" + hashlib.sha256(b"").digest())
    assert files_hash(both) == digest.hexdigest()
    assert len({files_hash(both), files_hash(dict(reversed(both.items()))), files_hash({"c": both["a"]})}) == 3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FRIEREN_CACHE": "/f", "XDG_CACHE_HOME": "/x"}, "/f"),
        ({"FRIEREN_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/frieren"),
        ({"FRIEREN_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/u/.cache/frieren"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(monkeypatch, variables, expected):
    monkeypatch.setattr("pathlib.Path.home", lambda: __import__("pathlib").Path("/home/u"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder().as_posix() == expected
