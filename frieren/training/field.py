"""The vector field: rectified flow on latents, conditioned on features, both computed once with the frozen parts."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from frieren import features as seeing
from frieren import mel
from frieren.flow import flow_loss, interpolate
from frieren.latent import window_frames
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.cavp import VideoTower
from frieren.nets.field import VectorField
from frieren.training.data import Clips
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.weights import save_part


def encode_clips(clips: Clips, tower: VideoTower, cache: Path) -> Tensor:
    """Features [N, F, D] of all clips, kept in `cache` so that a resumed run does not encode them again."""
    state = tower.state_dict()
    key = zlib.crc32(b"".join(state[name].numpy().tobytes() for name in sorted(state)))
    path = cache / f"features-{key:08x}-{clips.name}.safetensors"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        images = (torch.from_numpy(item / np.float32(255))[None] for item in clips.images)
        rows = [torch.cat(list(seeing.encode(tower, [item])), dim=1)[0] for item in images]
        save_file({"features": torch.stack(rows)}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    return load_file(path)["features"]


@torch.inference_mode()
def encode_mels(clips: Clips, autoencoder: MelAutoencoder) -> tuple[Tensor, Tensor]:
    """Posterior mean and log-variance [N, C, L] of all clips, in units of the flow's latent."""
    pairs = [mel.encode(autoencoder, torch.from_numpy(row.astype("float32"))[None]) for row in clips.mels]
    means, log_variances = zip(*pairs, strict=True)
    return torch.cat(means), torch.cat(log_variances)


class FieldTask:
    """Random windows of clips and the flow loss."""

    def __init__(
        self, recipe: Recipe, train: Clips, valid: Clips, tower: VideoTower, autoencoder: MelAutoencoder, cache: Path
    ) -> None:
        self.recipe, self.clock = recipe, recipe.shared.clock
        self.network = VectorField(recipe.network)
        self.players = {"field": Player(self.network, self.losses)}
        self.features = encode_clips(train, tower, cache)
        self.latents = encode_mels(train, autoencoder)
        self.valid = (encode_clips(valid, tower, cache), *encode_mels(valid, autoencoder))

    def window(self, features: Tensor, mean: Tensor, log_variance: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """One window from latent column `start`: features [F, D], a latent sample [C, W], frame index [W]."""
        times = torch.tensor(self.clock.frame_times(len(features)), dtype=torch.float64)
        index = window_frames(self.network, times, [start], self.clock.window, self.clock)[0]
        mean, log_variance = (x[:, start : start + self.clock.window] for x in (mean, log_variance))
        return features, mean + torch.exp(log_variance / 2) * torch.randn_like(mean), index

    def batch(self, step: int) -> dict[str, Tensor]:
        means, log_variances = self.latents
        count = self.recipe.optim.batch
        chosen = torch.randint(len(means), (count,)).tolist()
        starts = torch.randint(means.shape[-1] - self.clock.window + 1, (count,)).tolist()
        items = [
            self.window(self.features[clip], means[clip], log_variances[clip], start)
            for clip, start in zip(chosen, starts, strict=True)
        ]
        features, x1, index = (torch.stack(column) for column in zip(*items, strict=True))
        return self.noised(features * (torch.rand(count, 1, 1) >= self.recipe.loss.drop), x1, index)

    @staticmethod
    def noised(features: Tensor, x1: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Adds noise x0 and times t to a batch of latents."""
        return {"features": features, "index": index, "x0": torch.randn_like(x1), "x1": x1, "t": torch.rand(len(x1))}

    def losses(self, batch: Any, step: int) -> Losses:
        condition = self.network.condition(batch["features"], batch["index"])
        x_t = interpolate(batch["x0"], batch["x1"], batch["t"])
        velocity = self.network(x_t, batch["t"], condition)
        return {"total": flow_loss(velocity, batch["x0"], batch["x1"], batch["t"])}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Flow loss on validation clips with fixed noise, with their own features and with those of another clip."""
        state = torch.get_rng_state()
        scores = {}
        for name, shift in (("loss", 0), ("foreign", 1)):
            torch.manual_seed(0)
            features, means, log_variances = self.valid
            rows = zip(features.roll(shift, 0), means, log_variances, strict=True)
            items = [
                self.window(*row, start=index % (means.shape[-1] - self.clock.window + 1))
                for index, row in enumerate(rows)
            ]
            stacked = (torch.stack(column) for column in zip(*items, strict=True))
            scores[name] = self.losses(self.noised(*stacked), 0)["total"].item()
        torch.set_rng_state(state)
        return scores

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)
