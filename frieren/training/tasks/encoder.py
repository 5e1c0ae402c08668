"""The visual encoder: it learns to foretell, from the frames, the sound of every instant.

A small head on top of the features predicts the level of each log-mel band and the rise in level (an onset) a few
times per frame: when it strikes, and how. A linear layer predicts, from every single frame, the loudest that each mel
bin gets in the whole clip: what would sound if it struck, its pitch included. Where clips have labels, another layer
names from all frames together the kinds that sound. What these need, the features must carry. Their teachers are the
sound itself and the labels; no event list is used. Head and layers are thrown away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.cavp import VideoTower
from frieren.training.data import Clips, Data, device_of
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.tagger import classes_of, shares_of
from frieren.weights import save_part

FLUTTER, QUIET = 0.15, 0.3  # rises in log10 units: what noise may do; what is surely a sound
EASY = 1  # highest level of FoleyWorld at which a contact is plain to see


class Foreteller(nn.Module):
    """Tower, head and layers: frames -> band levels and onsets at `slots` instants per frame, and what there is."""

    def __init__(self, recipe: Recipe, kinds: int) -> None:
        """`kinds`: how many names there are, 0 if nothing is to be named."""
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
        told = self.head(features.mT)
        told = told.unflatten(1, (-1, self.slots)).permute(0, 1, 3, 2).flatten(2)
        return told, self.what(features).mT, self.kind(features.mean(1))


def onset_strength(levels: Tensor) -> Tensor:
    """Mean rise of the log10 band levels [B, bands, T] over the louder of the two columns before -> [B, 1, T].

    A rise within `FLUTTER` is what noise does by itself.
    """
    before = F.pad(levels, (2, 0), mode="replicate")
    rise = levels - torch.maximum(before[..., 1:-1], before[..., :-2])
    return (rise - FLUTTER).clamp(min=0).mean(1, keepdim=True)


def targets(mel: Tensor, bands: int, slots: int) -> Tensor:
    """What the head should say, at `slots` instants: mel [B, M, T] -> [B, bands + 1, slots].

    Levels are centred on about 0 with a spread of about 1. Onsets are shares of the clip's strongest one, so that a
    soft scene counts as much as a loud one; `QUIET` keeps a silent clip from having onsets.
    """
    levels = mel.unflatten(1, (bands, -1)).mean(2)
    onsets = F.max_pool1d(onset_strength(levels), 3, stride=1, padding=1)  # a column early or late is as good
    onsets = onsets / onsets.amax(dim=2, keepdim=True).clamp(min=QUIET)
    return F.interpolate(torch.cat([scaled(levels), onsets], dim=1), size=slots, mode="linear")


def scaled(levels: Tensor) -> Tensor:
    """Log10 levels with a mean of about 0 and a spread of about 1."""
    return (levels + 3) / 1.5


def colour(images: Tensor) -> Tensor:
    """Random look of each clip: mirror, channel order, brightness, contrast. images [B, F, 3, H, W] in 0..1."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(len(images), *shape, device=images.device)

    clips, channels = torch.arange(len(images), device=images.device), torch.arange(3, device=images.device)
    order = torch.where(draw(1) < 0.3, draw(3).argsort(1), channels)
    images = images[clips[:, None], :, order].transpose(1, 2)
    images = torch.where(draw(1, 1, 1, 1) < 0.5, images.flip(-1), images)
    contrast, brightness = 0.7 + 0.6 * draw(1, 3, 1, 1), 0.3 * (draw(1, 3, 1, 1) - 0.5)
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def framed(images: Tensor) -> Tensor:
    """Half of the clips as another camera would frame them, square images [B, F, 3, S, S] in 0..1.

    Turned by up to 0.15 rad, 0.8 to 1.2 times as wide a view, a tenth of the picture aside at most; edges mirrored.
    """

    def draw(least: float, most: float) -> Tensor:
        return least + (most - least) * torch.rand(len(images), device=images.device)

    angle, scale, aside = draw(-0.15, 0.15), draw(0.8, 1.2), (draw(-0.2, 0.2), draw(-0.2, 0.2))
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = (torch.stack([cos, -sin, aside[0]], -1), torch.stack([sin, cos, aside[1]], -1))
    grid = F.affine_grid(torch.stack(rows, 1), [len(images), 3, *images.shape[-2:]], align_corners=False)
    moved = F.grid_sample(images.flatten(1, 2), grid, padding_mode="reflection", align_corners=False)
    return torch.where(draw(0, 1)[:, None, None, None, None] < 0.5, moved.unflatten(1, (-1, 3)), images)


def easy_clips(clips: Clips) -> list[int]:
    """The clips of FoleyWorld's levels 0 and 1.

    Raises:
        RecipeError: there is none.
    """
    easy = [index for index in range(len(clips)) if clips.meta(index).get("level", EASY + 1) <= EASY]
    if not easy:
        raise RecipeError(f"loss.easy: no clip of {clips.data.folder} is of FoleyWorld's levels 0..{EASY}; set it to 0")
    return easy


