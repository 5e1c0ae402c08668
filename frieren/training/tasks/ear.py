"""The ear: a tagger that hears where a flow leads while the field learns (a perceptual loss, as in arXiv 2401.00110).

Squared errors of a latent weigh a thin tone little, and yet it may be all that tells one thing from another. The ear
is asked what the end of the flow sounds like, and the field learns to have its clip's own kind named. It is not the
tagger of an evaluation, and does not learn here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.dataset.shards import Shards
from frieren.mel import decode_latent
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.tagger import Tagger
from frieren.training.data import label_of
from frieren.training.recipe import RecipeError

GAIN = 0.2  # largest change of level that it hears through, in log10 units: 4 dB
UNNAMED = -1  # the class of a clip with no source or several, or of a kind that the ear does not know


class Ear:
    """A finished tagger, and the autoencoder whose latents it hears; both are left as they are."""

    def __init__(self, tagger: Tagger, autoencoder: MelAutoencoder) -> None:
        self.tagger, self.autoencoder = tagger.requires_grad_(False).eval(), autoencoder

    def classes(self, data: Shards) -> dict[str, int]:
        """The class of every item with one kind that the ear knows, by its id.

        Raises:
            RecipeError: there is no such item.
        """
        known = {(name,): index for index, name in enumerate(self.tagger.config.classes)}
        kinds = [label_of(label, data.meta(item)).kinds for item, label in enumerate(data.labels)]
        classes = {id: known[kind] for id, kind in zip(data.ids, kinds, strict=True) if kind in known}
        if not classes:
            raise RecipeError(f"{data.folder}: no label is one that the ear knows; label the clips, or drop loss.named")
        return classes

    def loss(self, latent: Tensor, wanted: Tensor) -> Tensor:
        """Mean cross-entropy of latents [B, C, L] of whole windows against classes [B]; the unnamed do not count."""
        with torch.autocast(latent.device.type, enabled=False):
            mel = decode_latent(self.autoencoder, latent.float(), latent.shape[-1], 0)
        gain = GAIN * (2 * torch.rand(len(mel), 1, 1, device=mel.device) - 1)
        logits = self.tagger((mel + gain).clamp(min=-5))  # silence stays silence
        errors = F.cross_entropy(logits.float(), wanted, ignore_index=UNNAMED, reduction="sum")
        return errors / (wanted != UNNAMED).sum().clamp(min=1)
