"""The vector field: rectified flow on latents, conditioned on features, both computed once with the frozen parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren import mel
from frieren.flow import flow_loss, interpolate
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.cavp import VideoTower
from frieren.nets.field import VectorField, column_frames
from frieren.training.data import Clips
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.weights import save_part


@torch.inference_mode()
def encode_clips(clips: Clips, tower: VideoTower, mirror: bool) -> Tensor:
    """Features [N, F, D] float32 of all clips, as they are or mirrored."""
    rows = []
    for images in clips.images:
        frames = torch.from_numpy(images.astype("float32") / 255)
        rows.append(tower((frames.flip(-1) if mirror else frames)[None])[0])
    return torch.stack(rows)


@torch.inference_mode()
def encode_mels(clips: Clips, autoencoder: MelAutoencoder) -> tuple[Tensor, Tensor]:
    """Posterior mean and log-variance [N, C, L] of all clips, in units of the flow's latent."""
    pairs = [mel.encode(autoencoder, torch.from_numpy(row.astype("float32"))[None]) for row in clips.mels]
    means, log_variances = zip(*pairs, strict=True)
    return torch.cat(means), torch.cat(log_variances)


class FieldTask:
    """Random windows of clips and the flow loss."""

    def __init__(
        self, recipe: Recipe, train: Clips, valid: Clips, tower: VideoTower, autoencoder: MelAutoencoder
    ) -> None:
        self.recipe, self.clock = recipe, recipe.shared.clock
        self.network = VectorField(recipe.network)
        self.players = {"field": Player(self.network, self.losses)}
        self.views = [encode_clips(train, tower, mirror) for mirror in (False, True)]
        self.latents = encode_mels(train, autoencoder)
        self.valid = (encode_clips(valid, tower, False), *encode_mels(valid, autoencoder))

    def window(self, features: Tensor, mean: Tensor, log_variance: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """One window from latent column `start`: features [F, D], a latent sample [C, W], frame index [W]."""
        end = start + self.clock.window
        times = torch.tensor(self.clock.frame_times(len(features)), dtype=torch.float64)
        index = column_frames(times, torch.tensor(self.clock.column_times(end)[start:], dtype=torch.float64))
        mean, log_variance = mean[:, start:end], log_variance[:, start:end]
        return features, mean + torch.exp(log_variance / 2) * torch.randn_like(mean), index

    def batch(self, step: int) -> dict[str, Tensor]:
        means, log_variances = self.latents
        count = self.recipe.optim.batch
        chosen = torch.randint(len(means), (count,)).tolist()
        starts = torch.randint(means.shape[-1] - self.clock.window + 1, (count,)).tolist()
        views = torch.randint(len(self.views), (count,)).tolist()
        items = [
            self.window(self.views[view][clip], means[clip], log_variances[clip], start)
            for clip, start, view in zip(chosen, starts, views, strict=True)
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
            items = [self.window(*row, start=index % 50) for index, row in enumerate(rows)]
            stacked = (torch.stack(column) for column in zip(*items, strict=True))
            scores[name] = self.losses(self.noised(*stacked), 0)["total"].item()
        torch.set_rng_state(state)
        return scores

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)
