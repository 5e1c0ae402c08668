"""Networks that turn a wave into embeddings and logits, by which sets of sounds are compared.

`load` gives an extractor by name: `panns` and `vggish` are published (`frieren weights fetch panns`), `world` is the
small tagger that ships with the package. `digest` tells which weights it has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.catalogue import SHIPPED
from frieren.errors import WeightsError
from frieren.evaluation.scorers.spectra import RATE, vggish_patches
from frieren.nets.scorers.panns import Cnn14
from frieren.nets.scorers.tagger import Tagger
from frieren.nets.scorers.vggish import Vggish
from frieren.official import scorers as published
from frieren.spectrogram import MelConfig, log_mel
from frieren.weights import load_part, part_fingerprint

Network = TypeVar("Network", bound=nn.Module)


class Extractor(Protocol):
    """A wave as numbers by which sets of sounds are compared.

    Attributes:
        name: "panns", "vggish" or "world"; scores are named after it.
        digest: SHA-256 of sizes and weights.
        sample_rate: that the wave has to have.
    """

    name: str
    digest: str
    sample_rate: int

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] in -1..1 -> "embedding" [R, D], one row per sound or per patch; "logits" [K] if there are classes.

        Raises:
            ValueError: if the wave is too short, saying how long it has to be.
        """
        ...


class PannsExtractor:
    """One embedding of 2048 numbers per sound, and 527 logits."""

    name = "panns"

    def __init__(self, network: Cnn14, digest: str) -> None:
        self.network, self.digest, self.sample_rate = network, digest, network.config.sample_rate

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        embedding, logits = self.network(wave[None])
        return {"embedding": embedding, "logits": logits[0]}


class VggishExtractor:
    """One embedding of 128 numbers per 0.96 s; no classes."""

    name = "vggish"
    sample_rate = RATE

    def __init__(self, network: Vggish, digest: str) -> None:
        self.network, self.digest = network, digest

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.network(vggish_patches(wave))}


class WorldExtractor:
    """One embedding per sound and a logit for each kind of FoleyWorld, by a small tagger trained on nothing else.

    A wave too short for the tagger is followed by silence.
    """

    name = "world"

    def __init__(self, network: Tagger, digest: str) -> None:
        self.network, self.digest = network, digest
        self.mel = MelConfig(bins=network.config.bins)
        self.sample_rate = self.mel.sample_rate

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        shortest = 2 ** len(self.network.config.widths) * self.mel.hop
        mel = log_mel(F.pad(wave, (0, max(0, shortest - len(wave)))), self.mel)
        embedding = self.network.embed(mel[None])
        return {"embedding": embedding, "logits": self.network.classify(embedding)[0]}


EXTRACTORS: dict[str, Callable[[Path | None], Extractor]] = {
    "panns": lambda folder: PannsExtractor(*load_network("panns", Cnn14, folder)),
    "vggish": lambda folder: VggishExtractor(*load_network("vggish", Vggish, folder)),
    "world": lambda folder: load_world(folder),
}


def load(name: str, folder: Path | None = None) -> Extractor:
    """Load an extractor by name.

    Args:
        name: "panns", "vggish" or "world".
        folder: of its weights; by default where `frieren weights fetch` puts them, or what ships with the package.

    Raises:
        WeightsError: if the name is unknown, or the weights are missing or not what they should be.
    """
    if name not in EXTRACTORS:
        raise WeightsError(f"{name}: no such extractor; choose one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name](folder)


def load_world(folder: Path | None = None) -> WorldExtractor:
    """Load FoleyWorld's tagger; raises as `load` does."""
    return WorldExtractor(*load_network("world", Tagger, folder))


def load_network(name: str, kind: type[Network], folder: Path | None) -> tuple[Network, str]:
    """Load the network of that class from a folder; return it and its digest.

    Raises:
        WeightsError: if it is not there, saying where it comes from; or if another network is.
    """
    folder = folder or (published.place(name) if name in published.REFERENCE_MODELS else SHIPPED / "scorers" / "tagger")
    if not (folder / "config.json").exists():
        if name in published.REFERENCE_MODELS:
            remedy = f"fetch them with: frieren weights fetch {name}"
        else:
            remedy = "install the package again, or train them with: frieren train recipes/foleyworld/tagger.toml"
        raise WeightsError(f"{folder}: the weights of {name} are not here; {remedy}")
    network = load_part(folder)
    if not isinstance(network, kind):
        raise WeightsError(
            f"{folder}: holds a {type(network).__name__}, expected a {kind.__name__}; give the folder of {name}"
        )
    return network, part_fingerprint(folder)
