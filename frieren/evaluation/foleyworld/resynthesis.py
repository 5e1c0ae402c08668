"""Sound -> mel -> sound: how near a model's vocoder comes to the sound, and Griffin-Lim from the same mel.

By the multi-resolution STFT distance (`spectrogram.spectral_distance`), mean over the sounds, and by `fad_world`, the
Fréchet distance with one embedding of FoleyWorld's tagger per 0.96 s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from frieren import sounds, world
from frieren.evaluation.foleyworld.takes import SPLIT
from frieren.evaluation.frechet import frechet_distance, moments
from frieren.evaluation.intervals import Interval, ratio
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.scorers.features import WINDOW, WindowedExtractor, side_by_side
from frieren.evaluation.scores import few_rows
from frieren.evaluation.timing.clipsets import reference_wave
from frieren.pipeline import Model
from frieren.spectrogram import log_mel, spectral_distance
from frieren.wave import GriffinLim, vocode

VOCODER, AUTOENCODER = "vocoder", "autoencoder and vocoder"
RIVALS = {VOCODER: "Griffin-Lim", AUTOENCODER: "autoencoder and Griffin-Lim"}  # each from the same mel
METHODS = (*RIVALS, *RIVALS.values())
LONGEST = 10.0  # seconds that are used of a recording


@dataclass(frozen=True)
class Resynthesis:
    """How far the sounds of each of METHODS are from the N reference ones.

    Attributes:
        distances: [N] of each sound, by method.
        fad: by method.
        rows: embeddings of either set that FAD is made of.
        notes: warnings.
    """

    distances: Mapping[str, np.ndarray] = field(repr=False)
    fad: Mapping[str, float]
    rows: int
    notes: tuple[str, ...] = ()

    @property
    def sounds(self) -> int:
        """Number of sounds."""
        return len(self.distances[VOCODER])

    @property
    def measures(self) -> dict[str, Mapping[str, float]]:
        """Distance of each method, by measure."""
        return {"stft": {method: float(one.mean()) for method, one in self.distances.items()}, "fad_world": self.fad}

    def times_nearer(self, method: str) -> dict[str, float]:
        """Return by how many times the rival of `method` is further away, by measure: above 1 the method is nearer."""
        return {name: of[RIVALS[method]] / of[method] for name, of in self.measures.items()}

    def interval(self, method: str) -> Interval | None:
        """Bootstrap interval over sounds of `times_nearer` by the STFT distance."""
        return ratio(self.distances[RIVALS[method]], self.distances[method], range(len(self.distances[method])))


class _Measured(NamedTuple):
    """One sound: the tagger's rows of the reference, then STFT distance and rows of each method."""

    reference: Tensor
    distances: dict[str, float]
    rows: dict[str, Tensor]


def measure(
    model: Model, waves: Sequence[Tensor], tagger: Extractor, on_sound: Callable[[int], None] = lambda done: None
) -> Resynthesis:
    """Measure a model's vocoder, with and without its autoencoder, on reference sounds.

    Args:
        waves: reference sounds [S] at the model's rate, which is the tagger's as well; two at least. The end that fills
            no latent column is left out.
        on_sound: called with the number of sounds done.

    Raises:
        ValueError: if the model has another rate than the tagger.
    """
    if model.clock.sample_rate != tagger.sample_rate:
        raise ValueError(f"the model has {model.clock.sample_rate} Hz, the tagger {tagger.sample_rate}")
    measured: list[_Measured] = []
    for one in side_by_side(partial(_measure_one, model, WindowedExtractor(tagger)), waves):
        measured.append(one)
        on_sound(len(measured))
    reference = torch.cat([one.reference for one in measured]).numpy()
    rows = {method: torch.cat([one.rows[method] for one in measured]).numpy() for method in METHODS}
    return Resynthesis(
        {method: np.array([one.distances[method] for one in measured]) for method in METHODS},
        {method: frechet_distance(moments(of), moments(reference)) for method, of in rows.items()},
        len(reference),
        few_rows(*reference.shape),
    )


def _measure_one(model: Model, windows: WindowedExtractor, wave: Tensor) -> _Measured:
    """Measure one reference sound [S]."""
    reference = wave[: len(wave) // model.clock.samples_per_latent * model.clock.samples_per_latent]
    sounds = resynthesise(model, reference)
    return _Measured(
        windows(reference)["embedding"],
        {method: spectral_distance(one[None], reference[None]).item() for method, one in sounds.items()},
        {method: windows(one)["embedding"] for method, one in sounds.items()},
    )


def distinct(models: Mapping[str, Model]) -> dict[str, Model]:
    """Return the models whose vocoder or autoencoder none before has: variants that share both are measured once."""
    first: dict[tuple[bytes, int], str] = {}
    for name, model in models.items():
        states = (model.part("vocoder").state_dict(), model.autoencoder.state_dict())
        digest = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for one in states for value in one.values()))
        first.setdefault((digest.digest(), model.config.griffin_lim_iterations), name)
    return {name: models[name] for name in first.values()}


def resynthesise(model: Model, wave: Tensor) -> dict[str, Tensor]:
    """Return the sounds [S] by method that are made of the mel of a wave [S]."""
    mel = log_mel(wave, model.config.mel)
    mels = {VOCODER: mel, AUTOENCODER: model.decode(model.encode_mel(mel)[0])}
    griffin_lim = GriffinLim(model.config.mel)
    ours = {method: model.vocode(one) for method, one in mels.items()}
    return ours | {RIVALS[method]: vocode(griffin_lim, one[None], model.clock.hop)[0] for method, one in mels.items()}


def world_sounds(model: Model, most: int) -> list[Tensor]:
    """Return the reference sounds of the first `most` clips of SPLIT that are not silent."""
    clips = (world.clip(SPLIT, index, model.clock, picture=False) for index in count())
    return [torch.from_numpy(reference_wave(clip)) for clip in islice((clip for clip in clips if clip.kinds), most)]


def recorded_sounds(model: Model, folder: Path, most: int) -> list[Tensor]:
    """Read at most `most` of the recordings of SPLIT in a folder (`sounds.recorded`), evenly spread, LONGEST at most.

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
