"""Classification loss of the field: a classifier on the end of the flow (a perceptual loss, as in arXiv 2401.00110).

Squared errors of a latent weigh a thin tone little, and yet it may be all that tells one thing from another. The
classifier names what the end of the flow sounds like, and the field learns to get its clip's own class. It is not the
classifier of an evaluation, and is frozen here. A field finds what one classifier mistakes for a cow; several of them,
who hear every end changed at random as they heard recordings, are harder to deceive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.categories import categories
from frieren.dataset.shards import Shards
from frieren.nets.scorers.sound_classifier import SoundClassifier
from frieren.nets.scorers.tagger import Tagger
from frieren.spectrogram import MelConfig
from frieren.training.data import label_of
from frieren.training.loss_settings import RecordingsLoss
from frieren.training.recipe import RecipeError, trained
from frieren.training.tasks.augmentation import changed, masked
from frieren.weights import load_part

GAIN = 0.2  # largest random change of level before it, in log10 units: 4 dB
IGNORE_INDEX = -1  # the class of a clip with no source or several, or of a kind that the classifier does not know
SHOWN = 0.5  # share of a window in which a cue sheet names its class
Classifier = Tagger | SoundClassifier  # of log-mels


def load_classifier(folder: Path, mel: MelConfig) -> Classifier:
    """A trained classifier of a model's own log-mels.

    Raises:
        RecipeError: it is not trained, or of other mels.
        WeightsError: its files cannot be read.
    """
    part = load_part(trained(folder))
    if not isinstance(part, Classifier):
        raise RecipeError(f"{folder}: expected a Tagger or a SoundClassifier, found a {type(part).__name__}")
    hop = part.config.hop if isinstance(part, SoundClassifier) else mel.hop
    if (part.config.bins, hop) != (mel.bins, mel.hop):
        raise RecipeError(
            f"{folder}: classifies mels of {part.config.bins} bins and hop {hop}, but the model's have {mel.bins} and "
            f"{mel.hop}; train it with network.bins={mel.bins} and network.hop={mel.hop}"
        )
    return part


class ClassificationLoss:
    """Trained classifiers of the same classes, frozen, of the mels that latents are decoded to."""

    def __init__(self, taggers: Sequence[Classifier]) -> None:
        """
        Raises:
            RecipeError: they have different classes.
        """
        self.taggers = [tagger.requires_grad_(False).eval() for tagger in taggers]
        self.names = tuple(taggers[0].config.classes)
        if any(tuple(tagger.config.classes) != self.names for tagger in taggers):
            raise RecipeError("the classifiers of the loss have different classes; train them on the same recordings")

    def classes(self, data: Shards) -> dict[str, int]:
        """The class of every item with one kind that the classifier knows, by its id.

        Raises:
            RecipeError: there is no such item.
        """
        known = {(name,): index for index, name in enumerate(self.names)}
        kinds = [label_of(label, data.meta(item)).kinds for item, label in enumerate(data.labels)]
        classes = {id: known[kind] for id, kind in zip(data.ids, kinds, strict=True) if kind in known}
        if not classes:
            raise RecipeError(
                f"{data.folder}: no label is a class of the classifier; label the clips, or set loss.class_weight to 0"
            )
        return classes

    def shown(self, features: Tensor, target: Tensor) -> Tensor:
        """Classes [B] of windows with cue features [B, L, D], IGNORE_INDEX where these do not name them for SHOWN.

        What the sheet does not know, the field cannot be asked for.
        """
        rows = {category.name: row for row, category in enumerate(categories())}
        of_class = torch.tensor([rows.get(name, -1) for name in self.names], device=target.device)
        row = of_class[target]
        named = features.gather(2, row.clamp(min=0)[:, None, None].expand(-1, features.shape[1], 1))[..., 0] > 0
        named &= (row >= 0)[:, None]
        return target.where(named.float().mean(1) > SHOWN, IGNORE_INDEX)

    def __call__(self, mel: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of log10 mels [B, M, T] of whole windows with classes [B], IGNORE_INDEX left out."""
        errors = [
            F.cross_entropy(tagger(_heard(mel, tagger)).float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
            for tagger in self.taggers
        ]
        return torch.stack(errors).mean() / (target != IGNORE_INDEX).sum().clamp(min=1)


def _heard(mel: Tensor, tagger: Classifier) -> Tensor:
    """Log10 mels [B, M, T] changed at random: for a classifier of recordings as those were, or else in their level."""
    if isinstance(tagger, SoundClassifier):
        settings = RecordingsLoss(columns=mel.shape[-1])
        return torch.stack([masked(changed(one, settings), settings) for one in mel])
    gain = GAIN * (2 * torch.rand(len(mel), 1, 1, device=mel.device) - 1)
    return (mel + gain).clamp(min=-5)  # -5 is the floor of the mel: silence stays silence
