"""What scores are computed of: a wave as embeddings and logits, and how probable it is that it fits a video.

`load` gives an extractor by name: `panns` and `vggish` are published (`frieren weights fetch panns`), `world` is the
small tagger that ships with the package. `load_alignment` gives Diff-Foley's alignment classifier. Every one says
through which weights it hears: `digest`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.catalogue import SHIPPED
from frieren.errors import WeightsError
from frieren.evaluation.scorers.spectra import PICTURE, RATE, Padding, picture_mel, vggish_patches
from frieren.nets.latent_alignment import LatentAlignment
from frieren.nets.panns import Cnn14
from frieren.nets.tagger import Tagger
from frieren.nets.vggish import Vggish
from frieren.official import scorers as judges
from frieren.spectrogram import MelConfig, log_mel
from frieren.weights import load_part, part_fingerprint


class Extractor(Protocol):
    """A wave as numbers that sets of sounds are compared by.

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
    """One embedding per sound and a logit for each kind of FoleyWorld, by a small tagger that has heard nothing else.

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


class AlignmentJudge:
    """Diff-Foley's verdict on a sound and the CAVP features of a video.

    The paper's alignment accuracy is the share of files with a probability above one half: a rate of yes, since all of
    the pairs are true ones.

    Args:
        network: the published classifier.
        digest: SHA-256 of sizes and weights.
        padding: of the spectrogram, see `spectra.picture_mel`.
        noise: draws the latent from its posterior, as the authors do; None takes the mean, which is always the same.
    """

    name = "alignment"
    sample_rate = PICTURE.sample_rate

    def __init__(
        self,
        network: LatentAlignment,
        digest: str,
        *,
        padding: Padding = "reflect",
        noise: torch.Generator | None = None,
    ) -> None:
        self.network, self.digest, self.padding, self.noise = network, digest, padding, noise

    @torch.inference_mode()
    def __call__(self, wave: Tensor, features: Tensor) -> float:
        """The probability that they belong together, 0..1.

        Args:
            wave: [S] in -1..1, from the instant of the first feature on; 8.192 s of it are heard.
            features: [F, D] of length 1, 4 per second; the first 32 are seen.

        Raises:
            ValueError: if there are fewer features, or of another width than the classifier knows.
        """
        config = self.network.config
        if features.ndim != 2 or len(features) < config.frames or features.shape[1] != config.features:
            raise ValueError(
                f"features must be [{config.frames} or more, {config.features}], got {list(features.shape)}: "
                "encode 8 s or more of video with the published CAVP"
            )
        latent = self.latent(picture_mel(wave, padding=self.padding)[:, : config.columns])
        return torch.sigmoid(self.network(latent[None], features[None, : config.frames])).item()

    @torch.inference_mode()
    def latent(self, mel: Tensor) -> Tensor:
        """mel [128, 512] in 0..1 -> scaled latent [4, 16, 64]."""
        latent, logvar = self.network.encode(mel[None])
        if self.noise is not None:
            latent = latent + torch.exp(logvar / 2) * torch.randn(latent.shape, generator=self.noise)
        return self.network.config.scale * latent[0]


EXTRACTORS = {
    "panns": (Cnn14, PannsExtractor),
    "vggish": (Vggish, VggishExtractor),
    "world": (Tagger, WorldExtractor),
}


def load(name: str, folder: Path | None = None) -> Extractor:
    """An extractor by name.

    Args:
        name: "panns", "vggish" or "world".
        folder: of its weights; by default where `frieren weights fetch` puts them, or what ships with the package.

    Raises:
        WeightsError: if the name is unknown, or the weights are missing or not what they should be.
    """
    if name not in EXTRACTORS:
        raise WeightsError(f"{name}: no such extractor; choose one of {', '.join(EXTRACTORS)}")
    network, extractor = EXTRACTORS[name]
    return extractor(*opened(name, network, folder))


def load_alignment(
    folder: Path | None = None, *, padding: Padding = "reflect", noise: torch.Generator | None = None
) -> AlignmentJudge:
    """Diff-Foley's alignment classifier; `folder` as in `load`, the options as in `AlignmentJudge`.

    Raises:
        WeightsError: if the weights are missing or not what they should be.
    """
    return AlignmentJudge(*opened("alignment", LatentAlignment, folder), padding=padding, noise=noise)


def opened(name: str, kind: type[nn.Module], folder: Path | None) -> tuple[nn.Module, str]:
    """The network of that kind in a folder, and its digest.

    Raises:
        WeightsError: if it is not there, saying where it comes from; or if another network is.
    """
    folder = folder or (judges.place(name) if name in judges.REFERENCE_MODELS else SHIPPED / "judges" / "tagger")
    if not (folder / "config.json").exists():
        if name in judges.REFERENCE_MODELS:
            remedy = f"fetch them with: frieren weights fetch {name}"
        else:
            remedy = "install the package again, or train them with: frieren train recipes/mini/tagger.toml"
        raise WeightsError(f"{folder}: the weights of {name} are not here; {remedy}")
    network = load_part(folder)
    if not isinstance(network, kind):
        raise WeightsError(
            f"{folder}: holds a {type(network).__name__}, expected a {kind.__name__}; give the folder of {name}"
        )
    return network, part_fingerprint(folder)
