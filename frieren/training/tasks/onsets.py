"""Onset loss of the field: do levels rise at the end of the flow when they rise in the real sound?

A classification loss is content with a sound of the right kind at any time. Onsets are what a viewer holds against the
picture, and little of a latent's squared error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTH = 4.0  # log10 units below the loudest in which rises count: 80 dB, as where onsets are detected
BLUR = (0.25, 0.5, 0.25)  # of two columns: an onset that is a column off is half right


def onset_strength(mel: Tensor) -> Tensor:
    """How much the level rises from each column of log10 mels [B, M, T] to the next, mean over bins: [B, T - 1].

    The spectral flux that `librosa.onset.onset_strength` has, blurred by a column.
    """
    audible = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - DEPTH)
    rises = audible.diff(dim=-1).relu().mean(1)
    return F.conv1d(rises[:, None], rises.new_tensor(BLUR)[None, None], padding=1)[:, 0]


def onset_loss(mel: Tensor, real: Tensor, counted: Tensor) -> Tensor:
    """One minus the cosine of two sounds' onset strengths, mean over those that count.

    Args:
        mel: log10 mels [B, M, T] of the end of the flow.
        real: of the real sounds, [B, M, T].
        counted: [B] bool; where nothing strikes, rises are the sound's texture, and chance.
    """
    distances = 1 - F.cosine_similarity(onset_strength(mel), onset_strength(real), dim=-1)
    return (distances * counted).sum() / counted.sum().clamp(min=1)
