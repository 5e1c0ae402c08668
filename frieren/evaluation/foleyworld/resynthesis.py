"""Sound -> mel -> sound: how near a model's vocoder comes to the sound, beside Griffin and Lim from the same mel.

By the multi-resolution STFT distance (`spectrogram.spectral_distance`), mean over the sounds, and by `fad_world`, the
Fréchet distance with one embedding of FoleyWorld's tagger per 0.96 s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frieren import sounds, world
from frieren.evaluation.foleyworld.takes import SPLIT
from frieren.evaluation.frechet import frechet_distance, moments
from frieren.evaluation.intervals import Interval, ratio
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.scorers.features import WINDOW, InWindows, side_by_side
from frieren.evaluation.scores import few_rows
from frieren.pipeline import Model
from frieren.spectrogram import log_mel, spectral_distance
from frieren.wave import GriffinLim, vocode

VOCODER, AUTOENCODER = "vocoder", "autoencoder and vocoder"
RIVALS = {VOCODER: "Griffin-Lim", AUTOENCODER: "autoencoder and Griffin-Lim"}  # each from the same mel
WAYS = (*RIVALS, *RIVALS.values())
LONGEST = 10.0  # seconds that are taken of a recording


@dataclass(frozen=True)
class Resynthesis:
    """How far the sounds of each of WAYS are from the N true ones.

    Attributes:
        distances: [N] of each sound, by way.
        fad: by way.
        rows: embeddings of either set that FAD is made of.
        notes: warnings.
    """

    distances: Mapping[str, np.ndarray] = field(repr=False)
    fad: Mapping[str, float]
    rows: int
    notes: tuple[str, ...] = ()

    @property
    def sounds(self) -> int:
        """How many there are."""
        return len(self.distances[VOCODER])

    @property
    def measures(self) -> dict[str, Mapping[str, float]]:
        """How far away each way is, by measure."""
        return {"stft": {way: float(one.mean()) for way, one in self.distances.items()}, "fad_world": self.fad}

    def times_nearer(self, way: str) -> dict[str, float]:
        """By how many times its rival is further away than `way`, by measure: above 1 the way is nearer."""
        return {name: of[RIVALS[way]] / of[way] for name, of in self.measures.items()}

    def interval(self, way: str) -> Interval | None:
        """Of `times_nearer` by the STFT distance; sounds are drawn again."""
        return ratio(self.distances[RIVALS[way]], self.distances[way], range(len(self.distances[way])))


def measure(
    model: Model, waves: Sequence[Tensor], tagger: Extractor, on_sound: Callable[[int], None] = lambda done: None
) -> Resynthesis:
    """Through the model and back.

    Args:
        waves: true sounds [S] at the model's rate, which is the tagger's as well; two at least. The end that fills no
            latent column is left out.
        on_sound: told how many are done.

    Raises:
        ValueError: if the model has another rate than the tagger.
    """
    if model.clock.sample_rate != tagger.sample_rate:
        raise ValueError(f"the model has {model.clock.sample_rate} Hz, the tagger hears {tagger.sample_rate}")
    windows = InWindows(tagger)

    def work(wave: Tensor) -> tuple[Tensor, dict[str, float], dict[str, Tensor]]:
        true = wave[: len(wave) // model.clock.samples_per_latent * model.clock.samples_per_latent]
        made = again(model, true)
        distances = {way: spectral_distance(one[None], true[None]).item() for way, one in made.items()}
        return windows(true)["embedding"], distances, {way: windows(one)["embedding"] for way, one in made.items()}

    done = []
    for one in side_by_side(work, waves):
        done.append(one)
        on_sound(len(done))
    real = torch.cat([rows for rows, _, _ in done]).numpy()
    made = {way: torch.cat([rows[way] for _, _, rows in done]).numpy() for way in WAYS}
    return Resynthesis(
        {way: np.array([distances[way] for _, distances, _ in done]) for way in WAYS},
        {way: frechet_distance(moments(rows), moments(real)) for way, rows in made.items()},
        len(real),
        few_rows(*real.shape),
    )


def distinct(models: Mapping[str, Model]) -> dict[str, Model]:
    """Those whose vocoder or autoencoder none before has: variants that share both need not be heard twice."""
    first: dict[tuple[bytes, int], str] = {}
    for name, model in models.items():
        states = (model.vocoder.state_dict(), model.autoencoder.state_dict())
        digest = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for one in states for value in one.values()))
        first.setdefault((digest.digest(), model.config.griffin_lim_iterations), name)
    return {name: models[name] for name in first.values()}


def again(model: Model, wave: Tensor) -> dict[str, Tensor]:
    """The sounds [S] by way that are made of the mel of a wave [S]."""
    mel = log_mel(wave, model.config.mel)
    mels = {VOCODER: mel, AUTOENCODER: model.decode(model.encode_mel(mel)[0])}
    griffin_lim = GriffinLim(model.config.mel)
    made = {way: model.vocode(one) for way, one in mels.items()}
    return made | {RIVALS[way]: vocode(griffin_lim, one[None], model.clock.hop)[0] for way, one in mels.items()}


def world_sounds(model: Model, most: int) -> list[Tensor]:
    """The true sounds of the first `most` clips of SPLIT in which something sounds."""
    clips = (world.clip(SPLIT, index, model.clock, picture=False) for index in count())
    return [torch.from_numpy(clip.wave) for clip in islice((clip for clip in clips if clip.kinds), most)]


def recorded_sounds(model: Model, folder: Path, most: int) -> list[Tensor]:
    """At most `most` of the recordings of SPLIT in a folder (`sounds.recorded`), evenly spread, LONGEST at most.

    One that is too short for the tagger is repeated, as in training.

    Raises:
        FrierenError: if there is none.
    """
    paths = sounds.recorded(folder, SPLIT)
    paths = paths[:: -(-len(paths) // most)]
    rate = model.clock.sample_rate
    least = round(WINDOW * rate) + model.clock.samples_per_latent
    waves = (sounds.read(path, rate)[: round(LONGEST * rate)] for path in paths)
    return [torch.from_numpy(np.tile(wave, -(-least // len(wave))) if len(wave) < least else wave) for wave in waves]
