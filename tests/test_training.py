"""Training: recipes are read strictly, and a run that stops and goes on is the run that never stopped."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch

import frieren
from frieren.training.assembly import pairs_loss
from frieren.training.data import WaveCrops, recordings
from frieren.training.recipe import PARTS, RENAMED, RecipeError, read_recipe
from frieren.training.run import train_all
from frieren.training.tasks.autoencoder import AutoencoderTask, kl_divergence
from frieren.training.tasks.encoder import onset_strength
from frieren.weights import read_model_config

RECIPES = Path(__file__).parents[1] / "recipes"
QUICK = ["shared.clips=4", "shared.valid=2", "shared.griffin_lim_iterations=2"]


def silent(heading):
    return lambda step, steps, losses: None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every part of the tiny recipe, trained for a few steps and watched, and its run folder."""
    out = tmp_path_factory.mktemp("tiny")
    watched = ["board=tensorboard", "preview_every=5"] if find_spec("tensorboard") else []
    return train_all(RECIPES / "tiny", out, [*QUICK, *watched], None, silent), out


def test_a_recipe_folder_becomes_a_model(trained, tmp_path):
    folder, _ = trained
    model = frieren.load(folder)
    assert model.config.name == "tiny" and model.clock.window == 160 and model.vocoder.iterations == 2
    wave = model.vocode(model.decode(model.sample(model.encode(torch.rand(30, 3, 32, 32)), steps=2)))
    assert torch.isfinite(wave).all() and len(wave) == 38 * 512


def test_a_variant_is_guided_as_it_was_trained_or_as_its_recipe_says(trained):
    folder, _ = trained
    sampled = {name: read_model_config(folder.with_name(f"{folder.name}-{name}")) for name in ("reflow", "1step")}
    assert (sampled["reflow"].guidance, sampled["reflow"].guidance_rescale) == (2.0, 0.0)
    assert (sampled["1step"].guidance, sampled["1step"].guidance_rescale) == (3.0, 2.0)


