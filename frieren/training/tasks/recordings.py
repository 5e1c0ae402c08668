"""Classifiers of recordings: which of the table's categories a recording is of.

frieren train recipes/recordings/recordings.toml --audio DIR

Two kinds: `SoundClassifier`, a scorer that begins with the weights for photographs, and `Tagger`, from scratch, whose
gradient a classification loss can use (`tasks.classification`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren import sounds
from frieren.categories import categories
from frieren.dataset.recordings import Recording, read_recordings
from frieren.nets.efficientnet import EfficientNet, SameConv
from frieren.nets.scorers.sound_classifier import SoundClassifier, SoundClassifierConfig
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.recognition import CLASSIFIER
from frieren.spectrogram import FLOOR, MelConfig, log_mel
from frieren.training.data import device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import RecordingsLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.augmentation import changed, cut, masked, mixed
from frieren.weights import load_network, save_part

Classifier = SoundClassifier | Tagger
ClassifierRecipe = Recipe[SoundClassifierConfig | TaggerConfig, RecordingsLoss]
PROBE_RATE, PROBE_DECAY = 3e-3, 0.5  # AdamW's, where the last layer learns alone
SILENCE = torch.tensor(FLOOR).log10().item()  # the mel's floor


class LabelledMel(NamedTuple):
    """A recording's log-mel [M, T], float16, and the index of its class."""

    mel: Tensor
    target: int


