"""The visual encoder: it learns to predict the sound from the frames.

A small head on top of the features predicts the level of each log-mel band and the rise in level (an onset) a few
times per frame. A linear layer predicts, from every single frame, the loudest that each mel bin gets in the whole
clip: the spectrum, pitch included, of what may sound in it. Where clips have labels, another layer classifies the kinds
that sound, from all frames together. What these need, the features must carry. The targets are the sound itself and the
labels; no event list is used. Head and layers are discarded after training.

All constants below are choices of this project, made on FoleyWorld; the paper's encoder is `contrast`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.cavp import CAVPConfig, VideoTower
from frieren.training.data import ClipDataset, TrainingData, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import EncoderLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.tagger import classes_of, target_probabilities
from frieren.weights import save_part

# Rises in log10 units: below the first (3 dB, averaged over a band) steady noise fluctuates; from the second on (6 dB)
# it is certainly an onset.
NOISE_RISE, ONSET_RISE = 0.15, 0.3
# Rough mean and standard deviation of FoleyWorld's log10 levels, which lie between -5 (the mel's floor) and about 0;
# only the balance of the losses depends on them.
LEVEL_MEAN, LEVEL_STD = -3, 1.5
EASY = 1  # highest level of FoleyWorld at which a contact is easily visible


class SoundPredictor(nn.Module):
    """Tower, head and layers: frames -> levels and onsets at `slots` time steps per frame, loudest spectrum, kinds."""

    def __init__(self, recipe: Recipe[CAVPConfig, EncoderLoss], kinds: int) -> None:
        """`kinds`: number of classes, 0 if there is no classification."""
        super().__init__()
        self.tower = VideoTower(recipe.network)
        embed, loss = recipe.network.embed, recipe.loss
        self.head = nn.Sequential(
            nn.Conv1d(embed, loss.head, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(loss.head, loss.head, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(loss.head, loss.slots * (loss.bands + 1), 1),
        )
        self.what = nn.Linear(embed, recipe.shared.mel.bins)
        self.kind = nn.Linear(embed, kinds) if kinds else nn.Identity()
        self.slots, self.scale = loss.slots, embed**0.5
        for module in self.tower.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = loss.momentum

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images [B, F, 3, H, W] in 0..1 -> [B, bands + 1, F * slots], onset logits last; [B, M, F]; [B, kinds]."""
        features = self.tower(images) * self.scale
        predicted = self.head(features.mT)
        predicted = predicted.unflatten(1, (-1, self.slots)).permute(0, 1, 3, 2).flatten(2)
        return predicted, self.what(features).mT, self.kind(features.mean(1))


def onset_strength(levels: Tensor) -> Tensor:
    """Mean rise of the log10 band levels [B, bands, T] over the louder of the two columns before -> [B, 1, T].

    A rise within `NOISE_RISE` does not count: noise has such by itself.
    """
    before = F.pad(levels, (2, 0), mode="replicate")
    rise = levels - torch.maximum(before[..., 1:-1], before[..., :-2])
    return (rise - NOISE_RISE).clamp(min=0).mean(1, keepdim=True)


def targets(mel: Tensor, bands: int, slots: int) -> Tensor:
    """Targets of the head at `slots` time steps: mel [B, M, T] -> [B, bands + 1, slots].

    Levels are normalised (`normalised`). Onsets are relative to the clip's strongest one, so that a soft scene counts
    as much as a loud one; `ONSET_RISE` keeps a silent clip from having onsets.
    """
    levels = mel.unflatten(1, (bands, -1)).mean(2)
    onsets = F.max_pool1d(onset_strength(levels), 3, stride=1, padding=1)  # a column early or late is as good
    onsets = onsets / onsets.amax(dim=2, keepdim=True).clamp(min=ONSET_RISE)
    return F.interpolate(torch.cat([normalised(levels), onsets], dim=1), size=slots, mode="linear")


def normalised(levels: Tensor) -> Tensor:
    """Log10 levels with a mean of about 0 and a standard deviation of about 1."""
    return (levels - LEVEL_MEAN) / LEVEL_STD


