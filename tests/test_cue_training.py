"""Training of models that see cue sheets: from a folder of recordings to three model folders, on tiny parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import run
from test_training import RECIPES, silent

import frieren
from frieren.conditioning import feature_size
from frieren.cues import Cues, SoundCue
from frieren.dataset.prepare import DatasetError, DatasetSpec, prepare
from frieren.dataset.sources import read_source
from frieren.training.recipe import read_recipe
from frieren.training.run import train_all
from frieren.weights import parts_of, save_part

RATE = 16_000
CLOCK = "[clock]\nfps = 31.25\nwindow = 32\noverlap = 8\n"
SMALL = "save_every = 2\n[optim]\nlr = 1e-3\nsteps = 2\nbatch = 2\n[loss]\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an autoencoder and a vocoder, and the authors of what they were trained on."""
    tiny, folder = frieren.load("tiny", device="cpu"), tmp_path_factory.mktemp("base")
    for name, part in (("autoencoder", tiny.parts["autoencoder"]), ("vocoder", tiny.parts["vocoder"])):
        save_part(folder / name, part, part.config)
    (folder / "ATTRIBUTION.md").write_text("Somebody: rain")
    return folder


@pytest.fixture(scope="module")
def data(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mixtures of two recordings, as the recipe of `mini` asks for them."""
    folder, rng = tmp_path_factory.mktemp("mixtures"), np.random.default_rng(0)
    for name in ("hammer", "rain_storm"):
        (folder / "recordings" / name).mkdir(parents=True)
        soundfile.write(folder / "recordings" / name / "one.wav", 0.1 * rng.standard_normal(RATE), RATE)
    clock = read_recipe(recipe(folder / "recipe", base, folder) / "field.toml").shared.clock
    fields = ("features", "mean", "log_variance")
    spec = DatasetSpec(fields, autoencoder=base / "autoencoder", condition="cues", seconds=2.0, clock=clock)
    source = read_source("mixtures:train:4,valid:2", recordings=[folder / "recordings"])
    prepare(source, folder / "data", spec, workers=0)
    return folder / "data"


def recipe(folder: Path, frozen: Path, data: Path) -> Path:
    """A recipe folder like that of `mini`, with a tiny field."""
    tiny = frieren.load("tiny", device="cpu").field.config
    sizes = dataclasses.asdict(dataclasses.replace(tiny, features=feature_size(), positions=33))
    kept = ("latent", "features", "context", "width", "depth", "heads", "positions")
    folder.mkdir(exist_ok=True)
    (folder / "model.toml").write_text(
        f'name = "cued"\ncondition = "cues"\ndata = "{data}"\nfrozen = "{frozen}"\nguidance = 2.0\n{CLOCK}'
    )
    network = "".join(f"{name} = {sizes[name]}\n" for name in kept) + 'regulator = "time"\n'
    (folder / "field.toml").write_text(f"{SMALL}drop = 0.1\n[network]\n{network}")
    for stage in ("reflow", "distillation"):
        (folder / f"{stage}.toml").write_text(f"{SMALL}guidance = 2.0\nsteps = 2\n")
    return folder


def test_three_models_are_assembled_with_the_parts_of_the_one_that_the_recipe_names(
    base: Path, data: Path, tmp_path: Path
) -> None:
    model = train_all(recipe(tmp_path / "recipe", base, data), tmp_path / "run", [], None, silent)
    assert model == tmp_path / "run" / "model"
    assert (model / "ATTRIBUTION.md").read_text() == "Somebody: rain"
    assert not (model / "encoder").exists()
    sheet = Cues((SoundCue("rain_storm"),), seconds=2.0)
    for name, steps in (("model", 25), ("model-reflow", 5), ("model-1step", 1)):
        loaded = frieren.load(tmp_path / "run" / name, device="cpu")
        assert (loaded.config.condition, loaded.config.steps) == ("cues", steps)
        assert loaded.config.parts == parts_of("cues") == ("autoencoder", "field", "vocoder")
        features = frieren.conditioning.cue_features(sheet, 2.0, loaded.clock)
        assert loaded.vocode(loaded.decode(loaded.sample(features, seconds=2.0))).isfinite().all()


def test_a_field_without_the_other_parts_is_no_model(base: Path, data: Path, tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    (lone / "autoencoder").mkdir(parents=True)
    for path in (base / "autoencoder").iterdir():
        (lone / "autoencoder" / path.name).write_bytes(path.read_bytes())
    path = recipe(tmp_path / "recipe", lone, data) / "field.toml"
    assert train_all(path, tmp_path / "run", [], None, silent) is None


def test_features_of_another_kind_and_none_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path / "recipe", base, data) / "field.toml"
    with pytest.raises(DatasetError, match="condition cues, the recipe has frames"):
        train_all(path, tmp_path / "run", ["shared.condition=frames"], None, silent)
    with pytest.raises(DatasetError, match="frieren prepare mixtures"):
        train_all(path, tmp_path / "run", ["shared.data="], None, silent)


def test_the_recipe_of_mini_is_for_cue_sheets() -> None:
    field = read_recipe(RECIPES / "mini" / "field.toml")
    assert field.shared.condition == "cues" and field.network.features == feature_size()
    assert field.shared.clock.fps == field.shared.clock.latent_rate  # a feature for every latent column


@pytest.mark.parametrize("command", [("timing",), ("sweep", "--out", "out"), ("foleyworld", "out")])
def test_models_that_see_cue_sheets_are_not_measured_on_drawings(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("evaluate", *command) == 2
    assert "frieren train foleyworld" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert run("evaluate", *command, "--model", "mini") == 2
    assert "mini: sees cue sheets" in " ".join(capsys.readouterr().err.replace("│", " ").split())