def test_a_run_is_shown_on_the_board(trained):
    """Scores of every part; pictures of the field's stages and the autoencoder, sounds of the vocoder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, out = trained
    kinds = {"autoencoder": "reconstructed", "vocoder": "vocoded"}
    kinds |= dict.fromkeys(("field", "reflow", "distillation"), "generated")
    for part in PARTS.keys() - {"motion", "recordings"}:  # none of a model's parts, and with recipes of their own
        events = EventAccumulator(str(out / part / "board"))
        events.Reload()
        tags = events.Tags()
        assert any(name.startswith("valid/") for name in tags["scalars"]), part
        clips = [f"valid-{index:06d}" for index in range(2)] if part in kinds else []
        shown = sorted(f"{clip}/{what}" for clip in clips for what in ("true", kinds[part]))
        assert sorted(tags["audio" if part == "vocoder" else "images"]) == shown, part
        if part == "field":
            assert [event.step for event in events.Images(shown[0])] == [5, 10, 15, 20]


def test_finished_parts_are_left_alone(trained):
    folder, out = trained
    before = (out / "field" / "model.safetensors").stat().st_mtime_ns
    train_all(RECIPES / "tiny", out, QUICK, None, silent)
    assert (out / "field" / "model.safetensors").stat().st_mtime_ns == before


def test_starting_over_that_is_stopped_goes_on(trained, tmp_path):
    """What --no-resume began is unfinished until it has finished, whatever model was there before."""
    _, done = trained
    shutil.copytree(done / "autoencoder", tmp_path / "autoencoder")
    (tmp_path / "data").symlink_to(done / "data")

    def stop(heading):
        def report(step, steps, losses):
            if "seconds" in losses:
                raise KeyboardInterrupt

        return report

    recipe, changes = RECIPES / "tiny" / "autoencoder.toml", [*QUICK, "optim.steps=10"]
    with pytest.raises(KeyboardInterrupt):
        train_all(recipe, tmp_path, changes, None, stop, resume=False)
    assert not (tmp_path / "autoencoder" / "model.safetensors").exists()
    train_all(recipe, tmp_path, changes, None, silent)
    assert last_losses(tmp_path / "autoencoder")["step"] == 10


@pytest.mark.parametrize("part", ["encoder", "vocoder"])
def test_resuming_repeats_the_run_bit_exactly(trained, tmp_path, part):
    """Stopped after half of the steps (by a report that raises) and resumed: the same losses and parameters.

    The whole run was watched and this one is not, which makes no difference either.
    """
    _, done = trained
    (tmp_path / "data").symlink_to(done / "data")

    def stop(heading):
        def report(step, steps, losses):
            if "seconds" in losses and step == steps // 2:
                raise KeyboardInterrupt

        return report

    recipe, changes = RECIPES / "tiny" / f"{part}.toml", [*QUICK, "save_every=5", "log_every=5"]
    with pytest.raises(KeyboardInterrupt):
        train_all(recipe, tmp_path, changes, None, stop)
    assert not (tmp_path / part / "model.safetensors").exists()
    train_all(recipe, tmp_path, changes, None, silent)
    whole, resumed = (folder / part for folder in (done, tmp_path))
    for key, value in safetensors(whole).items():
        assert torch.equal(value, safetensors(resumed)[key]), key
    assert last_losses(whole) == last_losses(resumed)


def safetensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def last_losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    entry = [line for line in lines if "valid" not in line][-1]
    return {key: value for key, value in entry.items() if key not in ("seconds", "items_per_second")}


def test_unknown_key_names_the_nearest(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "tiny")
    recipe = tmp_path / "tiny" / "field.toml"
    recipe.write_text(recipe.read_text() + "\nlearning_rte = 3\n")
    with pytest.raises(RecipeError, match="learning_rte"):
        read_recipe(recipe)
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        read_recipe(RECIPES / "tiny" / "field.toml", ["optim.stps=3"])
    with pytest.raises(RecipeError, match="optim.steps must be an integer, got 'many'"):
        read_recipe(RECIPES / "tiny" / "field.toml", ["optim.steps=many"])
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "nothing.toml")


def test_changes_reach_the_recipe():
    recipe = read_recipe(RECIPES / "foleyworld" / "field.toml", ["optim.lr=1e-4", "network.depth=2"])
    assert recipe.optim.lr == 1e-4 and recipe.network.depth == 2 and recipe.shared.clock.fps == 25


def test_kl_equals_torch():
    mean, log_variance = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, torch.exp(log_variance / 2)), normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_onset_strength_is_the_rise():
    levels = torch.full((1, 20, 50), -4.0)
    levels[..., 20:] = -2.0
    strength = onset_strength(levels)[0, 0]
    assert strength[20] > 1.5 and strength[:20].max() == 0 and strength[22:].max() == 0


def test_recordings_take_their_split_from_the_manifest(tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.ones(8000), 16_000)
    assert len(recordings(tmp_path, 16_000)) == 2
    (tmp_path / "manifest.csv").write_text("path,split\na.wav,train\nb.wav,test\n")
    assert len(recordings(tmp_path, 16_000)) == 1
    with pytest.raises(frieren.FrierenError, match="valid"):
        recordings(tmp_path, 16_000, "valid")


def test_crops_mix_clips_and_recordings_and_repeat_short_ones(tmp_path):
    folder = datasets.write(tmp_path, [datasets.Item("train", 1.0), datasets.Item("train", 2.0)])
    clips = datasets.open_clips(folder, "train", datasets.CLOCK)
    crops = WaveCrops(clips, [np.full(300, 20000, np.int16)], 1000, "random")
    drawn = crops.draw(6)
    assert drawn.shape == (6, 1000)
    assert [bool((crop == crop[0]).all()) for crop in drawn] == [False, True] * 3, "half of them are recordings"
    assert all(0.25 <= crop[0] / (20000 / 32767) <= 1 for crop in drawn[1::2]), "as loud as it was, or up to 12 dB less"
    for crop in (crops.clip() for _ in range(10)):
        parts = [wave.unfold(0, 1000, 1)[:, :8] for wave in map(clips.wave, range(2))]
        assert sum(bool((part == crop[:8]).all(1).any()) for part in parts) == 1, "a part of one of the clips"


@pytest.mark.parametrize(("level", "loudest"), [("kept", 20000 / 32767), ("peak", 0.95)])
def test_published_crops_have_no_random_gain(tmp_path, level, loudest):
    """As they are (Make-An-Audio 2) or with one peak (BigVGAN), and silent ones are not drawn again."""
    folder = datasets.write(tmp_path, [datasets.Item("train", 1.0)])
    clips = datasets.open_clips(folder, "train", datasets.CLOCK)
    crops = WaveCrops(clips, [np.full(300, 20000, np.int16)], 1000, level)
    for crop in crops.draw(6)[1::2]:
        torch.testing.assert_close(crop, torch.full((1000,), loudest))
    silent = WaveCrops(clips, [np.zeros(300, np.int16)], 1000, level)
    drawn = []
    silent.recording = lambda: drawn.append(0) or torch.zeros(1000)
    assert silent.draw(2)[1].abs().max() == 0 and len(drawn) == 1


def test_recipes_say_what_becomes_of_crops():
    parts = ("autoencoder", "vocoder")
    published, ours = (
        [read_recipe(RECIPES / folder / f"{part}.toml").loss.level for part in parts]
        for folder in ("published", "foleyworld")
    )
    assert published == ["kept", "peak"] and ours == ["random", "random"]


def test_autoencoder_decodes_random_parts_if_the_recipe_says_so():
    task = object.__new__(AutoencoderTask)
    task.recipe = read_recipe(RECIPES / "foleyworld" / "autoencoder.toml")
    parts = [task.cut(64) for _ in range(200)]
    assert all(0 <= start < end <= 64 and end - start >= 16 for start, end in parts)
    assert len(set(parts)) > 100
    task.recipe = read_recipe(RECIPES / "foleyworld" / "autoencoder.toml", ["loss.cut=false"])
    assert task.cut(64) == (0, 64)


@pytest.mark.parametrize(("former", "now"), RENAMED.items())
def test_a_former_key_names_the_new_one(former, now):
    """In the first part of `tiny` that has it."""
    for path in (RECIPES / "tiny" / f"{part}.toml" for part in PARTS):
        recipe = read_recipe(path) if path.exists() else None
        for table in ("optim", "loss", "shared"):
            if recipe and hasattr(getattr(recipe, table), now):
                with pytest.raises(RecipeError, match=f"unknown key '{former}'; it is called '{now}' now"):
                    read_recipe(path, [f"{table}.{former}=1"])
                return
    raise AssertionError(f"no recipe has {now}")


def test_former_values_and_parts_name_the_new_ones(tmp_path):
    with pytest.raises(RecipeError, match="got 'thousandths'; 'thousandths' is called 'discrete' now"):
        read_recipe(RECIPES / "tiny" / "field.toml", ["loss.time=thousandths"])
    (tmp_path / "recipes").mkdir()
    for name in ("model.toml", "ear.toml"):
        (tmp_path / "recipes" / name).touch()
    message = "ear.toml: the part 'ear' is called 'classifier' now; rename"
    for path in (tmp_path / "recipes", tmp_path / "recipes" / "ear.toml"):
        with pytest.raises(RecipeError, match=message):
            train_all(path, tmp_path / "run", [], None, silent)
    (tmp_path / "run" / "ear").mkdir(parents=True)
    with pytest.raises(RecipeError, match="run/ear: the part 'ear' is called 'classifier' now; rename it"):
        train_all(RECIPES / "tiny", tmp_path / "run", [], None, silent)


def test_a_loss_that_an_older_version_wrote_down_is_read(tmp_path):
    loss = {"drop": 0.0, "time": "thousandths", "named": 0.15, "ear": "", "guidance": 2.0, "sampled": 3.0}
    (tmp_path / "recipe.json").write_text(json.dumps({"loss": loss}))
    assert pairs_loss(tmp_path / "recipe.json").sampling == (3.0, 2.0)
