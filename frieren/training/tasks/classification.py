"""Classification loss of the field: a tagger on the end of the flow (a perceptual loss, as in arXiv 2401.00110).

Squared errors of a latent weigh a thin tone little, and yet it may be all that tells one thing from another. The
tagger classifies what the end of the flow sounds like, and the field learns to get its clip's own class. It is not the
tagger of an evaluation, and is frozen here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.dataset.shards import Shards
from frieren.mel import decode_latent
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.scorers.tagger import Tagger
from frieren.training.data import label_of
from frieren.training.recipe import RecipeError

GAIN = 0.2  # largest random change of level before it, in log10 units: 4 dB
IGNORE_INDEX = -1  # the class of a clip with no source or several, or of a kind that the tagger does not know


class ClassificationLoss:
    """A trained tagger behind the decoder of the autoencoder whose latents it classifies; both stay frozen."""

    def __init__(self, tagger: Tagger, autoencoder: MelAutoencoder) -> None:
        self.tagger, self.autoencoder = tagger.requires_grad_(False).eval(), autoencoder

    def classes(self, data: Shards) -> dict[str, int]:
        """The class of every item with one kind that the tagger knows, by its id.

        Raises:
            RecipeError: there is no such item.
        """
        known = {(name,): index for index, name in enumerate(self.tagger.config.classes)}
        kinds = [label_of(label, data.meta(item)).kinds for item, label in enumerate(data.labels)]
        classes = {id: known[kind] for id, kind in zip(data.ids, kinds, strict=True) if kind in known}
        if not classes:
            raise RecipeError(
                f"{data.folder}: no label is a class of the tagger; label the clips, or set loss.class_weight to 0"
            )
        return classes

    def __call__(self, latent: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of latents [B, C, L] of whole windows with classes [B], IGNORE_INDEX left out."""
        with torch.autocast(latent.device.type, enabled=False):
            mel = decode_latent(self.autoencoder, latent.float(), latent.shape[-1], 0)
        gain = GAIN * (2 * torch.rand(len(mel), 1, 1, device=mel.device) - 1)
        logits = self.tagger((mel + gain).clamp(min=-5))  # -5 is the floor of the mel: silence stays silence
        errors = F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum")
        return errors / (target != IGNORE_INDEX).sum().clamp(min=1)
