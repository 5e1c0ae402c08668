"""frieren.apps.checks: what is missing is one line, before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from frieren.apps import checks
from frieren.errors import OutputError


def test_an_extra_whose_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "scipy" else object())
    with pytest.raises(checks.MissingExtraError, match=r"this needs scipy: pip install 'frieren\[eval\]'"):
        checks.needs_extra()
    checks.needs_extra("griffin-lim")


def test_the_packages_of_an_extra_are_those_that_it_installs() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for extra, packages in checks.EXTRAS.items():
        installed = {item.split(">")[0].replace("-", "_") for item in project["optional-dependencies"][extra]}
        assert set(packages) <= installed


def test_a_device_that_is_not_there() -> None:
    for name in ("auto", "cpu"):
        checks.check_device(name)
    with pytest.raises(checks.UnavailableError, match="cuda:99: there is no such device here; leave --device out"):
        checks.check_device("cuda:99")


def test_the_number_of_a_gpu_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name in ("cuda", "cuda:0", "cuda:1"):
        checks.check_device(name)
    with pytest.raises(checks.UnavailableError):
        checks.check_device("cuda:2")


def test_a_folder_is_made_and_nothing_stays_in_it(tmp_path: Path) -> None:
    checks.prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "c", Path("no\0name")):
        with pytest.raises(OutputError, match="cannot write in this folder .*; choose another$"):
            checks.prepare_folder(place)
