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
from frieren.training.encoder import colour
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe, RecipeError
from frieren.weights import save_part


def pair_loss(logits: Tensor, together: bool, counted: Tensor) -> Tensor:
    """Binary cross-entropy of pairs that all belong together, or all do not; mean over the counted ones."""
    return mean_of(F.softplus(-logits if together else logits), counted)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of those values [B] whose count [B] is 1 and not 0; 0 if there is none."""
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


def foreign_partners(chosen: Sequence[int], labels: Sequence[Label], alike: float) -> list[int]:
    """For each place of a batch one with a sound that is surely not its own, or the place itself if there is none.

    Args:
        chosen: the batch's clips.
        labels: of these clips.
        alike: share of clips that get a sound of their own kind, where one is there and both are timed.
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
        alone = not strange or bool(torch.rand(()) < alike)
        partners.append(pick(same if same and alone else strange or [here]))
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
        self.labels = {"train": self.data.train.labels(), "valid": self.data.valid.labels()}
        self.shelves = by_kind(self.labels["train"])
        self.network = AlignmentClassifier(network)
        self.players = {"alignment": Player(self.network, self.losses)}

    def mel(self, clips: Clips, index: int, start: int) -> Tensor:
        """The log-mel [M, T] of the window from frame `start`."""
        return clips.mel(index, *clips.under("mel", index, start, self.recipe.network.frames))

    def window(self, clips: Clips, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images [F, 3, H, W] of a random window, its own log-mel [M, T] and that of a time at least `shift` away."""
        last = clips.frames[index] - self.recipe.network.frames
        start = int(torch.randint(last + 1, ()))
        moved = shifted_start(start, last, self.shift)
        images = clips.picture(index, start, self.recipe.network.frames)
        return images, self.mel(clips, index, start), self.mel(clips, index, moved)

    def windows(self, clips: Clips, labels: list[Label], chosen: list[int]) -> dict[str, Tensor]:
        """Windows of the chosen clips: which are timed, whose sound each gets as a foreign one, and if it is unlike."""
        images, mels, shifted = map(torch.stack, zip(*(self.window(clips, index) for index in chosen), strict=True))
        theirs = [labels[index] for index in chosen]
        foreign = foreign_partners(chosen, theirs, self.recipe.loss.alike)
        return {
            "images": images,
            "mel": mels,
            "shifted": shifted,
            "foreign": torch.tensor(foreign),
            "timed": torch.tensor([float(label.timed) for label in theirs]),
            "unlike": torch.tensor([unlike(own, theirs[place]) for own, place in zip(theirs, foreign, strict=True)]),
        }

    def batch(self, step: int) -> dict[str, Tensor]:
        """Windows with a random look, the sound with a random gain."""
        labels = self.labels["train"]
        batch = self.windows(self.data.train, labels, couples(labels, self.shelves, self.recipe.optim.batch))
        gains = self.recipe.loss.gain * (2 * torch.rand(2, len(batch["mel"]), 1, 1) - 1)
        batch["images"] = colour(batch["images"])
        for name, gain in zip(("mel", "shifted"), gains, strict=True):
            batch[name] = (batch[name] + gain).clamp(min=-5)  # silence stays silence
        return batch

    def logits(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Logits [B] of the true, the shifted and the foreign pairs, and the similarities of the true ones."""
        network, frames = self.network, batch["images"].shape[1]
        seen = network.see(batch["images"])
        own, shifted = network.hear(torch.cat([batch["mel"], batch["shifted"]]), frames).chunk(2)
        heard = {"true": own, "shifted": shifted, "foreign": own[batch["foreign"]]}
        similar = {name: network.similarities(seen, sound) for name, sound in heard.items()}
        return {name: network.compare(similarity) for name, similarity in similar.items()}, similar["true"]

    def losses(self, batch: Any, step: int) -> Losses:
        logits, similar = self.logits(batch)
        timed = batch["timed"]
        others = batch["foreign"] != torch.arange(len(timed), device=timed.device)
        true = pair_loss(logits["true"], True, torch.ones_like(timed))
        shifted = pair_loss(logits["shifted"], False, timed)
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
                other = batch["foreign"] != torch.arange(len(chosen))
                counted = {"true": timed, "shifted": timed, "foreign": timed & strange, "alike": other & ~strange}
                for name, which in counted.items():
                    pairs = logits["foreign" if name == "alike" else name].cpu()
                    accepted[name].append(pairs[which] > 0)
        self.network.train()
        shares = {name: torch.cat(values).double() for name, values in accepted.items()}
        return {name: share.mean().item() for name, share in shares.items() if len(share)}

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)
