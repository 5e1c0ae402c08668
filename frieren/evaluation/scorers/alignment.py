"""Do video and sound belong together? The classifier that comes with the package, and Diff-Foley's.

Both give acceptance rates: all pairs are positive ones, so that a classifier that accepts everything would give 100 %.
That is why the report has the rates for reference sounds, for circularly shifted ones, and for mismatched ones as well.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from frieren import weights
from frieren.arrays import read_features
from frieren.catalogue import SHIPPED
from frieren.catalogue import load as load_model
from frieren.errors import WeightsError
from frieren.evaluation.scorers.extractors import load_network
from frieren.evaluation.scorers.scorer import Better
from frieren.evaluation.scorers.spectra import PICTURE, Padding, picture_mel
from frieren.formats import ARRAYS, has_suffix
from frieren.nets.scorers.alignment import AlignmentClassifier
from frieren.nets.scorers.latent_alignment import LatentAlignment
from frieren.official.fetch import is_fetched
from frieren.pipeline import Model
from frieren.spectrogram import MelConfig, log_mel
from frieren.video import read_frames, stream_frames
from frieren.weights import part_fingerprint
from frieren.windows import unfold, window_starts

WORLD = SHIPPED / "scorers" / "alignment"
ENCODER = "frieren"  # the published model whose encoder, CAVP, Diff-Foley's classifier was trained on


class WorldAlignment:
    """The classifier trained on FoleyWorld, on the fewest windows of 5.12 s that cover a clip; one score for all.

    Each window is as long as in training, where a threshold of one half was learned. It shares nothing with the
    encoder that models are conditioned on.

    Raises:
        WeightsError: if the weights are not what they should be.
    """

    name = "world-alignment"
    better: Better = "higher"
    share = True

    def __init__(self, folder: Path = WORLD) -> None:
        self.network = weights.load_network(folder, AlignmentClassifier)
        self.digest = part_fingerprint(folder)
        self.mel = MelConfig(bins=self.network.config.bins)
        self.sample_rate = self.mel.sample_rate

    @property
    def shortest(self) -> float:
        """Seconds that a sound must have."""
        return self.network.config.frames / self.network.config.fps

    def segments(self, seconds: float) -> tuple[list[int], int]:
        """Return the first frames and the length of the segments of a clip that are encoded at once."""
        frames = int(seconds * self.network.config.fps + 1e-6)
        length = min(self.network.config.segment, frames)
        return window_starts(frames, length, 0)[0], length

    def windows(self, vectors: Tensor) -> Tensor:
        """Return windows [W, F, E] that cover segments of vectors [B, T, E]."""
        starts, _ = window_starts(vectors.shape[1], self.network.config.frames, 0)
        return torch.cat([self.network.cut(vectors, torch.full((len(vectors),), start)) for start in starts])

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """The first `seconds` of a video -> [W, F, E]."""
        config = self.network.config
        blocks: list[Tensor] = []
        for block in stream_frames(path, config.fps, config.image_size):
            blocks.append(block.images)
            if sum(map(len, blocks)) >= seconds * config.fps:
                break
        return self.encode_frames(torch.cat(blocks), seconds)

    def encode_frames(self, images: Tensor, seconds: float) -> Tensor:
        """Frames [F, 3, H, W] in 0..1 -> [W, F, E]; the last one stays where `seconds` are longer."""
        starts, length = self.segments(seconds)
        missing = max(0, starts[-1] + length - len(images))
        images = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
        # One after the other: a long video's segments together would take gigabytes.
        vectors = [self.network.encode_video(images[None, start : start + length]) for start in starts]
        return self.windows(torch.cat(vectors))

    def encode_sound(self, wave: Tensor) -> Tensor:
        """wave [S], at least `shortest` seconds -> [W, F, E]."""
        config, (starts, length) = self.network.config, self.segments(len(wave) / self.sample_rate)
        columns = config.mel_rate / config.fps  # per frame
        places = [round(start * columns) for start in starts]
        mels = unfold(log_mel(wave, self.mel)[None], places, round(length * columns))[0]
        return self.windows(self.network.encode_sound(mels, length))

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """The probability [1] that they belong together: of the mean logit of the windows."""
        logits = self.network.compare(self.network.similarities(video, sound))
        return torch.sigmoid(logits.mean(dim=0, keepdim=True))


class DiffFoleyAlignment:
    """Diff-Foley's classifier on the first 8 s, the paper's alignment accuracy.

    It takes CAVP features, on which the paper's models are conditioned, and so flatters them. The latent is the mean of
    its posterior, where the authors draw it.

    Args:
        folder: of the converted weights; by default where `frieren weights fetch alignment` puts them.
        padding: of the spectrogram, see `spectra.picture_mel`.

    Raises:
        WeightsError: if the weights are not here.
    """

    name = "alignment"
    better: Better = "higher"
    share = True
    sample_rate = PICTURE.sample_rate
    shortest = 8.0

    def __init__(self, folder: Path | None = None, *, padding: Padding = "reflect") -> None:
        self.network, self.digest = load_network("alignment", LatentAlignment, folder)
        self.padding: Padding = padding

    @cached_property
    def model(self) -> Model:
        """The published model, of which only the encoder is used."""
        if not is_fetched(ENCODER):
            raise WeightsError(
                "Diff-Foley's classifier takes CAVP features of videos, and CAVP is not here; fetch it with: "
                f"frieren weights fetch {ENCODER}; or give a folder of CAVP features (.npz) as --videos"
            )
        return load_model(ENCODER)

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """A video, or its CAVP features in .npy or .npz -> [32, 512]. `seconds` change nothing.

        Raises:
            ValueError: if there are fewer features.
        """
        if has_suffix(path, ARRAYS):
            features = read_features(path, self.network.config.features)
        else:
            features = self.model.encode(read_frames(path, self.model.clock, self.model.image_size))
        frames = self.network.config.frames
        if len(features) < frames:
            raise ValueError(f"{path}: {len(features)} CAVP features, expected {frames} or more: 8 s of video")
        return features[:frames]

    def encode_sound(self, wave: Tensor) -> Tensor:
        """wave [S] -> its scaled latent [4, 16, 64]; a sound shorter than 8.2 s is followed by silence."""
        mel = picture_mel(wave, padding=self.padding)[:, : self.network.config.columns]
        mean, _ = self.network.encode(mel[None])
        return self.network.config.scale * mean[0]

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """The probability [1] that they belong together."""
        return torch.sigmoid(self.network(sound[None], video[None])).reshape(1)
