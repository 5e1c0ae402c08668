"""The tree of errors: all have one root, and say in one line what went wrong."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import frieren
from frieren import errors
from frieren.apps import faults


def test_every_error_of_the_package_can_be_caught_at_once():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 6 and all(issubclass(kind, frieren.FrierenError) for kind in kinds)
    tree = errors.__doc__ or ""
    assert all(kind.__name__ in tree for kind in kinds), "the docstring shows the whole tree"


def test_a_damaged_file_is_named_and_carried_along():
    error = errors.DamagedFileError(Path("a") / "b.pt", "is empty")
    assert str(error) == f"{Path('a') / 'b.pt'}: is empty" and error.path == Path("a") / "b.pt"
    with pytest.raises(frieren.WeightsError):
        raise error


def test_the_reason_is_one_line_without_number_and_path():
    with pytest.raises(OSError) as caught:
        Path("no such folder/file").read_text()
    assert errors.reason(caught.value) == "No such file or directory"
    assert errors.reason(OSError(errno.ENOSPC, "No space left on device", "/x")) == "No space left on device"
    assert errors.reason(ValueError("first\nsecond")) == "first"
    assert errors.reason(KeyError()) == "KeyError"


def test_a_message_does_not_steer_the_terminal(capsys):
    faults.complain(errors.FrierenError("a\x1b[2J\x1b]0;pwn\x07.json: ü, 音"))
    assert capsys.readouterr().err == "frieren: a\\x1b[2J\\x1b]0;pwn\\x07.json: ü, 音\n"
