"""Model folders: what is saved comes back, and whatever is not as it should be is named."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib import import_module
from typing import get_type_hints

import pytest
import torch
from safetensors.torch import load_file, save_file

import frieren
from frieren.catalogue import find, refined
from frieren.files import write_json
from frieren.tiny import tiny_model
from frieren.weights import (
    NETWORKS,
    PARTS,
    WithoutDraws,
    fingerprint,
    load_part,
    read_model_config,
    save_model_config,
    save_part,
)


@pytest.fixture
def folder(tmp_path):
    config, parts = tiny_model()
    save_model_config(tmp_path, config)
    for name, part in parts.items():
        save_part(tmp_path / name, part, part.config)
    return tmp_path


def test_a_saved_model_is_the_model(folder):
    config, parts = tiny_model()
    assert read_model_config(folder) == config
    for name in PARTS:
        loaded = load_part(folder / name)
        assert loaded.config == parts[name].config and not loaded.training
        for key, value in parts[name].state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
    features = torch.randn(40, 16)
    given, again = frieren.load("tiny"), frieren.load(folder)
    latent = given.sample(features)
    assert torch.equal(again.sample(features), latent)
    assert torch.equal(again.vocode(again.decode(latent)), given.vocode(given.decode(latent)))


def test_a_network_without_draws_is_that_with_them() -> None:
    """Nothing but the drawn values is left out: names, shapes, and what is computed rather than drawn."""
    drawn = torch.empty(4)
    with WithoutDraws():
        assert torch.equal(torch.full((2,), 3.0), torch.tensor([3.0, 3.0]))
        for draw in (torch.nn.init.normal_, torch.nn.init.uniform_, torch.Tensor.normal_):
            drawn.fill_(7.0)
            assert draw(drawn) is drawn and drawn.eq(7.0).all()
        torch.nn.init.kaiming_uniform_(drawn.view(2, 2))
        torch.nn.init.xavier_normal_(drawn.view(2, 2))
        assert drawn.eq(7.0).all()
    for part in tiny_model()[1].values():
        with torch.device("meta"), WithoutDraws():
            empty = type(part)(part.config)
        assert [(name, value.shape) for name, value in empty.state_dict().items()] == [
            (name, value.shape) for name, value in part.state_dict().items()
        ]
        unsaved = dict(empty.named_buffers()).keys() - empty.state_dict().keys()
        assert all(torch.equal(empty.get_buffer(name), part.get_buffer(name)) for name in unsaved)


def test_tiny_is_small_and_always_the_same():
    counts = sum(value.numel() for part in tiny_model()[1].values() for value in part.parameters())
    assert 80_000 < counts < 120_000
    before = torch.get_rng_state()
    first, second = (tiny_model()[1]["field"].state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("output.bias"), "1 parameters missing.*output.bias"),
        (lambda state: state.update(extra=torch.zeros(2)), "1 unexpected parameters.*extra"),
        (
            lambda state: state.update({"output.bias": torch.zeros(3)}),
            r"output.bias has shape \(3,\), expected \(20,\)",
        ),
    ],
)
def test_missing_and_unexpected_parameters_and_other_shapes_are_named(folder, damage, message):
    path = folder / "field" / "model.safetensors"
    state = load_file(path)
    damage(state)
    save_file(state, path)
    with pytest.raises(frieren.WeightsError, match=message):
        frieren.load(folder)


def test_broken_and_missing_files_are_named(folder):
    (folder / "field" / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(frieren.WeightsError, match="field.*safetensors"):
        frieren.load(folder)
    (folder / "field" / "model.safetensors").unlink()
    with pytest.raises(frieren.WeightsError, match="field"):
        frieren.load(folder)


def test_unknown_config_keys_and_networks_are_named(folder):
    path = folder / "field" / "config.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"colour": 3}))
    with pytest.raises(frieren.WeightsError, match="colour"):
        frieren.load(folder)
    path.write_text(json.dumps(table | {"network": "os.system"}))
    with pytest.raises(frieren.WeightsError, match="os.system"):
        frieren.load(folder)


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    part = tiny_model()[1]["field"]
    save_part(tmp_path, part, part.config, torch.float16)
    assert load_file(tmp_path / "model.safetensors")["output.weight"].dtype == torch.float16
    loaded = load_part(tmp_path)
    assert loaded.output.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.output.weight, part.output.weight, atol=1e-3, rtol=1e-3)


def test_fingerprint_tells_models_apart(folder):
    before = fingerprint(folder)
    assert before == fingerprint(folder)
    save_model_config(folder, dataclasses.replace(read_model_config(folder), steps=7))
    assert fingerprint(folder) != before


@pytest.mark.parametrize("name", ["nothing", "./a/b", "/etc", "a/b/c"])
def test_no_such_model(name):
    with pytest.raises(frieren.WeightsError, match="known names are"):
        find(name)


def test_hub_offline_is_one_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(frieren.WeightsError, match="Hub"):
        find("nobody/nothing")


def test_keys_of_older_folders_are_known(folder):
    path, config = folder / "config.json", read_model_config(folder)
    table = json.loads(path.read_text())
    del table["guidance_rescale"], table["griffin_lim_iterations"]
    path.write_text(json.dumps(table | {"spread": 2.0, "polish": 8}))
    assert read_model_config(folder) == dataclasses.replace(config, guidance_rescale=2.0, griffin_lim_iterations=8)
    path.write_text(json.dumps(table | {"windows": "round"}))
    with pytest.raises(frieren.WeightsError, match=r"config.json: windows must be one of seamless, published, got 'ro"):
        read_model_config(folder)
    path.write_text(json.dumps(table | {"clock": {"fps": "25"}}))
    with pytest.raises(frieren.WeightsError, match=r"config.json: clock.fps must be a number, got '25'"):
        read_model_config(folder)


def test_a_model_imports_its_own_networks_alone():
    code = (
        "import sys, frieren\nfrieren.load('mini')\n"
        "import json; print(json.dumps(sorted(name for name in sys.modules if name.startswith('frieren.nets.'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    sampled = ("rivals", "rivals.codes", "rivals.diff_foley", "rivals.im2wav")  # sampling has a way for each of them
    own = sorted(("autoencoder", "fast", "field", "vocos", *sampled))
    assert json.loads(loaded) == [f"frieren.nets.{name}" for name in own]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_saved_and_loaded_under_its_name(name, tmp_path):
    """Only the class and its config count here: a fresh network of the published sizes would take gigabytes."""
    network = getattr(import_module(f"frieren.nets.{NETWORKS[name]}"), name)
    config = get_type_hints(network.__init__)["config"]
    write_json(tmp_path / "config.json", {"network": name, **dataclasses.asdict(config())})
    with pytest.raises(frieren.WeightsError, match=r"model.safetensors: cannot be read"):  # after the config was
        load_part(tmp_path)


def test_names_of_older_parameters_are_known(folder):
    path = folder / "autoencoder" / "model.safetensors"
    state, before = load_file(path), load_part(folder / "autoencoder").state_dict()
    older = {key.replace(".skip.", ".past."): value for key, value in state.items()}
    assert older.keys() != state.keys()
    save_file(older, path)
    after = load_part(folder / "autoencoder").state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_refinements_leave_the_model_alone_that_they_start_from():
    config, parts = tiny_model()
    config, before = dataclasses.replace(config, windows="published"), dict(parts)
    changed, others = refined(config, parts, ("windows", "time", "regulator"))
    assert (config.windows, changed.windows) == ("published", "seamless")
    assert parts == before and parts["field"].config.time_steps == 1000
    assert others["field"].config.time_steps is None and others["field"].config.regulator == "time"
    assert others["field"].output.weight is parts["field"].output.weight, "the same parameters"


@pytest.mark.parametrize(
    ("place", "key", "value", "said"),
    [
        ("", "steps", -5, r"steps must lie in 1\.\.10000, got -5"),
        ("", "steps", 10**12, "steps must lie in"),
        ("", "griffin_lim_iterations", 10**12, "griffin_lim_iterations must lie in"),
        ("", "base", "..", "base must be the name of a folder beside"),
        ("", "guidance", float("nan"), "guidance must lie in"),
        ("", "clock", {"sample_rate": 10**12}, "sample_rate must be at most"),
        ("", "clock", {"fps": 10**12}, "fps must be at most"),
        ("", "clock", {"window": 10**12, "overlap": 1}, "window must be at most"),
        ("field", "depth", 10**12, r"depth is 1000000000000, more than \d+"),
        ("field", "width", 10**12, "width is 1000000000000, more than 1000000"),
        ("encoder", "image_size", 10**12, "image_size is"),
        ("vocoder", "kernel", float("inf"), "kernel is inf"),
    ],
)
def test_sizes_that_no_model_has_are_refused_before_it_is_built(folder, place, key, value, said):
    path = folder / place / "config.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {key: value}))
    with pytest.raises(frieren.WeightsError, match=said) as caught:
        load_part(folder / place) if place else read_model_config(folder)
    assert "\n" not in str(caught.value)


def test_parameters_of_another_kind_of_number_are_refused(folder):
    path = folder / "field" / "model.safetensors"
    state = load_file(path)
    key = next(iter(state))
    save_file(state | {key: state[key].to(torch.int32)}, path)
    with pytest.raises(frieren.WeightsError, match=r"holds torch\.int32, expected torch\.float32"):
        load_part(folder / "field")


def test_a_configuration_that_is_a_pipe_or_endless_is_not_read(folder):
    path = folder / "config.json"
    path.write_text(" " * (1 << 21))
    with pytest.raises(frieren.WeightsError, match="expected a JSON object"):
        read_model_config(folder)
    path.write_text("[" * 200_000)
    with pytest.raises(frieren.WeightsError, match="cannot be read as a configuration"):
        read_model_config(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(frieren.WeightsError, match="this is not a file"):
        read_model_config(folder)
