"""Does a sound fit its caption? The cosine of both by a CLAP model of the user's, through the package transformers.

The model is a folder as transformers keeps it: `config.json`, `model.safetensors`, and the files of the tokenizer and
of the feature extractor. Nothing is downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from frieren.errors import WeightsError
from frieren.evaluation.scorers.captions import caption
from frieren.evaluation.scorers.scorer import cosine
from frieren.official.scorers import place
from frieren.weights import part_fingerprint

FOLDER = "FRIEREN_CLAP"  # the variable that names the model's folder


class CaptionAgreement:
    """The cosine of a caption's and a sound's embedding, which is all that it says: the video is not looked at.

    The feature extractor is the model's own, so that a sound shorter than its 10 s is repeated. Of a longer one the
    beginning is heard, where LAION's tool takes a random part.

    Raises:
        WeightsError: if transformers is not installed, or the model is not there or not what it should be.
    """

    name = "clap"
    better, share, shortest = "higher", False, 0.0

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
            self.network, told = ClapModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self.words = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.ears = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{folder}: cannot be loaded as a CLAP model ({error})") from error
        if wrong := sorted(set(told["missing_keys"]) | set(told["unexpected_keys"])):
            raise WeightsError(f"{folder}: {len(wrong)} parameters missing or too many, such as {wrong[0]}")
        self.network.eval().requires_grad_(False)
        self.digest, self.sample_rate = part_fingerprint(folder), self.ears.sampling_rate

    def about(self, path: Path) -> str:
        """All that it knows of a video: its caption."""
        return caption(path)

    def see(self, path: Path, seconds: float) -> dict[str, Tensor]:
        """A video -> "seen" [1, D] of its caption. `seconds` change nothing."""
        words = self.words([caption(path)], return_tensors="pt", truncation=True)
        return {"seen": self.network.get_text_features(**words).pooler_output}

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] in -1..1 -> "heard" [1, D]."""
        wave = wave[: self.ears.nb_max_samples].numpy()
        heard = self.ears(wave, sampling_rate=self.sample_rate, return_tensors="pt")
        return {"heard": self.network.get_audio_features(**heard).pooler_output}

    def judge(self, seen: dict[str, Tensor], heard: dict[str, Tensor]) -> Tensor:
        """The cosine [1]."""
        return torch.from_numpy(cosine(seen["seen"].numpy(), heard["heard"].numpy()))