def explained(told: Tensor, wanted: Tensor) -> float:
    """Share of the variance of wanted [N, C, T] around the mean of each channel that told [N, C, T] explains."""
    spread = (wanted - wanted.mean((0, 2), keepdim=True)).square().sum()
    return 1 - ((told - wanted).square().sum() / spread).item()


class EncoderTask:
    """Crops of clips and the prediction loss."""

    fields = ("images", "mel")

    def __init__(self, recipe: Recipe, data: Data) -> None:
        data = data.at_least("images", recipe.loss.frames, "lower loss.frames")
        self.recipe, self.train, self.valid = recipe, data.train, data.valid
        self.easy = easy_clips(data.train) if recipe.loss.easy else []
        self.kinds = self.all_kinds() if recipe.loss.kind else {}
        self.model = Foreteller(recipe, self.kinds["train"].shape[1] if self.kinds else 0)
        self.players = {"encoder": Player(self.model, self.losses)}

    def all_kinds(self) -> dict[str, Tensor]:
        """What share of each split's clips every label has, [N, classes].

        Raises:
            RecipeError: a clip has no label.
        """
        labels = {"train": self.train.labels(), "valid": self.valid.labels()}
        classes = classes_of(labels["train"])
        return {split: shares_of(each, classes, self.train.data.folder) for split, each in labels.items()}

    @property
    def network(self) -> VideoTower:
        """What is kept; always asked of the model, whose insides the loop may exchange for averaged ones."""
        return self.model.tower

    def crop(self, clips: Clips, index: int, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [F, 3, H, W] and targets [bands + 1, F * slots] of one crop, and what there is in its clip [M, 1]."""
        loss, frames = self.recipe.loss, clips.frames[index]
        mel = clips.mel(index, *clips.under("mel", index, 0, frames))
        wanted = targets(mel[None], loss.bands, frames * loss.slots)[0]
        wanted = wanted[:, start * loss.slots : (start + loss.frames) * loss.slots]
        return clips.pixels(index, start, loss.frames), wanted, scaled(mel.amax(1, keepdim=True))

    def batch(self, step: int) -> dict[str, Tensor]:
        """Crops of random clips; in the first `easy` steps only of levels 0 and 1, where a contact is plain to see."""
        clips, loss = self.train, self.recipe.loss
        among = self.easy if step < loss.easy else range(len(clips))
        chosen = [among[place] for place in torch.randint(len(among), (self.recipe.optim.batch,)).tolist()]
        crops = [
            self.crop(clips, index, int(torch.randint(clips.frames[index] - loss.frames + 1, ()))) for index in chosen
        ]
        images, wanted, what = map(torch.stack, zip(*crops, strict=True))
        batch = {"images": images, "wanted": wanted, "what": what}
        return batch | ({"kinds": self.kinds["train"][chosen]} if self.kinds else {})

    def losses(self, batch: Any, step: int) -> Losses:
        wanted, loss = batch["wanted"], self.recipe.loss
        # A batch is a few clips whose frames are alike, so its statistics are poor ones: the last part of the training
        # uses the running ones, as the finished encoder does.
        self.network.train(step < loss.settle)
        told, there, kinds = self.model(colour(framed(batch["images"].float() / 255)))
        level = F.mse_loss(told[:, :-1], wanted[:, :-1])
        onset = F.binary_cross_entropy_with_logits(told[:, -1], wanted[:, -1])
        what = F.mse_loss(there, batch["what"].expand_as(there))
        losses = {"level": level, "onset": onset, "what": what}
        total = level + loss.onset * onset + loss.what * what
        if self.kinds:
            losses["kind"] = F.cross_entropy(kinds, batch["kinds"])
            total = total + loss.kind * losses["kind"]
        return {"total": total} | losses

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """On validation clips' crops: the share of variance explained, of levels, of onsets, and of what there is; how
        often the likeliest kind is right in crops of clips with one."""
        self.model.eval()
        said, true, right = [], [], []
        for index in range(len(self.valid)):
            last = self.valid.frames[index] - self.recipe.loss.frames
            pixels, wanted, what = self.crop(self.valid, index, index * 7 % max(1, last))
            images = pixels[None].to(device_of(self.model)).float() / 255
            told, there, kinds = (x[0].cpu() for x in self.model(images))
            said.append((told[:-1], told[-1:].sigmoid(), there))
            true.append((wanted[:-1], wanted[-1:], what.expand_as(there)))
            if self.kinds and (share := self.kinds["valid"][index]).max() == 1:
                right.append(float(kinds.argmax() == share.argmax()))
        self.model.train()
        names = ("level_r2", "onset_r2", "what_r2")
        columns = zip(names, zip(*said, strict=True), zip(*true, strict=True), strict=True)
        scores = {name: explained(torch.stack(made), torch.stack(real)) for name, made, real in columns}
        return scores | ({"kind_top1": sum(right) / len(right)} if right else {})

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)