class RecordingsTask(TrainingTask[Classifier]):
    """Changed log-mels of recordings, two at a time for some, and cross-entropy."""

    def __init__(self, recipe: ClassifierRecipe, audio: Path | None) -> None:
        if audio is None:
            raise RecipeError("recordings: there are none to learn from; give their folder with --audio DIR")
        self.recipe, self.loss = recipe, recipe.loss
        names = recipe.network.classes or tuple(category.name for category in categories())
        self.config = dataclasses.replace(recipe.network, classes=names)
        found = read_recordings(audio)
        self.train, self.valid = (self.of_split(found, split, audio) for split in ("train", "valid"))
        self.network = start(self.config, self.loss.frozen)
        self.trainables = {"recordings": Trainable(self.network, self.losses)}
        self.weights = draw_weights([each.target for each in self.train], self.loss.balance)
        if isinstance(self.network, SoundClassifier) and not recipe.init:
            self.fit_last_layer(self.network)

    def of_split(self, recordings: list[Recording], split: str, folder: Path) -> list[LabelledMel]:
        """The recordings of a split whose category is one of the classes.

        Raises:
            RecipeError: there is none.
        """
        config = mel_config(self.config)
        classes = {name: index for index, name in enumerate(self.config.classes)}
        chosen = [one for one in recordings if one.split == split and one.category in classes]
        if not chosen:
            raise RecipeError(f"{folder}: no recording of split {split!r} has a known category; see its manifest.csv")
        waves = (torch.from_numpy(sounds.read(one.path, config.sample_rate)) for one in chosen)
        return [
            LabelledMel(log_mel(wave, config).half(), classes[one.category])
            for one, wave in zip(chosen, waves, strict=True)
        ]

    def fit_last_layer(self, network: SoundClassifier) -> None:
        """Fits the last layer alone to embeddings of changed recordings, and their scale, before all else learns.

        A random last layer would spoil what the network knows of photographs while it learns (arXiv:2202.10054).
        """
        loss, network = self.loss, network.eval()
        chosen = torch.arange(len(self.train)).repeat(loss.probe_crops)
        with torch.no_grad():
            mels = (torch.stack([self.changed(int(one))[0] for one in part]) for part in chosen.split(64))
            found = torch.cat([network.embed(mel) for mel in mels])
            network.norm.running_mean, network.norm.running_var = found.mean(0), found.var(0)
            found = network.norm(found)
        target = torch.tensor([one.target for one in self.train]).repeat(loss.probe_crops)
        layer = network.picture.classify
        torch.nn.init.zeros_(layer.weight)
        optimiser = torch.optim.AdamW(layer.parameters(), PROBE_RATE, weight_decay=PROBE_DECAY)
        for _ in range(loss.probe_steps):
            optimiser.zero_grad()
            F.cross_entropy(layer(found), target, label_smoothing=loss.smoothing).backward()
            optimiser.step()
        optimiser.zero_grad()
        network.train()

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        size, loss = self.recipe.optim.batch, self.loss
        first, second = torch.multinomial(self.weights, 2 * size, replacement=True).view(2, -1).tolist()
        mels, targets = zip(*(self.example(*pair) for pair in zip(first, second, strict=True)), strict=True)
        target = (1 - loss.smoothing) * torch.stack(targets) + loss.smoothing / len(self.config.classes)
        gain = loss.gain * (2 * torch.rand(size, 1, 1) - 1)
        return (torch.stack(mels) + gain).clamp(min=SILENCE), target

    def example(self, first: int, second: int) -> tuple[Tensor, Tensor]:
        """A changed recording, perhaps with a second one in it: mel [M, columns] and target [classes]."""
        mel, target = self.changed(first)
        if torch.rand(()) < self.loss.mixed:
            loudest = mel.amax()
            other, its = self.changed(second)
            mel, share = mixed(mel, other)
            mel, target = mel + loudest, share * target + (1 - share) * its
        return masked(mel, self.loss), target

    def changed(self, index: int) -> tuple[Tensor, Tensor]:
        """A changed training recording and its target, one-hot."""
        one = self.train[index]
        target = F.one_hot(torch.tensor(one.target), len(self.config.classes)).float()
        return changed(one.mel.float(), self.loss), target

    def losses(self, batch: tuple[Tensor, Tensor], step: int) -> Losses:
        mels, target = batch
        return {"total": -(target * self.network(mels).float().log_softmax(-1)).sum(-1).mean()}

    @torch.inference_mode()
    def validate(self, network: Classifier) -> dict[str, float]:
        """Share of the validation recordings whose class is the most probable one, by their start and end."""
        network.eval()
        right = 0
        for one in self.valid:
            ends = torch.stack([cut(one.mel.float(), self.loss.columns, first) for first in self.ends(one.mel)])
            right += int(network(ends.to(device_of(network))).mean(0).argmax() == one.target)
        network.train()
        return {"top1": right / len(self.valid)}

    def ends(self, mel: Tensor) -> tuple[int, int]:
        """First columns of the two crops that show a mel from its start and up to its end."""
        return 0, max(0, mel.shape[-1] - self.loss.columns)

    def finish(self, network: Classifier, folder: Path) -> None:
        save_part(folder, network, self.config, torch.float16)


def mel_config(config: SoundClassifierConfig | TaggerConfig) -> MelConfig:
    """The front end of a classifier: a tagger's columns are the models' own."""
    if isinstance(config, TaggerConfig):
        return MelConfig(bins=config.bins)
    return MelConfig(bins=config.bins, hop=config.hop)


def start(config: SoundClassifierConfig | TaggerConfig, frozen: int) -> Classifier:
    """The network as training begins: from scratch, or with the weights for photographs where its sizes are theirs."""
    if isinstance(config, TaggerConfig):
        return Tagger(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network, photographs = SoundClassifier(config), load_network(CLASSIFIER, EfficientNet)
    if dataclasses.replace(config.picture, classes=photographs.config.classes) == photographs.config:
        state = {key: value for key, value in photographs.state_dict().items() if not key.startswith("classify.")}
        network.picture.load_state_dict(state, strict=False)
    depthwise = [module for module in network.modules() if isinstance(module, SameConv)]
    for part in (network.picture.stem, network.picture.blocks[:frozen], *depthwise):
        part.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def draw_weights(targets: Sequence[int], balance: float) -> Tensor:
    """How often each recording is drawn, [N]: the n of a class together n^(1 - balance) times as often as one."""
    classes = torch.tensor(targets)
    return torch.bincount(classes)[classes].double() ** -balance
