"""The tool that plants faults: one that is noticed, one that is not, one that no longer fits."""

from __future__ import annotations

from pathlib import Path

import mutate
import pytest

LIST = """
[[files]]
file = "halves.py"
tests = ["test_halves.py"]
changes = [
    ["number / 2", "number / 3"],
    ["number < 0", "number <= 0"],
    ["number * 2", "number * 3"],
    ["def half", "def halves"],
]
"""


def test_faults_are_planted_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(mutate, "SHARED", ["pytest"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "halves.py").write_text("def half(number):\n    return 0 if number < 0 else number / 2\n")
    (root / "test_halves.py").write_text("from halves import half\n\n\ndef test_half():\n    assert half(4) == 2\n")
    (tmp_path / "list.toml").write_text(LIST)
    assert mutate.main([], root, tmp_path / "list.toml") == 2
    lines = [line.split(": halves.py")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == ["1/4 noticed", "2/4 SURVIVED", "3/4 does not fit the code", "4/4 noticed"]
    assert lines[4].startswith("2 of 4 noticed, 1 SURVIVED, 1 does not fit the code")
    assert mutate.main(["elsewhere"], root, tmp_path / "list.toml") == 0


def test_tests_that_fail_without_a_fault_say_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(mutate, "SHARED", ["pytest"])
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "test_halves.py").write_text("def test_half():\n    assert False\n")
    (tmp_path / "list.toml").write_text(LIST)
    assert mutate.main([], tmp_path / "root", tmp_path / "list.toml") == 1
    assert "noticed without any fault: test_halves.py" in capsys.readouterr().out


def test_every_fault_of_the_list_has_its_tests() -> None:
    faults = list(mutate.read_list(mutate.LIST))
    assert len(faults) >= 150 and len({(one.file, one.old, one.new) for one in faults}) == len(faults)
    for one in faults:
        assert (mutate.ROOT / one.file).exists() and one.old != one.new
        assert all((mutate.ROOT / test.partition("::")[0]).exists() for test in one.tests if test.startswith("tests/"))
