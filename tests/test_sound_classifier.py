"""Classifiers of recordings: the network, random changes of mels, the task, and names of sounds."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import soundfile
import torch
import torch.nn.functional as F

from frieren import sound_recognition as scorer
from frieren.categories import categories
from frieren.errors import WeightsError
from frieren.longwave import LongWave
from frieren.nets.efficientnet import EfficientNet, EfficientNetConfig, SameConv
from frieren.nets.scorers.sound_classifier import SoundClassifier, SoundClassifierConfig
from frieren.recognition import CLASSIFIER
from frieren.spectrogram import MelConfig, log_mel
from frieren.training.loss_settings import RecordingsLoss
from frieren.training.recipe import RecipeError, read_recipe
from frieren.training.tasks import augmentation
from frieren.training.tasks.recordings import RecordingsTask, draw_weights, start
from frieren.weights import load_part, save_part

RECIPES = Path(__file__).parents[1] / "recipes" / "recordings"
NAMES = tuple(category.name for category in categories())
PICTURE = EfficientNetConfig(stem=8, stages=((3, 1, 1, 8, 1),), head=16)
SMALL = SoundClassifierConfig(("dog", "bell"), bins=64, hop=256, columns=48, picture=PICTURE)
PLAIN = RecordingsLoss(columns=48, warped=0, colour=0, noisy=0, masks=0, mixed=0, smoothing=0)


def tone(hertz: float, seconds: float = 1.0, level: float = 0.5) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * hertz * torch.arange(round(16_000 * seconds)) / 16_000)


# --- the network


def test_it_sees_the_mel_as_a_grey_picture():
    network = SoundClassifier(SMALL).eval()
    network.norm.running_mean.fill_(0.3)
    network.norm.running_var.fill_(0.49)
    mel = torch.linspace(-8, 1, 64 * 48).view(1, 64, 48)
    grey = ((mel - 1 + 4.5) / 4.5).clamp(min=0)
    embedding = network.picture.embed(grey.view(1, 1, 64, 48).repeat(1, 3, 1, 1))
    wanted = network.picture.classify((embedding - 0.3) / 0.5**0.5)
    torch.testing.assert_close(network(mel), wanted)
    assert grey.min() == 0 and grey.max() == 1


def test_level_does_not_matter():
    network = SoundClassifier(SMALL).eval()
    mel = torch.randn(2, 64, 48)
    torch.testing.assert_close(network(mel - torch.tensor([3.0, 0.2]).view(2, 1, 1)), network(mel))


def test_dropout_is_of_training_alone():
    network = SoundClassifier(SMALL)
    mel = torch.randn(3, 64, 48)
    assert not torch.equal(network(mel), network(mel))
    assert torch.equal(network.eval()(mel), network(mel))


def test_it_is_saved_and_loaded(tmp_path):
    network = SoundClassifier(SMALL).eval()
    save_part(tmp_path, network, SMALL)
    mel = torch.randn(1, 64, 48)
    assert torch.equal(load_part(tmp_path)(mel), network(mel))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_depthwise_filters_that_stay_have_the_gradient_of_others(kernel, stride, precision):
    torch.manual_seed(0)
    layer, x = SameConv(6, 6, kernel, stride, groups=6), torch.randn(2, 6, 9, 12)
    wanted, found = x.clone().requires_grad_(), x.clone().requires_grad_()
    ahead = layer(wanted)
    ahead.square().sum().backward()
    layer.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        same = layer(found.to(precision))
    same.float().square().sum().backward()
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if precision is torch.float32 else {"rtol": 0.1, "atol": 0.1}
    torch.testing.assert_close(same.float(), ahead, **tolerance)
    torch.testing.assert_close(found.grad, wanted.grad, **tolerance)


# --- random changes


def test_a_crop_begins_where_it_should_and_a_short_mel_is_repeated():
    assert augmentation.cut(torch.arange(10.0)[None], 3, 4).tolist() == [[4, 5, 6]]
    assert augmentation.cut(torch.arange(5.0)[None], 7, 0).tolist() == [[0, 1, 2, 3, 4, 0, 1]]


def test_random_crops_reach_both_ends():
    torch.manual_seed(0)
    firsts = {int(augmentation.cut(torch.arange(6.0)[None], 4)[0, 0]) for _ in range(60)}
    assert firsts == {0, 1, 2}


def test_two_sounds_add_up_as_powers_of_ten():
    one, other = torch.tensor([[0.0, -9.0]]), torch.tensor([[-1.0, -2.0]])
    torch.testing.assert_close(augmentation.added(one, other), torch.tensor([[math.log10(1.1), -2.0]]))


def test_a_mixture_has_the_first_as_the_louder():
    torch.manual_seed(0)
    one, other = torch.full((2, 3), -9.0), torch.full((2, 3), -9.0)
    one[0], other[1] = -1.0, 0.5
    for _ in range(20):
        mel, share = augmentation.mixed(one, other)
        assert 0.5 <= share < 1
        torch.testing.assert_close(10 ** mel[0], torch.full((3,), share), atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(10 ** mel[1], torch.full((3,), 1 - share), atol=1e-6, rtol=1e-4)


def test_speed_and_pitch():
    mel = torch.zeros(20, 40)
    mel[10, 20] = 1.0
    places, lengths = set(), set()
    torch.manual_seed(0)
    for _ in range(40):
        found = augmentation.warped(mel, RecordingsLoss(speed=0.5, pitch=2))
        places.add(int(found.amax(1).argmax()))
        lengths.add(found.shape[1])
        assert found.shape[0] == 20
    assert places == {8, 9, 10, 11, 12}
    assert min(lengths) >= 28 and max(lengths) <= 57 and min(lengths) < 33 and max(lengths) > 48


def test_pitch_continues_the_edge():
    mel = torch.arange(8.0)[:, None].expand(8, 4)
    torch.manual_seed(0)
    found = {tuple(augmentation.warped(mel, RecordingsLoss(speed=0, pitch=1))[:, 0].tolist()) for _ in range(30)}
    assert found == {(0, 0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 7, 7)}


def test_noise_lies_at_its_level():
    torch.manual_seed(0)
    mel = torch.full((32, 50), -9.0)
    mel[3, 3] = 1.0
    noise = augmentation.with_noise(mel, RecordingsLoss(noise=(-3.0, -3.0)))
    assert noise[3, 3] == pytest.approx(1.0, abs=0.01)
    assert -4.0 < noise.median() < -1.5
    louder = augmentation.with_noise(mel, RecordingsLoss(noise=(-1.0, -1.0)))
    assert louder.median() > noise.median() + 1


def test_masks_are_silent_bands_and_spans():
    torch.manual_seed(0)
    loss = RecordingsLoss(masks=1, mask_bins=5, mask_columns=7)
    bands, spans = set(), set()
    for _ in range(80):
        silent = augmentation.masked(torch.zeros(16, 32), loss) == augmentation.FLOOR
        bands.add(int(silent.all(1).sum()))
        spans.add(int(silent.all(0).sum()))
    assert bands == set(range(6)) and spans == set(range(8))
    untouched = torch.zeros(16, 32)
    augmentation.masked(untouched, loss)
    assert not untouched.any()


def test_a_change_without_settings_is_a_shift_and_a_crop():
    torch.manual_seed(0)
    mel = torch.arange(60.0).expand(4, 60)
    steps = augmentation.changed(mel, PLAIN).diff()
    assert steps.shape == (4, 47) and set(steps.unique().tolist()) <= {1.0, -59.0}


# --- the task


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Dogs are low tones and bells bright noise, each of another length and level; and there are burps."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = ["path,category,split"]
    for index in range(12):
        low = tone(200 * 1.05**index, 0.5 + 0.2 * index, 0.1 + 0.05 * index)
        bright = 0.05 * torch.randn(len(low)).diff(append=torch.zeros(1))
        for category, wave in (("animals/dog", low), ("bell", bright), ("human/burp", low + bright)):
            path = folder / f"{index}-{category.replace('/', '-')}.wav"
            soundfile.write(path, wave.numpy(), 16_000)
            rows.append(f"{path.name},{category},{'train' if index < 8 else 'valid' if index < 10 else 'test'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def task_of(folder, loss=PLAIN, name="recordings", network=SMALL, **settings):
    torch.manual_seed(0)
    recipe = read_recipe(RECIPES / f"{name}.toml", ["optim.batch=8"])
    return RecordingsTask(dataclasses.replace(recipe, network=network, loss=loss, **settings), folder)


def test_what_it_learns_from(folder):
    task = task_of(folder)
    assert [one.target for one in task.train] == [0, 1] * 8 and len(task.valid) == 4
    wave = torch.from_numpy(soundfile.read(folder / "8-bell.wav", dtype="float32")[0])
    assert torch.equal(task.valid[1].mel, log_mel(wave, MelConfig(bins=64)).half())


def test_all_categories_unless_the_recipe_names_some(folder):
    task = task_of(folder, network=dataclasses.replace(SMALL, classes=()))
    assert task.config.classes == NAMES and {one.target for one in task.train} == {
        NAMES.index("dog"),
        NAMES.index("bell"),
    }


def test_targets(folder):
    torch.manual_seed(0)
    mels, target = task_of(folder).batch(0)
    assert mels.shape == (8, 64, 48)
    high = mels[:, 40:].mean((1, 2)) > mels[:, :20].mean((1, 2))
    assert torch.equal(target, F.one_hot(high.long(), 2).float())
    _, smooth = task_of(folder, dataclasses.replace(PLAIN, smoothing=0.2)).batch(0)
    torch.testing.assert_close(smooth.sort(1).values, torch.tensor([[0.1, 0.9]]).expand(8, 2))
    torch.manual_seed(0)
    _, mixtures = task_of(folder, dataclasses.replace(PLAIN, mixed=1.0)).batch(0)
    torch.testing.assert_close(mixtures.sum(1), torch.ones(8))
    assert ((mixtures > 0.01) & (mixtures < 0.99)).any()


def test_a_mixture_keeps_the_level(folder):
    torch.manual_seed(0)
    mels, _ = task_of(folder, dataclasses.replace(PLAIN, mixed=1.0)).batch(0)
    plain = torch.stack([one.mel.float().amax() for one in task_of(folder).train])
    found = mels.amax((1, 2))
    assert found.max() <= plain.max() + 0.31 and found.min() >= plain.min() - 0.31


def test_rare_categories_are_drawn_more_often(folder):
    targets = [0] * 9 + [1] * 4
    for balance, first, second in ((0.0, 9, 4), (0.5, 3, 2), (1.0, 1, 1)):
        weights = draw_weights(targets, balance)
        assert (weights[:9].sum() / weights[9:].sum()).item() == pytest.approx(first / second)
    assert torch.equal(task_of(folder).weights, draw_weights([0, 1] * 8, 0.5))


@pytest.mark.parametrize("name", ["recordings", "tagger"])
def test_it_learns_the_difference(folder, name):
    network = (
        SMALL
        if name == "recordings"
        else dataclasses.replace(
            read_recipe(RECIPES / "tagger.toml").network, classes=("dog", "bell"), bins=64, widths=(8, 8), embed=8
        )
    )
    task = task_of(folder, name=name, network=network)
    optimiser = torch.optim.Adam((p for p in task.network.parameters() if p.requires_grad), 1e-2)
    task.network.train()
    torch.manual_seed(1)
    for step in range(60):
        optimiser.zero_grad()
        task.losses(task.batch(step), step)["total"].backward()
        optimiser.step()
    assert task.validate(task.network) == {"top1": 1.0}
    assert task.network.training


def test_the_loss_is_cross_entropy(folder):
    task = task_of(folder)
    task.network.eval()
    mels, target = task.batch(0)
    wanted = F.cross_entropy(task.network(mels), target)
    torch.testing.assert_close(task.losses((mels, target), 0)["total"], wanted)


def test_validation_looks_at_both_ends(folder):
    task = task_of(folder)
    seen = []

    def network(ends):
        seen.append(ends)
        return torch.tensor([[0.0, 0.1], [0.3, 0.0]])

    network.eval = network.train = lambda: None
    network.parameters = task.network.parameters
    task.valid = task.valid[:2]
    assert task.validate(network) == {"top1": 0.5}  # the means say dog
    mel = task.valid[0].mel.float()
    assert torch.equal(seen[0], torch.stack([mel[:, :48], mel[:, -48:]]))


def test_what_is_missing_is_said(folder, tmp_path):
    with pytest.raises(RecipeError, match="--audio DIR"):
        task_of(None)
    (tmp_path / "manifest.csv").write_text(f"path,category,split\n{folder / '0-bell.wav'},bell,train\n")
    with pytest.raises(RecipeError, match="no recording of split 'valid'"):
        task_of(tmp_path)


def test_it_starts_with_the_weights_for_photographs():
    network = start(SoundClassifierConfig(NAMES), 2)
    photographs = load_part(CLASSIFIER)
    assert isinstance(photographs, EfficientNet)
    for key, value in photographs.state_dict().items():
        assert key.startswith("classify.") or torch.equal(network.picture.state_dict()[key], value)
    still = {name.rpartition(".")[0] for name, each in network.named_parameters() if not each.requires_grad}
    first = {f"picture.blocks.{name}" for name in ("0.project", "1.expand", "1.project")}
    assert still == first | {"picture.stem", *(f"picture.blocks.{index}.depthwise" for index in range(16))}


def test_the_last_layer_is_fitted_first(folder):
    """To embeddings at one scale, while the rest stays: before any step the classifier knows its recordings."""
    fitted, fresh = (task_of(folder, dataclasses.replace(PLAIN, probe_steps=steps)).network for steps in (300, 0))
    for key, value in fitted.picture.state_dict().items():
        assert key.startswith("classify.") or torch.equal(value, fresh.picture.state_dict()[key]), key
    assert not fresh.picture.classify.weight.any()
    task = task_of(folder)
    mels = torch.stack([augmentation.cut(one.mel.float(), 48, 0) for one in task.train])
    with torch.no_grad():
        normed = fitted.eval().norm(fitted.embed(mels))
        right = fitted(mels).argmax(1) == torch.tensor([one.target for one in task.train])
    assert normed.mean().abs() < 0.3 and 0.3 < normed.std() < 1.5
    assert right.float().mean() > 0.9


# --- names of sounds


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A classifier of all categories, small and random."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, classes=NAMES)
    save_part(folder, SoundClassifier(config), config)
    return folder


def test_names_are_probabilities(trained):
    found = scorer.name_sound(tone(440, 2.0), trained)
    assert found.shape == (len(NAMES),) and found.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(scorer.name_sound(tone(440, 2.0, 0.05), trained), found, atol=1e-3, rtol=0.05)
    assert not scorer.name_sound(torch.zeros(16_000), trained).any()


def test_a_short_sound_is_repeated(trained):
    wave = tone(440, 0.256)  # 16 columns
    mel = log_mel(wave, MelConfig(bins=64))
    wanted = load_part(trained)(mel.repeat(1, 3)[None])[0].softmax(-1)
    torch.testing.assert_close(scorer.name_sound(wave, trained), wanted, atol=1e-5, rtol=1e-3)


def test_windows_in_which_nothing_sounds_do_not_count(trained):
    wave = torch.cat([tone(440, 1.0), 1e-4 * torch.randn(64_000)])
    mel = log_mel(wave, MelConfig(bins=64))
    wanted = load_part(trained)(torch.stack([mel[:, :48], mel[:, 24:72]]))
    found = scorer.name_sound(wave, trained)
    assert (found - wanted.mean(0).softmax(-1)).abs().max() < 0.02
    whole = log_mel(wave, MelConfig(bins=64)).unfold(1, 48, 24).transpose(0, 1)
    assert (found - load_part(trained)(whole).mean(0).softmax(-1)).abs().max() > 1e-4


def test_another_network_is_refused(trained, tmp_path):
    save_part(tmp_path / "two", SoundClassifier(SMALL), SMALL)
    with pytest.raises(WeightsError, match="not the table's categories"):
        scorer.name_sound(tone(440), tmp_path / "two")
    with pytest.raises(WeightsError):
        scorer.name_sound(tone(440), tmp_path / "none")
    with pytest.raises(ValueError, match="too short"):
        scorer.name_sound(torch.zeros(100), trained)


# --- what was not asked for


def windows_of(*rows: dict[str, float]) -> scorer.SoundWindows:
    probabilities = torch.full((len(rows), len(NAMES)), 1e-6)
    for row, each in zip(probabilities, rows, strict=True):
        for name, value in each.items():
            row[NAMES.index(name)] = value
    levels = torch.zeros(len(rows))
    return scorer.SoundWindows(torch.arange(len(rows)) * 1.5, 3.1, levels, probabilities.log())


def test_music_and_voices_that_were_not_asked_for_are_found(monkeypatch):
    heard = windows_of({"piano": 0.4, "violin": 0.3, "wind": 0.3}, {"laughing": 0.9, "wind": 0.1}, {"wind": 1.0})
    monkeypatch.setattr(scorer, "recognise_sound", lambda wave, rate: heard)
    wave = torch.zeros(16_000)
    music, voices = scorer.find_unasked(wave, 16_000, ["wind"])
    assert music == scorer.Unasked("music", "piano", 0.0, 0.7)
    assert (voices.kind, voices.name, voices.start) == ("voices", "laughing", 1.5)
    assert "music (piano, at 0 s)" in str(music) and music.table()["from"] == 0.0
    assert [one.kind for one in scorer.find_unasked(wave, 16_000, ["Fiddle"])] == ["voices"]
    assert [one.kind for one in scorer.find_unasked(wave, 16_000, ["laugh", "drums"])] == []
    monkeypatch.setattr(scorer, "recognise_sound", lambda *_: windows_of({"piano": 0.3, "wind": 0.7}))
    assert scorer.find_unasked(wave, 16_000, []) == []
    assert scorer.find_unasked(torch.zeros(100), 16_000, []) == []
    faint = dataclasses.replace(heard, levels=torch.tensor([-3.0, -3.0, 0.0]))
    monkeypatch.setattr(scorer, "recognise_sound", lambda *_: faint)
    assert scorer.find_unasked(wave, 16_000, []) == []


def test_a_melody_is_music_and_silence_and_noise_are_not():
    time = torch.arange(48_000) / 16_000
    notes = torch.cat([torch.full((12_000,), hertz) for hertz in (262.0, 330.0, 392.0, 523.0)])
    phase = 2 * torch.pi * torch.cumsum(notes, 0) / 16_000
    fade = torch.exp(-5 * (time % 0.75))
    melody = 0.3 * fade * sum(torch.sin(k * phase) / k**2 for k in range(1, 6))
    assert [one.kind for one in scorer.find_unasked(melody, 16_000, ["wind"])] == ["music"]
    assert scorer.find_unasked(0.1 * torch.randn(48_000, generator=torch.Generator().manual_seed(0)), 16_000, []) == []
    assert scorer.find_unasked(torch.zeros(48_000), 16_000, []) == []


def test_a_long_sound_is_seen_in_blocks(trained, monkeypatch):
    """Blocks of whole windows: each is what it is alone, in the sound's time."""
    wave = torch.randn(64_000, generator=torch.Generator().manual_seed(1)) / 4
    monkeypatch.setattr(scorer, "BLOCK", 2.0)
    whole = scorer.recognise_sound(wave, folder=trained)
    parts = [scorer.recognise_sound(part, folder=trained) for part in wave.split(round(2 * 16_000 / 256) * 256)]
    torch.testing.assert_close(whole.logits, torch.cat([part.logits for part in parts]))
    assert len(whole.starts) == len(whole.levels) == len(whole.logits) > 4
    assert whole.starts.max() > 3 and (whole.starts.diff() > 0).all()
    pieces = LongWave(lambda: (piece.numpy() for piece in wave.split(5_000)), len(wave))
    torch.testing.assert_close(scorer.recognise_sound(pieces, folder=trained).logits, whole.logits)
