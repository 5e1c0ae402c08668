"""What a sound sounds like: probabilities of the table's categories, by the classifier of recordings that ships.

probabilities = name_sound(torch.from_numpy(sounds.read("clip.wav", RATE)))
print(categories()[probabilities.argmax()].title)
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from frieren.catalogue import SHIPPED
from frieren.categories import categories
from frieren.errors import WeightsError
from frieren.nets.scorers.sound_classifier import SoundClassifier
from frieren.spectrogram import FLOOR, MelConfig, log_mel
from frieren.weights import load_network
from frieren.windows import unfold, window_starts

CLASSIFIER = SHIPPED / "scorers" / "recordings"
RATE = MelConfig.sample_rate  # Hz
FAINT = 2.0  # log10 units below the loudest, from which on a window does not count


@cache
def classifier(folder: Path = CLASSIFIER) -> SoundClassifier:
    """The network that ships, or one that was trained like it.

    Raises:
        WeightsError: it is not there, or has not the table's categories.
    """
    network = load_network(folder, SoundClassifier)
    if network.config.classes != tuple(category.name for category in categories()):
        raise WeightsError(f"{folder}: its classes are not the table's categories; train it again")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@cache
def true_shares() -> dict[str, float]:
    """Share of the test recordings of each category that the network that ships calls what they are."""
    counts: dict[str, tuple[int, int]] = json.loads((CLASSIFIER / "test.json").read_text(encoding="utf-8"))["right"]
    return {category: right / of for category, (right, of) in counts.items()}


@torch.inference_mode()
def name_sound(wave: Tensor, folder: Path = CLASSIFIER) -> Tensor:
    """Probabilities [C] of the table's categories, in its order; all 0 for silence.

    The sound is seen in windows of 3.1 s that overlap by half, and their logits averaged; windows in which hardly
    anything sounds do not count. A shorter sound is repeated. Level does not matter.

    Args:
        wave: [S] at RATE, of 385 samples at least.
        folder: of the classifier.

    Raises:
        ValueError: the wave is too short for a spectrogram.
        WeightsError: see `classifier`.
    """
    network = classifier(folder)
    columns = network.config.columns
    mel = log_mel(wave, MelConfig(bins=network.config.bins, hop=network.config.hop))
    if mel.amax() <= torch.tensor(FLOOR).log10() + 1e-3:
        return mel.new_zeros(len(network.config.classes))
    mel = mel.repeat(1, -(-columns // mel.shape[-1])) if mel.shape[-1] < columns else mel
    starts, size = window_starts(mel.shape[-1], columns, columns // 2)
    windows = unfold(mel[None], starts, size)[0]
    loudest = windows.amax((-2, -1))
    probabilities: Tensor = network(windows[loudest > loudest.max() - FAINT]).mean(0).softmax(-1)
    return probabilities