def colour(images: Tensor) -> Tensor:
    """Colour jitter, one for each clip: mirror, channel order, brightness, contrast. images [B, F, 3, H, W] in 0..1.

    Channels in another order (3 clips in 10) and a contrast and a brightness of its own for each channel: what a thing
    is made of must be known by more than FoleyWorld's palette. Ranges are chosen so that nothing vanishes.
    """

    def draw(*shape: int) -> Tensor:
        return torch.rand(len(images), *shape, device=images.device)

    clips, channels = torch.arange(len(images), device=images.device), torch.arange(3, device=images.device)
    order = torch.where(draw(1) < 0.3, draw(3).argsort(1), channels)
    images = images[clips[:, None], :, order].transpose(1, 2)
    images = torch.where(draw(1, 1, 1, 1) < 0.5, images.flip(-1), images)
    contrast, brightness = 0.7 + 0.6 * draw(1, 3, 1, 1), 0.3 * (draw(1, 3, 1, 1) - 0.5)
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def framed(images: Tensor) -> Tensor:
    """Random affine view of every second clip, square images [B, F, 3, S, S] in 0..1.

    Rotated by up to 0.15 rad, scaled by 0.8 to 1.2, shifted by at most a tenth of the picture; edges mirrored. About
    what two cameramen differ by: FoleyWorld's own camera hardly moves.
    """

    def draw(least: float, most: float) -> Tensor:
        return least + (most - least) * torch.rand(len(images), device=images.device)

    angle, scale, aside = draw(-0.15, 0.15), draw(0.8, 1.2), (draw(-0.2, 0.2), draw(-0.2, 0.2))
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = (torch.stack([cos, -sin, aside[0]], -1), torch.stack([sin, cos, aside[1]], -1))
    grid = F.affine_grid(torch.stack(rows, 1), [len(images), 3, *images.shape[-2:]], align_corners=False)
    moved = F.grid_sample(images.flatten(1, 2), grid, padding_mode="reflection", align_corners=False)
    return torch.where(draw(0, 1)[:, None, None, None, None] < 0.5, moved.unflatten(1, (-1, 3)), images)


def easy_clips(clips: ClipDataset) -> list[int]:
    """The clips of FoleyWorld's levels 0 and 1.

    Raises:
        RecipeError: there is none.
    """
    easy = [index for index in range(len(clips)) if clips.meta(index).get("level", EASY + 1) <= EASY]
    if not easy:
        raise RecipeError(f"loss.easy: no clip of {clips.data.folder} is of FoleyWorld's levels 0..{EASY}; set it to 0")
    return easy


def r_squared(predicted: Tensor, target: Tensor) -> float:
    """R^2 of predicted [N, C, T]: fraction of the variance of target [N, C, T] around the mean of each channel."""
    variance = (target - target.mean((0, 2), keepdim=True)).square().sum()
    return 1 - ((predicted - target).square().sum() / variance).item()


