"""The catalogue: names, devices, and what is published without being fetched."""

from __future__ import annotations

import logging

import pytest
import torch

import frieren
from frieren import catalogue
from frieren.official.releases import RELEASES


def test_all_names_are_listed_with_a_line_each():
    listed = frieren.models()
    assert {"mini", "mini-reflow", "mini-1step", "tiny", *RELEASES} == listed.keys()
    assert all(line and "\n" not in line for line in listed.values())


def test_every_shipped_model_loads_and_says_which_it_is():
    digests = {name: frieren.load(name, device="cpu").digest for name in catalogue.shipped()}
    assert len(set(digests.values())) == len(digests) == 3
    for name in catalogue.shipped():
        assert catalogue.find(name) == catalogue.SHIPPED / name


def test_a_folder_of_that_name_does_not_shadow_a_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "config.json").write_text("{}")
    assert catalogue.find("mini") == catalogue.SHIPPED / "mini"
    assert catalogue.find("./mini").resolve() == tmp_path / "mini"


def test_a_published_model_is_fetched_and_the_user_is_told(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("frieren.official.fetch.fetch", lambda name, say: say(f"downloading {name}") or tmp_path)
    with caplog.at_level(logging.WARNING, logger="frieren"):
        assert catalogue.find("frieren") == tmp_path
    assert caplog.messages == ["downloading frieren"]


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_is_the_best_device_that_is_there(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert catalogue.choose_device("auto") == expected
    assert catalogue.choose_device("cuda:1") == "cuda:1"


def test_one_refinement_may_be_a_word_of_its_own():
    assert frieren.load("tiny", refine="time").field.config.time_steps is None
    with pytest.raises(ValueError, match="unknown refinement 'times'; choose among windows, regulator, time"):
        frieren.load("tiny", refine="times")


def test_what_needs_files_says_that_tiny_has_none():
    with pytest.raises(frieren.WeightsError, match="tiny: random, and in no folder; .* mini"):
        catalogue.find("tiny")
