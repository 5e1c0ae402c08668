"""Do video and sound mean the same? Their cosine by ImageBind, through the user's own copy of it.

Code and weights are under CC-BY-NC-SA-4.0: the package `imagebind` is installed from its source by who may use it, and
`imagebind_huge.pth` is where FRIEREN_IMAGEBIND says, or in the cache. The inputs are prepared here, as
av-benchmark does: two frames at a time, 2 s apart, in three square crops; three pieces of 2 s of the sound.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.errors import WeightsError
from frieren.evaluation.scorers.scorer import Better
from frieren.evaluation.scorers.spectra import RATE, imagebind_fbank
from frieren.official.checkpoint import read_checkpoint
from frieren.official.convert import provenance
from frieren.official.scorers import place
from frieren.video import stream_frames

FILE = "FRIEREN_IMAGEBIND"  # the variable that names the file of the weights
FPS, SIZE = 0.5, 224  # frames per second; height and width of a square
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's images
PIECES, PIECE = 3, 2 * RATE  # pieces of the sound, samples in each


class MeaningAgreement:
    """ImageBind's cosine of a video and a sound.

    The mean of all channels is used; av-benchmark uses the first, and the whole file where this stops with the
    generated sound.

    Args:
        network: takes {"vision": [1, N, 3, 2, H, W]} or {"audio": [1, N, 1, 128, 204]}; gives [1, D] by the same name.
        digest: SHA-256 of its weights.
    """

    name = "imagebind"
    better: Better = "higher"
    share = False
    sample_rate = RATE
    shortest = 2 / FPS

    def __init__(self, network: nn.Module, digest: str) -> None:
        self.network, self.digest = network, digest

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """The first `seconds` of a video -> [1, D]."""
        count = int(seconds * FPS + 1e-6)
        images = torch.cat([block.images for block in stream_frames(path, FPS, SIZE, published=True, fit="whole")])
        images = torch.cat([images[:count], images[-1:].expand(max(0, count - len(images)), -1, -1, -1)])
        images = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
        pairs = [square[start : start + 2] for start in range(count - 1) for square in squares(images)]
        return self.network({"vision": torch.stack(pairs).transpose(1, 2)[None]})["vision"]

    def encode_sound(self, wave: Tensor) -> Tensor:
        """wave [S] of `shortest` seconds or more -> [1, D]."""
        starts = [index * (len(wave) - PIECE) // (PIECES - 1) for index in range(PIECES)]
        pieces = torch.stack([imagebind_fbank(wave[start : start + PIECE]) for start in starts])
        return self.network({"audio": pieces[None, :, None]})["audio"]

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """Cosines [N] of embeddings [N, D], in float64."""
        return F.cosine_similarity(video.double(), sound.double())


def squares(images: Tensor) -> list[Tensor]:
    """Images [F, 3, H, W] -> three squares [F, 3, S, S] of the shorter side S: at either end of the longer, between."""
    height, width = images.shape[-2:]
    size, spare = min(height, width), abs(height - width)
    axis = -2 if height > width else -1
    return [images.narrow(axis, start, size) for start in (0, (spare + 1) // 2, spare)]


def load() -> MeaningAgreement:
    """ImageBind from the user's package and file.

    Raises:
        WeightsError: if one of them is not here, or the file is not what it should be.
    """
    try:
        from imagebind.models.imagebind_model import imagebind_huge
    except (ImportError, OSError, RuntimeError) as error:  # the last two: torchvision or torchaudio of another torch
        raise WeightsError(
            f"imagebind needs the package imagebind ({error}), whose licence is CC-BY-NC-SA-4.0; if you may use it, "
            "install it from source: github.com/facebookresearch/ImageBind"
        ) from error
    path = Path(os.environ.get(FILE) or place("imagebind") / "imagebind_huge.pth")
    if not path.exists():
        raise WeightsError(
            f"{path}: ImageBind's weights are not here; put imagebind_huge.pth (4.5 GB, CC-BY-NC-SA-4.0) there, "
            f"or name the file: {FILE}=FILE"
        )
    state, network = read_checkpoint(path), imagebind_huge(pretrained=False)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path}: not ImageBind's weights ({' '.join(str(error).split())[:200]})") from error
    return MeaningAgreement(network.eval().requires_grad_(False), provenance(path)["sha256"])
