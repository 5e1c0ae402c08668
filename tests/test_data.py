"""Clips of a data set: FoleyWorld's, and videos of any length; every network learns from both."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from clips import noise, video

from frieren import world
from frieren.clock import Clock
from frieren.dataset.packing import shard_path
from frieren.dataset.prepare import DatasetError, DatasetSpec, prepare, script
from frieren.dataset.shards import Shards
from frieren.dataset.sources import read_source
from frieren.nets.cavp import VideoTower
from frieren.training import machines
from frieren.training.crops import TooShortError
from frieren.training.data import CLIP_FIELDS, Label, TrainingData, dataset, label_of, open_clips
from frieren.training.recipe import read_recipe
from frieren.training.stages import TASKS, make_task
from frieren.weights import save_part

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {"cavp": ["optim.batch=3"], "alignment": ["network.frames=48"], "tagger": ["loss.columns=128"]}
SMALL["classifier"] = SMALL["tagger"]
LEFT_OUT = {  # those of 1.2 and 1.3 s, to learn from and to be judged on
    "cavp": ["1 of 5", "1 of 3"],
    "encoder": ["1 of 5"],
    "autoencoder": [],
    "vocoder": [],
    "alignment": ["1 of 5", "1 of 3"],
    "tagger": ["1 of 5", "1 of 3"],
    "classifier": ["1 of 5", "1 of 3"],
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A data set of labelled videos between 1.2 and 5.8 seconds long, with the rates of the tiny recipe."""
    folder = tmp_path_factory.mktemp("videos")
    rows = ["id,label,split"]
    for number, seconds in enumerate((5.0, 5.8, 1.2, 4.7, 5.3, 5.01, 1.3, 4.9)):
        times = [index / 10 for index in range(math.ceil(seconds * 10))]
        video(folder / f"v{number}.mp4", times, sounds=[(noise(seconds, 16_000, number), 16_000, 0.0)])
        rows.append(f"v{number},{('bell', 'dog')[number % 2]},{'train' if number < 5 else 'test'}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    shared = read_recipe(RECIPES / "tiny" / "encoder.toml").shared
    wanted = DatasetSpec(CLIP_FIELDS, size=shared.image_size, clock=shared.clock, mel=shared.mel)
    source = read_source(str(folder / "table.csv"), videos=folder)
    prepare(source, folder / "data", wanted, workers=0)
    return folder / "data"


def silent(heading):
    return lambda step, steps, losses: None


@pytest.mark.parametrize("part", TASKS)
def test_every_network_learns_from_videos(part, videos, tmp_path):
    """Those that are too short for a crop are left out and counted; nothing is written beside the data set."""
    changes = [f"shared.data={videos}", 'shared.splits=["train", "test"]', *SMALL.get(part, [])]
    recipe = read_recipe(RECIPES / "tiny" / f"{part}.toml", changes)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        task = make_task(recipe, tmp_path, None, silent)
    said = [str(warning.message).partition(": ")[2] for warning in warned]
    counts = [text for text in said if "left out" in text]
    assert [text.partition(" clips")[0] for text in counts] == LEFT_OUT[part]
    assert all(("mel columns" if part in ("tagger", "classifier") else "frames") in text for text in counts)
    for number in range(3):
        torch.manual_seed(number)
        batch = task.batch(number)
        for trainable in task.trainables.values():
            losses = trainable.losses(batch, recipe.optim.steps)
            assert losses is None or torch.isfinite(losses["total"])
    assert all(map(math.isfinite, task.validate(task.network).values()))
    assert not list(tmp_path.iterdir())


def test_a_tagger_of_videos_has_their_labels(videos, tmp_path):
    changes = [f"shared.data={videos}", 'shared.splits=["train", "test"]', *SMALL["tagger"]]
    with pytest.warns(UserWarning, match="left out"):
        task = make_task(read_recipe(RECIPES / "tiny" / "tagger.toml", changes), tmp_path, None, silent)
    assert task.network.config.classes == ("bell", "dog")
    names = [task.data.train.name(index) for index in range(len(task.data.train))]
    expected = [[1.0, 0.0] if int(name[1:]) % 2 == 0 else [0.0, 1.0] for name in names]
    assert task.targets["train"].tolist() == expected


def test_foleyworld_is_prepared_once_and_read_like_any_other(tmp_path, monkeypatch):
    recipe = read_recipe(RECIPES / "tiny" / "encoder.toml", ["shared.clips=2", "shared.valid=1"])
    counts = []
    folder = dataset(recipe, tmp_path, CLIP_FIELDS, lambda *count: counts.append(count[:2]))
    assert counts[-1] == (2, 2)
    clips = open_clips(folder, "train", recipe.shared.clock)
    assert len(clips) == 2 and clips.frames == [200, 200]
    for index in range(2):
        clip = world.clip("train", index, recipe.shared.clock, recipe.shared.image_size)
        assert np.array_equal((clips.picture(index) * 255).round().byte().numpy(), clip.images)
        assert np.abs(clips.wave(index).numpy() - clip.wave).max() < 1e-4
        assert clips.mel(index).shape == (80, 500) and clips.labels()[index].kinds == clip.kinds
    again = dataset(recipe, tmp_path, CLIP_FIELDS, lambda *count: counts.append(count[:2]))
    assert again == folder and counts[-1] == counts[-2] == (2, 2)
    monkeypatch.setattr(machines, "rank", lambda: 1)  # which leaves it to the first one
    other = read_recipe(RECIPES / "tiny" / "encoder.toml", ["shared.clips=3", "shared.valid=1"])
    assert dataset(other, tmp_path, CLIP_FIELDS, silent("")) != folder


def test_a_field_learns_from_fresh_clips(tmp_path):
    encoder = tmp_path / "encoder"
    recipe = read_recipe(RECIPES / "tiny" / "encoder.toml", ["shared.clips=2", "shared.valid=1", "shared.fresh=3"])
    save_part(encoder, VideoTower(recipe.network), recipe.network)

    def ids(fields, changed=recipe):
        folder = dataset(changed, tmp_path, fields, lambda done, total: None)
        return {split: Shards(folder, split).ids for split in ("train", "valid")}

    seen, valid = ["train-000000", "train-000001"], ["valid-000000"]
    assert ids(("images", "mel")) == {"train": seen, "valid": valid}
    assert ids(("features", "mel")) == {"train": [f"train-00000{i}" for i in (2, 3, 4)], "valid": valid}
    same = replace(recipe, shared=replace(recipe.shared, fresh=0))
    assert ids(("features", "mel"), same) == {"train": seen, "valid": valid}


def test_a_data_set_that_does_not_go_with_the_recipe_is_refused(videos, tmp_path):
    for changes, message in (
        (["shared.clock.fps=4.0"], "made with clock.fps 25.0, the recipe has 4.0"),
        (["shared.mel.bins=64"], "made with mel.bins 80, the recipe has 64"),
        (["shared.image_size=64"], "made with image_size 32, the recipe has 64"),
    ):
        recipe = read_recipe(RECIPES / "tiny" / "encoder.toml", [f"shared.data={videos}", *changes])
        with pytest.raises(DatasetError, match=message):
            dataset(recipe, tmp_path, CLIP_FIELDS, silent(""))
    recipe = read_recipe(RECIPES / "tiny" / "encoder.toml", [f"shared.data={tmp_path}"])
    with pytest.raises(DatasetError, match="is not a data set; make one with `frieren prepare`"):
        dataset(recipe, tmp_path, CLIP_FIELDS, silent(""))
    recipe = read_recipe(RECIPES / "tiny" / "field.toml", [f"shared.data={videos}"])
    with pytest.raises(DatasetError, match="field needs features too.*--fields images,mel,wave,features"):
        dataset(recipe, tmp_path, ("features", "mel"), silent(""))


# -- clips --


def test_parts_of_a_clip(tmp_path):
    folder = datasets.write(tmp_path, [datasets.Item("train", 8.0), datasets.Item("train", 3.3)])
    clips = open_clips(folder, "train", datasets.CLOCK)
    assert clips.picture(1).shape == (83, 3, 16, 16) and clips.mel(0).shape == (80, 500)
    assert torch.equal(clips.picture(1, 10, 5), clips.picture(1)[10:15])
    assert torch.equal(clips.mel(1, 10, 5), clips.mel(1)[:, 10:15])
    assert torch.equal(clips.wave(1, 9), clips.wave(1)[9:])
    assert 0 <= clips.picture(1).min() and clips.picture(1).max() == 1 and clips.wave(1).abs().max() <= 1


@pytest.mark.parametrize("fps", [4.0, 25.0, 29.97, 30.0])
def test_every_frame_that_counts_has_its_sound(fps, tmp_path):
    """Whatever the length of a clip, and wherever a crop begins, it is whole, and within an instant of its place."""
    clock = Clock(fps=fps)
    lengths = [1 + 0.137 * number for number in range(8)]
    folder = datasets.write(tmp_path, [datasets.Item("", seconds) for seconds in lengths], clock=clock)
    clips = open_clips(folder, "", clock)
    for index, seconds in enumerate(lengths):
        assert seconds - 2 / fps < clips.frames[index] / fps <= seconds + 1e-6
        for count in range(1, clips.frames[index] + 1):
            last = clips.frames[index] - count
            for field, rate in (("mel", clock.mel_rate / fps), ("wave", clock.sample_rate / fps)):
                for start in (0, last // 3, last):
                    begin, size = clips.under(field, index, start, count)
                    assert 0 <= begin <= clips.lengths[field][index] - size
                    assert abs(size - count * rate) < 0.5001 and abs(begin - start * rate) < 1


def test_clips_that_are_too_short_are_left_out_and_counted(tmp_path):
    seconds = (2.0, 1.0, 3.0, 1.5, 2.5)
    folder = datasets.write(tmp_path, [datasets.Item("train", each) for each in seconds], per_shard=2)
    clips = open_clips(folder, "train", datasets.CLOCK)
    with pytest.warns(UserWarning, match="2 of 5 clips are left out: they have less than 50 frames"):
        longer = clips.at_least("images", 50, "")
    assert [longer.name(index) for index in range(len(longer))] == ["clip0", "clip2", "clip4"]
    assert longer.frames == [50, 74, 62] and torch.equal(longer.wave(1), clips.wave(2))
    with pytest.warns(UserWarning, match="1 of 3"):
        assert len(longer.at_least("wave", 36_000, "")) == 2
    with pytest.raises(TooShortError, match="no clip has 500 mel columns, the longest has 187; lower loss.columns"):
        TrainingData(clips, clips, []).at_least("mel", 500, "lower loss.columns")


def test_clips_of_a_broken_shard_are_left_out_with_its_name(tmp_path):
    items = [datasets.Item("train", 1.0)] * 4 + [datasets.Item("valid", 1.0)] * 2
    folder = datasets.write(tmp_path, items, per_shard=2)
    with shard_path(folder, 1).open("r+b") as file:
        file.truncate(5000)
    with pytest.warns(UserWarning, match="00001.safetensors: 5000 bytes long"):
        clips = open_clips(folder, "train", datasets.CLOCK)
    assert [clips.name(index) for index in range(len(clips))] == ["clip0", "clip1"]
    assert len(open_clips(folder, "valid", datasets.CLOCK)) == 2
    assert len(open_clips(folder, "valid", datasets.CLOCK, 1)) == 1


# -- labels --


def test_labels_come_from_the_script():
    for index in range(0, 200, 7):
        clip = world.clip("valid", index, datasets.CLOCK, picture=False, sound=False)
        label = label_of("whatever", json.loads(json.dumps(script(clip))))
        assert label.kinds == clip.kinds
        if not clip.activities:
            assert label.timed == (sum(event.visible for event in clip.events) >= 2)
        assert label.timed == clip.timed
    changing = (world.clip("valid", index, datasets.CLOCK, picture=False, sound=False) for index in (28, 32, 36))
    assert any(label_of("", script(clip)).timed for clip in changing)


def test_a_video_is_what_its_label_says():
    assert label_of("dog barking", {"seconds": 9.9}) == Label(("dog barking",), True)
    assert label_of("", {}) == Label(("",), True)


def test_a_shard_of_pictures_is_no_larger_than_others():
    """64 pixels, 25 frames per second, 8 s: 2.46 MB a clip."""
    small = DatasetSpec(("images", "mel"), size=64, seconds=8.0, clock=datasets.CLOCK)
    assert small.per_shard == 200_000_000 // (3 * 64 * 64 * 200) == 81
    assert DatasetSpec(("images",), size=32, seconds=8.0, clock=Clock()).per_shard == 256
    assert DatasetSpec(("images",), size=224, seconds=10.0, clock=datasets.CLOCK).per_shard == 5
    assert DatasetSpec(("wave", "mel")).per_shard == 256
