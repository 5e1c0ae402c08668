"""Does a sound fit its caption? The cosine of both by a CLAP model of the user's, through the package transformers.

The model is a folder as transformers keeps it: `config.json`, `model.safetensors`, and the files of the tokenizer and
of the feature extractor. Nothing is downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from frieren.errors import WeightsError
from frieren.evaluation.scorers.captions import caption
from frieren.evaluation.scorers.scorer import Better
from frieren.official.scorers import place
from frieren.weights import part_fingerprint

FOLDER = "FRIEREN_CLAP"  # the variable that names the model's folder


class CaptionAgreement:
    """The cosine of a caption's and a sound's embedding, and nothing else: the frames are not used.

    The feature extractor is the model's own, so that a sound shorter than its 10 s is repeated. Of a longer one the
    beginning is used, where LAION's tool takes a random part.

    Raises:
        WeightsError: if transformers is not installed, or the model is not there or not what it should be.
    """

    name = "clap"
    better: Better = "higher"
    share, shortest = False, 0.0

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(os.environ.get(FOLDER) or place("clap"))
        try:
            from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel
        except ImportError as error:
            raise WeightsError(
                f"clap needs transformers ({error}); install it with: pip install frieren[clap]"
            ) from error
        if not (folder / "config.json").exists():
            raise WeightsError(
                f"{folder}: no CLAP model is here; put one there in the format of transformers, such as a copy of "
                f"laion/clap-htsat-unfused from the Hugging Face Hub, or name its folder: {FOLDER}=FOLDER"
            )
        try:
            # Safetensors alone: a pickle could run code.
            self.network, loading_info = ClapModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.feature_extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{folder}: cannot be loaded as a CLAP model ({error})") from error
        if wrong := sorted(set(loading_info["missing_keys"]) | set(loading_info["unexpected_keys"])):
            raise WeightsError(f"{folder}: {len(wrong)} parameters missing or unexpected, such as {wrong[0]}")
        self.network.eval().requires_grad_(False)
        self.digest, self.sample_rate = part_fingerprint(folder), self.feature_extractor.sampling_rate

    def video_key(self, path: Path) -> str:
        """Return a video's caption: all that `encode_video` depends on."""
        return caption(path)

    def encode_video(self, path: Path, seconds: float) -> Tensor:
        """A video -> [1, D] of its caption. `seconds` change nothing."""
        tokens = self.tokenizer([caption(path)], return_tensors="pt", truncation=True)
        return self.network.get_text_features(**tokens).pooler_output

    def encode_sound(self, wave: Tensor) -> Tensor:
        """wave [S] in -1..1 -> [1, D]."""
        samples = wave[: self.feature_extractor.nb_max_samples].numpy()
        inputs = self.feature_extractor(samples, sampling_rate=self.sample_rate, return_tensors="pt")
        return self.network.get_audio_features(**inputs).pooler_output

    def score(self, video: Tensor, sound: Tensor) -> Tensor:
        """Cosines [N] of embeddings [N, D], in float64."""
        return F.cosine_similarity(video.double(), sound.double())
