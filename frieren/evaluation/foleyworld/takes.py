"""A model's sounds for FoleyWorld's clips of `test`: each is made once, and kept as a file.

    sounds/mini-1f0c9a3b/takes.json    all that the sounds depend on; the end of the folder's name is its digest
    sounds/mini-1f0c9a3b/0007.flac     of clip 7, made with seed 7; 16 bits

Another model, setting or version of the world has another folder, so that no sound is ever stale. A run that is
interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frieren import sounds
from frieren.files import write_json
from frieren.pipeline import Model
from frieren.record import sampling_settings
from frieren.world import SECONDS, WORLD_VERSION, Clip

SPLIT = "test"
DIGITS = 8  # of the digest, in the name of a folder

Render = Callable[[float, int], np.ndarray]  # frames per second, side in pixels -> uint8 images [F, 3, H, W]


def features_of(model: Model, clip: Clip) -> Tensor:
    """Return the model's features [F, D] of a clip's frames, which have the model's rate and size.

    Raises:
        ValueError: if the clip was made without frames.
    """
    if clip.images is None:
        raise ValueError(f"clip {clip.split} {clip.index} was made without frames; make it with picture=True")
    return encode(model, clip.images)


def encode(model: Model, images: np.ndarray) -> Tensor:
    """Return the model's features [F, D] of uint8 frames [F, 3, H, W] at its own rate."""
    return model.encode(torch.from_numpy(images).float() / 255)


def sound_of(
    model: Model,
    features: Tensor,
    seconds: float,
    seed: int,
    steps: int | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """Return the model's sound [S] for features [F, D] of a clip; steps and guidance are its own by default."""
    latent = model.sample(features, seconds=seconds, seed=seed, steps=steps, guidance=guidance)
    return model.vocode(model.decode(latent)).numpy()[: model.clock.samples(seconds)]


class Takes:
    """The sounds of one model at its own steps and guidance; that of clip i has the seed i.

    Attributes:
        settings: what they depend on, ready for JSON.
        folder: where they lie.
    """

    def __init__(self, name: str, model: Model, folder: Path) -> None:
        self.name, self.model = name, model
        self.settings = {
            "model": model.config.name,
            "model_sha256": model.digest,
            **model.sampling_options(),
            **sampling_settings(model),
            "precision": model.precision,
            "seed": "index of the clip",
            "split": SPLIT,
            "world_version": WORLD_VERSION,
        }
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        self.folder = folder / f"{name}-{digest[:DIGITS]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "takes.json", self.settings)

    def sound(self, index: int, render: Render, sample_rate: int) -> Tensor:
        """Return the sound [S] for the clip whose frames `render` gives: from the file, or else generated now.

        Raises:
            OutputError: if the file cannot be written.
            VideoError: if it cannot be read.
        """
        path = self.folder / f"{index:04d}.flac"
        if not path.exists():
            features = encode(self.model, render(self.model.clock.fps, self.model.image_size))
            sounds.write(path, sound_of(self.model, features, SECONDS, index), self.model.clock.sample_rate)
        return torch.from_numpy(sounds.read(path, sample_rate))
