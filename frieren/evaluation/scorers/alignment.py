"""Do picture and sound belong together? The classifier that comes with the package, and Diff-Foley's.

Both are shares of yes: all pairs are true ones, so that a classifier that always says yes would give 100 %. That is why
they stand beside the shares for true sounds, true sounds rolled around, and the true sounds of other videos.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from frieren import video
from frieren.arrays import read_features
from frieren.catalogue import SHIPPED
from frieren.catalogue import load as load_model
from frieren.errors import WeightsError
from frieren.evaluation.scorers.extractors import AlignmentJudge, load_alignment
from frieren.evaluation.scorers.spectra import picture_mel
from frieren.formats import ARRAYS, has_suffix
from frieren.nets.alignment import AlignmentClassifier
from frieren.official.fetch import is_fetched
from frieren.pipeline import Model
from frieren.spectrogram import MelConfig, log_mel
from frieren.weights import load_part, part_fingerprint
from frieren.windows import unfold, window_starts

WORLD = SHIPPED / "judges" / "alignment"
ENCODER = "frieren"  # the published model whose encoder, CAVP, Diff-Foley's classifier looks through


class WorldAlignment:
    """The classifier trained on FoleyWorld, on the fewest windows of 5.12 s that cover a clip; one verdict for all.

    Each window is as long as in training, where a threshold of one half was learned. It shares nothing with the
    encoder that models are conditioned on.

    Raises:
        WeightsError: if the weights are not what they should be.
    """

    name = "world-alignment"
    better, share = "higher", True

    def __init__(self, folder: Path = WORLD) -> None:
        self.network: AlignmentClassifier = load_part(folder)
        self.digest = part_fingerprint(folder)
        self.mel = MelConfig(bins=self.network.config.bins)
        self.sample_rate = self.mel.sample_rate

    @property
    def shortest(self) -> float:
        """Seconds that a sound must have."""
        return self.network.config.frames / self.network.config.fps

    def stretches(self, seconds: float) -> tuple[list[int], int]:
        """First frames and length of the stretches of a clip of this length that are seen and heard at once."""
        frames = int(seconds * self.network.config.fps + 1e-6)
        length = min(self.network.config.segment, frames)
        return window_starts(frames, length, 0)[0], length

    def windows(self, vectors: Tensor) -> Tensor:
        """Windows [W, F, E] that cover stretches of vectors [B, T, E]."""
        starts, _ = window_starts(vectors.shape[1], self.network.config.frames, 0)
        return torch.cat([self.network.cut(vectors, torch.full((len(vectors),), start)) for start in starts])

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """The first `seconds` of a video -> "seen" [W, F, E]."""
        config, blocks = self.network.config, []
        for block in video.stream_frames(path, config.fps, config.image_size):
            blocks.append(block.images)
            if sum(map(len, blocks)) >= seconds * config.fps:
                break
        return self.look(torch.cat(blocks), seconds)

    def look(self, images: Tensor, seconds: float) -> dict[str, Tensor]:
        """Frames [F, 3, H, W] in 0..1 -> "seen" [W, F, E]; the last one stays where `seconds` go on."""
        starts, length = self.stretches(seconds)
        missing = max(0, starts[-1] + length - len(images))
        images = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
        # One after the other: a long video's stretches together would take gigabytes.
        seen = [self.network.see(images[None, start : start + length]) for start in starts]
        return {"seen": self.windows(torch.cat(seen))}

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S], at least `shortest` seconds -> "heard" [W, F, E]."""
        config, (starts, length) = self.network.config, self.stretches(len(wave) / self.sample_rate)
        columns = config.mel_rate / config.fps  # per frame
        places = [round(start * columns) for start in starts]
        mels = unfold(log_mel(wave, self.mel)[None], places, round(length * columns))[0]
        return {"heard": self.windows(self.network.hear(mels, length))}

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """The probability [1] that they belong together: of the mean logit of the windows."""
        logits = self.network.compare(self.network.similarities(seen["seen"], heard["heard"]))
        return torch.sigmoid(logits.mean(dim=0, keepdim=True))


class DiffFoleyAlignment:
    """Diff-Foley's classifier on the first 8 s, the paper's alignment accuracy.

    It looks through CAVP, on which the paper's models are conditioned, and so flatters them.

    Raises:
        WeightsError: if the weights are not here.
    """

    name = "alignment"
    better, share = "higher", True

    def __init__(self, classifier: AlignmentJudge | None = None) -> None:
        self.classifier = load_alignment() if classifier is None else classifier
        self.config = self.classifier.network.config
        self.digest, self.sample_rate = self.classifier.digest, self.classifier.sample_rate
        self.shortest = 8.0

    @cached_property
    def model(self) -> Model:
        """The published model, of which only the encoder is used."""
        if not is_fetched(ENCODER):
            raise WeightsError(
                "Diff-Foley's classifier looks at videos through CAVP, which is not here; fetch it with: "
                f"frieren weights fetch {ENCODER}; or give a folder of CAVP features (.npz) as --videos"
            )
        return load_model(ENCODER)

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """A video, or its CAVP features in .npy or .npz -> "seen" [32, 512]. `seconds` change nothing."""
        if has_suffix(path, ARRAYS):
            features = read_features(path, self.config.features)
        else:
            features = self.model.encode(video.read_frames(path, self.model.clock, self.model.image_size))
        return {"seen": features[: self.config.frames]}

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "heard": its latent; a sound shorter than 8.2 s is followed by silence."""
        mel = picture_mel(wave, padding=self.classifier.padding)[:, : self.config.columns]
        return {"heard": self.classifier.latent(mel)}

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """The probability [1] that they belong together."""
        logit = self.classifier.network(heard["heard"][None], seen["seen"][None])
        return torch.sigmoid(logit).reshape(1)
