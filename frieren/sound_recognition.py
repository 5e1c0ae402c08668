"""What a sound sounds like: probabilities of the table's categories, by the classifier of recordings that ships.

probabilities = name_sound(torch.from_numpy(sounds.read("clip.wav", RATE)))
print(categories()[probabilities.argmax()].title)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from frieren.categories import categories, find
from frieren.errors import WeightsError
from frieren.longwave import LongWave, rechunked
from frieren.nets.scorers.sound_classifier import SoundClassifier
from frieren.sounds import resampled
from frieren.spectrogram import FLOOR, MelConfig, log_mel
from frieren.weights import load_network
from frieren.windows import unfold, window_starts

CLASSIFIER = Path(__file__).parent / "models" / "scorers" / "recordings"
RATE = MelConfig.sample_rate  # Hz
FAINT = 2.0  # log10 units below the loudest, from which on a window does not count
BLOCK = 120.0  # seconds of sound whose windows are held at once
BATCH = 16  # windows that go through the network at once
SHORTEST = 0.05  # seconds that a spectrogram needs, and a little more
LIKELY = 0.5  # probability of a kind in one window from which on it is there
# What a sound may hold that was not asked for, and the categories that are such.
KINDS = {
    "music": frozenset(
        "piano violin cello acoustic_guitar electric_guitar banjo harp flute woodwind saxophone brass accordion "
        "harmonica organ marimba steel_drum maraca drums".split()
    ),
    "voices": frozenset({"crowd", "crying_baby", "laughing"}),
}


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


@dataclass(frozen=True)
class SoundWindows:
    """A sound in windows of 3.1 s that overlap by half, as the classifier of recordings takes them.

    Attributes:
        starts: [W] seconds at which they begin.
        seconds: length of each.
        levels: [W] of the loudest cell of each log10 mel.
        logits: [W, C] of the table's categories.
    """

    starts: Tensor
    seconds: float
    levels: Tensor
    logits: Tensor

    @property
    def sounding(self) -> Tensor:
        """[W] bool: those that count, in which something sounds; none in silence."""
        silence = torch.tensor(FLOOR).log10() + 1e-3
        return (self.levels > self.levels.max() - FAINT) & (self.levels.max() > silence)

    def within(self, start: float, end: float) -> Tensor:
        """Probabilities [C] of the windows whose middle lies in a span, at least the nearest; all 0 for silence."""
        middles = self.starts + self.seconds / 2
        near = (middles >= start) & (middles <= end)
        if not near.any():
            near[(middles - (start + end) / 2).abs().argmin()] = True
        chosen = near & self.sounding
        if not chosen.any():
            return self.logits.new_zeros(self.logits.shape[-1])
        return self.logits[chosen].mean(0).softmax(-1)


@torch.inference_mode()
def recognise_sound(wave: Tensor | LongWave, sample_rate: int = RATE, folder: Path = CLASSIFIER) -> SoundWindows:
    """See a sound window by window; one shorter than a window is repeated. Level does not matter.

    Args:
        wave: [S], of 24 ms at least; a long one in blocks.
        sample_rate: samples per second.
        folder: of the classifier.

    Raises:
        ValueError: the wave is too short for a spectrogram.
        WeightsError: see `classifier`.
    """
    network = classifier(folder)
    columns, hop = network.config.columns, network.config.hop
    starts, levels, logits, begin = [], [], [], 0
    for samples in rechunked(resampled(wave, sample_rate, RATE), round(BLOCK * RATE / hop) * hop):
        if begin and len(samples) < columns * hop:
            break  # the end of a long sound that fills no window
        mel = log_mel(torch.from_numpy(samples), MelConfig(bins=network.config.bins, hop=hop))
        mel = mel.repeat(1, -(-columns // mel.shape[-1])) if mel.shape[-1] < columns else mel
        places, size = window_starts(mel.shape[-1], columns, columns // 2)
        windows = unfold(mel[None], places, size)[0]
        starts.append((torch.tensor(places) * hop + begin) / RATE)
        levels.append(windows.amax((-2, -1)))
        logits += [network(batch) for batch in windows.split(BATCH)]
        begin += len(samples)
    return SoundWindows(torch.cat(starts), columns * hop / RATE, torch.cat(levels), torch.cat(logits))


def name_sound(wave: Tensor, folder: Path = CLASSIFIER) -> Tensor:
    """Probabilities [C] of the table's categories, in its order; all 0 for silence.

    The logits of all windows are averaged; those in which hardly anything sounds do not count.

    Args:
        wave: [S] at RATE; see `recognise_sound` for the rest and for what is raised.
    """
    return recognise_sound(wave, folder=folder).within(0.0, len(wave) / RATE)


@dataclass(frozen=True)
class Unasked:
    """Music or voices where nobody asked for them.

    Attributes:
        kind: "music" or "voices".
        name: the likeliest category of that kind.
        start: seconds at which the window begins in which it is surest.
        certainty: probability of the kind there.
    """

    kind: str
    name: str
    start: float
    certainty: float

    def __str__(self) -> str:
        """What a user reads."""
        return f"holds {self.kind} ({self.name}, at {self.start:g} s) that was not asked for; another seed may do"

    def table(self) -> dict[str, str | float]:
        """As records have it."""
        return {"kind": self.kind, "name": self.name, "from": self.start, "certainty": self.certainty}


def find_unasked(wave: Tensor | LongWave, sample_rate: int, asked: Iterable[str]) -> list[Unasked]:
    """Music and voices in a sound, as far as the table knows them: it has instruments, laughing, crying and crowds.

    Of 22 recordings of instruments 21 are found, of 187 others none is taken for music. It has no category of speech.

    Args:
        wave: [S]; one that is too short for a spectrogram holds nothing.
        sample_rate: samples per second.
        asked: names that a cue sheet has; a kind of which one was asked for is not looked for.

    Returns:
        One of each kind at most.
    """
    if len(wave) / sample_rate < SHORTEST:
        return []
    wanted = {find(name).name for name in asked}
    heard, names, found = recognise_sound(wave, sample_rate), [one.name for one in categories()], []
    for kind, members in KINDS.items():
        if members & wanted:
            continue
        rows = [row for row, name in enumerate(names) if name in members]
        likely = heard.logits.softmax(-1)[:, rows] * heard.sounding[:, None]
        surest = int(likely.sum(-1).argmax())
        certainty = float(likely[surest].sum())
        if certainty >= LIKELY:
            name = names[rows[int(likely[surest].argmax())]]
            found.append(Unasked(kind, name, round(float(heard.starts[surest]), 2), round(certainty, 3)))
    return found
