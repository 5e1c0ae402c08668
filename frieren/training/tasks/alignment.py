"""The alignment classifier learns from true pairs, pairs shifted in time, and foreign pairs (Diff-Foley's recipe).

A shift is only asked for where a clip has something to be seen in time, and a foreign sound of the same kind only where
both clips have: nobody can tell steady rain from steady rain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.alignment import AlignmentClassifier
from frieren.training.data import Clips, Data, Label, device_of
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.encoder import colour
from frieren.weights import save_part


def pair_loss(logits: Tensor, together: bool, counted: Tensor) -> Tensor:
    """Binary cross-entropy of pairs that all belong together, or all do not; mean over the counted ones."""
    return mean_of(F.softplus(-logits if together else logits), counted)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of those values whose count is 1 and not 0, both of one shape; 0 if there is none."""
    return (values * counted).sum() / counted.sum().clamp(min=1)


def by_kind(labels: Sequence[Label]) -> dict[str, list[int]]:
    """The clips of each main kind."""
    shelves: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        shelves.setdefault(main_kind(label), []).append(index)
    return shelves


def couples(labels: Sequence[Label], shelves: dict[str, list[int]], count: int) -> list[int]:
    """`count` random clips, of which the second, fourth, ... has the main kind of the one before it."""
    firsts = torch.randint(len(labels), ((count + 1) // 2,)).tolist()
    return [index for first in firsts for index in (first, pick(shelves[main_kind(labels[first])]))][:count]


def pick(items: Sequence[int]) -> int:
    """One of the items, at random."""
    return items[int(torch.randint(len(items), ()))]


def main_kind(label: Label) -> str:
    """The kind of a clip; empty for a silent one."""
    return label.kinds[0] if label.kinds else ""


def foreign_partners(chosen: Sequence[int], labels: Sequence[Label], alike: float, count: int) -> list[list[int]]:
    """For each place of a batch `count` others with a sound that is surely not its own, or itself if there is none.

    Args:
        chosen: the batch's clips.
        labels: of these clips.
        alike: share of sounds that are of the clip's own kind, where there are such and both are timed.
        count: sounds for each place; one may come twice.
    """
    places, partners = range(len(chosen)), []
    for here, own in enumerate(labels):
        same = [
            place
            for place in places
            if chosen[place] != chosen[here]
            and main_kind(labels[place]) == main_kind(own)
            and (labels[place].timed and own.timed)
        ]
        strange = [place for place in places if unlike(labels[place], own)]
        theirs = []
        for _ in range(count):
            alone = not strange or bool(torch.rand(()) < alike)
            theirs.append(pick(same if same and alone else strange or [here]))
        partners.append(theirs)
    return partners


def unlike(first: Label, second: Label) -> bool:
    """True if no kind sounds in both clips, and in one at least something does."""
    return main_kind(first) != main_kind(second) and not set(first.kinds) & set(second.kinds)


def shifted_start(start: int, last: int, shift: int) -> int:
    """A random start in 0..last at least `shift` from `start`."""
    return pick([other for other in range(last + 1) if abs(other - start) >= shift])


class AlignmentTask:
    """Windows of clips with their own sound, the sound of another time, and the sound of another clip."""

    fields = ("images", "mel")

    def __init__(self, recipe: Recipe, data: Data) -> None:
        self.recipe = recipe
        clock, loss, network = recipe.shared.clock, recipe.loss, recipe.network
        for name, wanted in (("fps", clock.fps), ("mel_rate", clock.mel_rate), ("bins", recipe.shared.mel.bins)):
            if getattr(network, name) != wanted:
                raise RecipeError(f"network.{name} is {getattr(network, name)}, the data has {wanted}; make them equal")
        self.shift = math.ceil(loss.shift * clock.fps)
        # From every start in a clip of this length there is another one at least `shift` away.
        needed = network.frames + 2 * self.shift
        self.data = data.at_least("images", needed, "lower network.frames or loss.shift")
        if network.segment < needed:
            raise RecipeError(f"network.segment is {network.segment}, a window and a shift either way take {needed}")
        # Seen and heard once, for all windows in it.
        self.segment = min(network.segment, *self.data.train.frames, *self.data.valid.frames)
        self.labels = {"train": self.data.train.labels(), "valid": self.data.valid.labels()}
        self.shelves = by_kind(self.labels["train"])
        self.network = AlignmentClassifier(network)
        self.players = {"alignment": Player(self.network, self.losses)}

    def windows(self, clips: Clips, labels: list[Label], chosen: list[int]) -> dict[str, Tensor]:
        """Stretches of the chosen clips, the places of windows in them, and who gets whose sound as a foreign one."""
        network, loss, count = self.recipe.network, self.recipe.loss, len(chosen)
        last = self.segment - network.frames
        images, mels, starts, moved = [], [], [], []
        for index in chosen:
            first = int(torch.randint(clips.frames[index] - self.segment + 1, ()))
            images.append(clips.picture(index, first, self.segment))
            mels.append(clips.mel(index, *clips.under("mel", index, first, self.segment)))
            starts.append(int(torch.randint(last + 1, ())))
            moved.append([shifted_start(starts[-1], last, self.shift) for _ in range(loss.shifts)])
        theirs = [labels[index] for index in chosen]
        foreign = foreign_partners(chosen, theirs, loss.alike, loss.foreign)
        return {
            "images": torch.stack(images),
            "mel": torch.stack(mels),
            "start": torch.tensor(starts),
            "moved": torch.tensor(moved),
            "elsewhere": torch.randint(last + 1, (count, loss.foreign)),
            "foreign": torch.tensor(foreign),
            "timed": torch.tensor([float(label.timed) for label in theirs]),
            "unlike": torch.tensor(
                [[unlike(own, theirs[k]) for k in k_s] for own, k_s in zip(theirs, foreign, strict=True)]
            ),
        }

    def batch(self, step: int) -> dict[str, Tensor]:
        """Windows with a random look, the sound with a random gain."""
        labels = self.labels["train"]
        batch = self.windows(self.data.train, labels, couples(labels, self.shelves, self.recipe.optim.batch))
        gain = self.recipe.loss.gain * (2 * torch.rand(len(batch["mel"]), 1, 1) - 1)
        batch["images"] = colour(batch["images"])
        batch["mel"] = (batch["mel"] + gain).clamp(min=-5)  # silence stays silence
        return batch

    def logits(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of the true pairs [B], of the shifted and the foreign ones [B, N], and the true ones' similarities."""
        network = self.network
        seen, heard = network.see(batch["images"]), network.hear(batch["mel"], self.segment)
        seen = network.cut(seen, batch["start"])
        similar = network.similarities(seen, network.cut(heard, batch["start"]))
        logits = {"true": network.compare(similar)}
        own = torch.arange(len(seen), device=seen.device)[:, None].expand_as(batch["moved"])
        for name, who, where in (("shifted", own, batch["moved"]), ("foreign", batch["foreign"], batch["elsewhere"])):
            count = who.shape[1]
            sounds = network.cut(heard[who.flatten()], where.flatten())
            pairs = network.similarities(seen.repeat_interleave(count, dim=0), sounds)
            logits[name] = network.compare(pairs).unflatten(0, who.shape)
        return logits, similar

    def losses(self, batch: Any, step: int) -> Losses:
        logits, similar = self.logits(batch)
        timed = batch["timed"]
        others = batch["foreign"] != torch.arange(len(timed), device=timed.device)[:, None]
        true = pair_loss(logits["true"], True, torch.ones_like(timed))
        shifted = pair_loss(logits["shifted"], False, timed[:, None].expand_as(logits["shifted"]))
        foreign = pair_loss(logits["foreign"], False, others.float())
        lag = mean_of(-self.network.simultaneity(similar), timed)
        total = true / 2 + (shifted + foreign) / 4 + self.recipe.loss.lag * lag
        return {"total": total, "true": true, "shifted": shifted, "foreign": foreign, "lag": lag}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Shares of validation pairs that are accepted (logit above 0), by the type of pair.

        Only clips with something to be seen in time count; a foreign sound is of another kind in `foreign`, of the same
        kind in `alike`.
        """
        self.network.eval()
        labels, device = self.labels["valid"], device_of(self.network)
        accepted: dict[str, list[Tensor]] = {"true": [], "shifted": [], "foreign": [], "alike": []}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for chosen in torch.randperm(len(labels)).split(self.recipe.optim.batch):
                batch = self.windows(self.data.valid, labels, chosen.tolist())
                logits, _ = self.logits({name: value.to(device) for name, value in batch.items()})
                timed, strange = batch["timed"] > 0, batch["unlike"]
                other = batch["foreign"] != torch.arange(len(chosen))[:, None]
                counted = {
                    "true": timed,
                    "shifted": timed[:, None].expand_as(batch["moved"]),
                    "foreign": timed[:, None] & strange,
                    "alike": other & ~strange,
                }
                for name, which in counted.items():
                    pairs = logits["foreign" if name == "alike" else name].cpu()
                    accepted[name].append(pairs[which] > 0)
        self.network.train()
        shares = {name: torch.cat(values).double() for name, values in accepted.items()}
        return {name: share.mean().item() for name, share in shares.items() if len(share)}

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)