class EncoderTask(TrainingTask[SoundPredictor]):
    """Crops of clips and the prediction loss."""

    fields = ("images", "mel")

    def __init__(self, recipe: Recipe[CAVPConfig, EncoderLoss], data: TrainingData) -> None:
        data = data.at_least("images", recipe.loss.frames, "lower loss.frames")
        self.recipe, self.train, self.valid = recipe, data.train, data.valid
        self.easy = easy_clips(data.train) if recipe.loss.easy else []
        self.kinds = self.all_kinds() if recipe.loss.kind else {}
        self.network = SoundPredictor(recipe, self.kinds["train"].shape[1] if self.kinds else 0)
        self.trainables = {"encoder": Trainable(self.network, self.losses)}

    def all_kinds(self) -> dict[str, Tensor]:
        """Target probabilities of the kinds in each split's clips, [N, classes].

        Raises:
            RecipeError: a clip has no label.
        """
        labels = {"train": self.train.labels(), "valid": self.valid.labels()}
        classes = classes_of(labels["train"])
        return {split: target_probabilities(each, classes, self.train.data.folder) for split, each in labels.items()}

    @property
    def part(self) -> VideoTower:
        """The encoder without head and layers: what is kept in the end."""
        return self.network.tower

    def crop(self, clips: ClipDataset, index: int, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [F, 3, H, W] and targets [bands + 1, F * slots] of one crop; its clip's loudest spectrum [M, 1]."""
        loss, frames = self.recipe.loss, clips.frames[index]
        mel = clips.mel(index, *clips.under("mel", index, 0, frames))
        target = targets(mel[None], loss.bands, frames * loss.slots)[0]
        target = target[:, start * loss.slots : (start + loss.frames) * loss.slots]
        return clips.pixels(index, start, loss.frames), target, normalised(mel.amax(1, keepdim=True))

    def batch(self, index: int) -> dict[str, Tensor]:
        """Crops of random clips; the first `easy` batches only of levels 0 and 1."""
        clips, loss = self.train, self.recipe.loss
        among = self.easy if index < loss.easy else range(len(clips))
        chosen = [among[place] for place in torch.randint(len(among), (self.recipe.optim.batch,)).tolist()]
        crops = [
            self.crop(clips, clip, int(torch.randint(clips.frames[clip] - loss.frames + 1, ()))) for clip in chosen
        ]
        images, target, what = map(torch.stack, zip(*crops, strict=True))
        batch = {"images": images, "target": target, "what": what}
        return batch | ({"kinds": self.kinds["train"][chosen]} if self.kinds else {})

    def losses(self, batch: Any, step: int) -> Losses:
        target, loss = batch["target"], self.recipe.loss
        # A batch is a few clips whose frames resemble each other, so its statistics are poor: the last part of the
        # training uses the running ones, as the finished encoder does.
        self.network.tower.train(step < loss.settle)
        predicted, spectrum, kinds = self.network(colour(framed(batch["images"].float() / 255)))
        level = F.mse_loss(predicted[:, :-1], target[:, :-1])
        onset = F.binary_cross_entropy_with_logits(predicted[:, -1], target[:, -1])
        what = F.mse_loss(spectrum, batch["what"].expand_as(spectrum))
        losses = {"level": level, "onset": onset, "what": what}
        total = level + loss.onset * onset + loss.what * what
        if self.kinds:
            losses["kind"] = F.cross_entropy(kinds, batch["kinds"])
            total = total + loss.kind * losses["kind"]
        return {"total": total} | losses

    @torch.inference_mode()
    def validate(self, network: SoundPredictor) -> dict[str, float]:
        """R^2 of levels, onsets and loudest spectrum on a crop of every validation clip.

        With labels also how often the most probable kind is right, in crops of clips with one.
        """
        network.eval()
        predictions, targets, right = [], [], []
        for index in range(len(self.valid)):
            last = self.valid.frames[index] - self.recipe.loss.frames
            pixels, target, what = self.crop(self.valid, index, index * 7 % max(1, last))
            images = pixels[None].to(device_of(network)).float() / 255
            predicted, spectrum, kinds = (x[0].cpu() for x in network(images))
            predictions.append((predicted[:-1], predicted[-1:].sigmoid(), spectrum))
            targets.append((target[:-1], target[-1:], what.expand_as(spectrum)))
            if self.kinds and (wanted := self.kinds["valid"][index]).max() == 1:
                right.append(float(kinds.argmax() == wanted.argmax()))
        network.train()
        names = ("level_r2", "onset_r2", "what_r2")
        columns = zip(names, zip(*predictions, strict=True), zip(*targets, strict=True), strict=True)
        scores = {name: r_squared(torch.stack(ours), torch.stack(theirs)) for name, ours, theirs in columns}
        return scores | ({"kind_top1": sum(right) / len(right)} if right else {})

    def finish(self, network: SoundPredictor, folder: Path) -> None:
        save_part(folder, network.tower, self.recipe.network)
