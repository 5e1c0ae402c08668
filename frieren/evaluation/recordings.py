"""Do recordings still sound like what they are behind a model's vocoder, and behind its autoencoder?

frieren evaluate recordings FOLDER --model mini

The classifier of recordings names every recording of `test`: as it is, made again from its log-mel by the vocoder, and
by autoencoder and vocoder. What it no longer names there, no field can make recognisable. Griffin-Lim in the vocoder's
place tells what a trained one is worth.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren import sounds
from frieren.categories import categories
from frieren.dataset.recordings import Recording, RecordingsError, read_recordings
from frieren.evaluation.intervals import clopper_pearson
from frieren.evaluation.tables import decimals, span, table
from frieren.pipeline import Model
from frieren.sound_recognition import CLASSIFIER, RATE, name_sound
from frieren.spectrogram import log_mel, spectral_distance
from frieren.wave import GriffinLim

RECORDED, VOCODER, AUTOENCODER, GRIFFIN_LIM, AUTOENCODER_GRIFFIN_LIM = SOUNDS = (
    "recorded", "vocoder", "autoencoder and vocoder", "Griffin-Lim", "autoencoder and Griffin-Lim",
)  # fmt: skip
LEAST = 5  # recordings of a category that gets a row of its own
LONGEST = 10.0  # seconds that are used of a recording


@dataclass(frozen=True)
class RecordingsReport:
    """How N recordings are named.

    Attributes:
        categories: names of the true ones, [N].
        right: [N] of each of SOUNDS: 1 where the true category is the most probable one, or else 0.
        distances: [N] multi-resolution STFT distance of each of SOUNDS to the recording.
    """

    categories: Sequence[str]
    right: Mapping[str, np.ndarray]
    distances: Mapping[str, np.ndarray]

    def groups(self) -> dict[str, list[int]]:
        """Indices of all recordings, of each behaviour, and of each category with LEAST at least."""
        behaviours = {category.name: category.behaviour for category in categories()}
        groups: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(self.categories):
            for group in ("all", f"({behaviours[name]})", name):
                groups[group].append(index)
        order = ["all", *sorted(name for name in groups if name.startswith("(")), *behaviours]
        return {
            name: groups[name]
            for name in order
            if name in groups and (name not in behaviours or len(groups[name]) >= LEAST)
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per group: its recordings, and of each sound the share named right and the STFT distance."""
        return [
            {
                "group": name,
                "recordings": len(chosen),
                "right": {sound: float(of[chosen].mean()) for sound, of in self.right.items()},
                "stft": {sound: float(of[chosen].mean()) for sound, of in self.distances.items()},
                "interval": self.interval(chosen),
            }
            for name, chosen in self.groups().items()
        ]

    def interval(self, chosen: list[int]) -> list[float] | None:
        """Exact 95 % interval of the share of these recordings that are named right as they are."""
        found = clopper_pearson(float(self.right[RECORDED][chosen].mean()), len(chosen))
        return list(found[:2]) if found else None

    def to_json(self) -> str:
        """Return the rows."""
        return json.dumps({"recordings": len(self.categories), "rows": self.rows()}, indent=2) + "\n"

    def markdown(self) -> str:
        """Return the rows as a table."""
        rows = (
            (
                row["group"], str(row["recordings"]),
                decimals(row["right"][RECORDED]), span(row["interval"]),
                *(decimals(row["right"][sound]) for sound in SOUNDS[1:]),
                *(decimals(row["stft"][sound]) for sound in SOUNDS[1:]),
            )
            for row in self.rows()
        )  # fmt: skip
        again = ("voc.", "auto. + voc.", "G.-L.", "auto. + G.-L.")
        head = ("named right", "number", "recorded", "95 %", *again, "STFT voc.", *again[1:])
        return table(head, rows)


def choose(folders: Sequence[Path], split: str, most: int) -> list[Recording]:
    """The recordings of a split whose category is known, at most `most`: the first of each category, the second, ...

    Raises:
        RecordingsError: there is none.
    """
    found = [one for one in read_recordings(*folders) if one.split == split and one.category]
    if not found:
        places = ", ".join(map(str, folders))
        raise RecordingsError(f"{places}: no recording of split {split!r} has a known category; see manifest.csv")
    turns: dict[str, int] = defaultdict(int)
    order = []
    for index, one in enumerate(found):
        order.append((turns[one.category], index))
        turns[one.category] += 1
    return [found[index] for _, index in sorted(order)[:most]]


def measure(
    model: Model,
    recordings: Sequence[Recording],
    classifier: Path = CLASSIFIER,
    on_sound: Callable[[int], None] = lambda done: None,
) -> RecordingsReport:
    """Name recordings, and what a model makes of them again.

    Args:
        recordings: with categories of the table.
        classifier: folder of the network that names them.
        on_sound: called with the number of recordings done.

    Raises:
        ValueError: if the model has another rate than the classifier.
    """
    if model.clock.sample_rate != RATE:
        raise ValueError(f"the model has {model.clock.sample_rate} Hz, the classifier {RATE}")
    names = [category.name for category in categories()]
    right: dict[str, list[bool]] = {sound: [] for sound in SOUNDS}
    distances: dict[str, list[float]] = {sound: [] for sound in SOUNDS}
    for done, one in enumerate(recordings, 1):
        wave = torch.from_numpy(sounds.read(one.path, RATE)[: round(LONGEST * RATE)])
        made = resynthesise(model, wave)
        for sound, again in made.items():
            named = int(name_sound(again, classifier).argmax())
            right[sound].append(names[named] == one.category)
            distances[sound].append(spectral_distance(again[None], made[RECORDED][None]).item())
        on_sound(done)
    return RecordingsReport(
        [one.category for one in recordings],
        {sound: np.array(each, float) for sound, each in right.items()},
        {sound: np.array(each) for sound, each in distances.items()},
    )


@torch.inference_mode()
def resynthesise(model: Model, wave: Tensor) -> dict[str, Tensor]:
    """A wave [S], without the end that fills no latent column, and what is made of it again; by SOUNDS."""
    wave = wave[: len(wave) // model.clock.samples_per_latent * model.clock.samples_per_latent]
    mel = log_mel(wave, model.config.mel)
    decoded, griffin_lim = model.decode(model.encode_mel(mel)[0]), GriffinLim(model.config.mel)
    return {
        RECORDED: wave,
        VOCODER: model.vocode(mel),
        AUTOENCODER: model.vocode(decoded),
        GRIFFIN_LIM: griffin_lim(mel[None])[0],
        AUTOENCODER_GRIFFIN_LIM: griffin_lim(decoded[None])[0],
    }
