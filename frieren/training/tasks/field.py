"""The vector field in its three stages: flow, reflow on the guided field, one-step distillation (paper section 6).

One task with three losses, and two more where the network predicts something else (`FieldConfig.predicts`). The flow
learns from clips; reflow and distillation from pairs of noise and the latent to which the guided flow led from it
(`dataset.pairs`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from frieren.conditioning import sounds_on, strikes_of
from frieren.dataset.shards import Shards
from frieren.flow import guided_velocity, interpolate
from frieren.mel import decode_latent, encode_mel
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.field import FieldConfig, VectorField
from frieren.nets.rivals.diff_foley import DiffFoley
from frieren.nets.rivals.im2wav import CodeWriter
from frieren.nets.starts import start_white
from frieren.paths import path
from frieren.solver import solve
from frieren.training import machines
from frieren.training.crops import TrainingWindows
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import FieldLoss, PairsLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.classification import IGNORE_INDEX, ClassificationLoss, Classifier
from frieren.training.tasks.flow_losses import (
    diffusion_loss,
    distillation_loss,
    flow_loss,
    logit_normal_weight,
    mean_flow_loss,
    onset_loss,
    reflow_loss,
    stray_onset_loss,
)
from frieren.training.tasks.rivals.code_loss import code_loss
from frieren.training.tasks.rivals.diff_foley_loss import diff_foley_losses
from frieren.weights import save_part

FITTED = 256  # windows whose latents make the codebooks
WHITENED = 256  # windows whose features tell how to whiten
VALIDATED, SHOWN = 64, 2  # windows of the validation split: in scores, on a board
STEPS = {"reflow": 5, "distillation": 1}  # solver steps that a stage is made for; the field takes the model's own
# The end of the flow that is classified, and whose onsets count: solver steps, and after how many, one at random.
# The first step of a field that was not straightened predicts a mean of many sounds; after five of eight it is decided
# which one it will be. A choice of this project, by trial on FoleyWorld (docs/experiments.md).
ENDS = {"field": (8, range(1, 6)), "reflow": (5, range(5)), "distillation": (1, range(1))}


FieldNetwork = VectorField | CodeWriter | DiffFoley  # what stands in the field's place


def draw_times(count: int, distribution: str) -> Tensor:
    """Random times [count] in 0..1.

    "uniform"; "discrete": k / 1000 with k in 0..999, as published; "logit-normal": the distribution whose density the
    weight of the loss is; "early": cubes, half of them below 1/8. What a video says matters early: later the latent
    itself tells what sounds and when.
    """
    if distribution == "discrete":  # a rounding above k / 1000, whose thousandths in float32 would be k - 1 for five k
        return torch.nextafter(torch.randint(1000, (count,)) / 1000, torch.ones(()))
    if distribution == "logit-normal":
        return torch.randn(count).sigmoid()
    return torch.rand(count) ** (3 if distribution == "early" else 1)


def draw_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of the autoencoder's posterior."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


def condition(network: VectorField | DiffFoley, features: Tensor) -> Tensor:
    """c [B, L, W / 2] of windows' features [B, L, D], which have one row per latent column."""
    return network.condition(features, torch.arange(features.shape[1], device=features.device))


def raise_if_unfit(recipe: Recipe[FieldConfig, FieldLoss]) -> None:
    """Raises RecipeError if a recipe's losses are those of a velocity, and its network predicts something else."""
    loss, predicts = recipe.loss, recipe.network.predicts
    at_end = loss.class_weight or loss.onset_weight or loss.stray_weight
    weighted = loss.weight != "uniform" or at_end
    if predicts != "velocity" and (recipe.part != "field" or weighted):
        raise RecipeError(
            f"network.predicts: {predicts} has one loss, without reflow, distillation and losses of the flow's end; "
            "set loss.weight = 'uniform' and no loss.class_weight, onset_weight, stray_weight, or predicts = 'velocity'"
        )
    if loss.stray_weight and recipe.shared.condition != "cues":
        raise RecipeError("loss.stray_weight: only cue sheets say when something strikes; shared.condition = 'cues'")


class FieldTask(TrainingTask[FieldNetwork]):
    """Random windows and the loss of the recipe's stage."""

    def __init__(
        self,
        recipe: Recipe[FieldConfig, FieldLoss],
        network: FieldNetwork,
        train: Shards,
        valid: Shards,
        autoencoder: MelAutoencoder,
        taggers: Sequence[Classifier] = (),
    ) -> None:
        """
        Args:
            recipe: its part is the stage: "field", "reflow" or "distillation".
            network: where the stage begins.
            train, valid: features and mels for the flow, pairs for the other stages.
            taggers: of the classification loss, if the recipe has one (`loss.class_weight`).

        Raises:
            RecipeError: no clip has one kind that the taggers know, these know different ones, or the loss is not for
                what the network predicts.
        """
        self.recipe, self.network = recipe, network
        raise_if_unfit(recipe)
        self.autoencoder = autoencoder.to(machines.device()).requires_grad_(False).eval()
        self.trainables = {recipe.part: Trainable(network, self.losses)}
        cut = partial(TrainingWindows, field=cast(FieldConfig, network.config), clock=recipe.shared.clock)
        self.train, self.valid = cut(train, seed=recipe.seed, join=recipe.loss.join), cut(valid)
        self.classify = ClassificationLoss([each.to(machines.device()) for each in taggers]) if taggers else None
        self.classes = self.classify.classes(train) | self.classify.classes(valid) if self.classify else {}
        self.fields: tuple[str, ...] = ("mean", "log_variance") if "mean" in train.fields else ("mel",)
        if isinstance(recipe.loss, PairsLoss):
            self.fields = ("noise", "mean", "log_variance") if recipe.loss.reencode else ("noise", "latent")
        if isinstance(network, CodeWriter) and not recipe.init:
            network.fit(self.with_ends(self.train.batch(0, FITTED, self.fields)[1])["x1"])
        white = recipe.loss.white and recipe.part == "field" and not recipe.init
        if isinstance(network, VectorField) and white:
            start_white(network.embed_features, self.train.batch(0, WHITENED, ())[1]["features"].flatten(0, 1))

    def batch(self, index: int) -> dict[str, Any]:
        ids, windows = self.train.batch(index, self.recipe.optim.batch, self.fields)
        windows |= self.targets(ids)
        if self.recipe.loss.drop:
            kept = torch.rand(len(ids)) >= self.recipe.loss.drop
            windows["features"] *= kept[:, None, None]
            if self.classify:  # without features there is no class to be right about
                windows["class"] = windows["class"].where(kept, IGNORE_INDEX)
        if self.classify and self.recipe.shared.condition == "cues":
            windows["class"] = self.classify.shown(windows["features"], windows["class"])
        return {"ids": ids, **self.draw_times(len(ids)), **windows}

    def draw_times(self, count: int) -> dict[str, Tensor]:
        """Random times [B] and, of average velocities, spans [B]: with a second time, from the earlier to the later."""
        t = draw_times(count, self.recipe.loss.time)
        if self.network.config.predicts != "average velocity":
            return {"t": t}
        other = draw_times(count, self.recipe.loss.time)
        some = torch.rand(count) < self.recipe.loss.mean_flow.spans
        return {"t": torch.where(some, torch.minimum(t, other), t), "span": (t - other).abs() * some}

    def targets(self, ids: list[str]) -> dict[str, Tensor]:
        """Classes [B] of windows of these clips, for the classification loss; nothing without it."""
        if not self.classify:
            return {}
        return {"class": torch.tensor([self.classes.get(id, IGNORE_INDEX) for id in ids])}

    @torch.no_grad()
    def with_ends(self, windows: dict[str, Any]) -> dict[str, Tensor]:
        """Windows with both ends of the flow, noise x0 and data x1; the autoencoder stays in float32."""
        if "mel" in windows:
            with torch.autocast(machines.device().type, enabled=False):
                x1 = draw_latent(*encode_mel(self.autoencoder, windows["mel"]))
        elif "mean" in windows:
            x1 = draw_latent(windows["mean"], windows["log_variance"])
        else:
            x1 = windows["latent"]
        x0 = windows["noise"] if "noise" in windows else torch.randn_like(x1)
        names = ("features", "t", "span", "class")
        kept: dict[str, Tensor] = {name: windows[name] for name in names if name in windows}
        return {**kept, "x0": x0, "x1": x1}

    def losses(self, batch: Any, step: int) -> Losses:
        batch, stage, loss = self.with_ends(batch), self.recipe.part, self.recipe.loss
        flow = self.loss(self.network, batch, stage)
        ends = self.end_losses(self.network, batch, stage) if step >= loss.end_start else {}
        if not ends:
            return {"total": flow}
        weights = {"classification": loss.class_weight, "onsets": loss.onset_weight, "stray": loss.stray_weight}
        total = flow + torch.stack([weights[name] * value for name, value in ends.items()]).sum()
        return {"total": total, "flow": flow, **ends}

    def loss(self, network: FieldNetwork, batch: dict[str, Tensor], stage: str) -> Tensor:
        """A stage's loss. The null condition is that of zero features, so the layers that see them learn as well."""
        x0, x1, t, loss = batch["x0"], batch["x1"], batch["t"], self.recipe.loss
        if isinstance(network, CodeWriter):
            return code_loss(network, batch["features"], x1)
        if isinstance(network, DiffFoley):
            return torch.stack([*diff_foley_losses(network, x0, x1, t, batch["features"]).values()]).sum()
        c = condition(network, batch["features"])
        weight = logit_normal_weight if loss.weight == "logit-normal" else torch.ones_like
        if network.config.predicts == "noise":
            return diffusion_loss(network, x0, x1, t, c)
        if network.config.predicts == "average velocity":
            mean, given = loss.mean_flow, batch["features"].flatten(1).any(1)
            power = mean.power if torch.is_grad_enabled() else 0.0  # the error itself, where nothing is learnt from it
            return mean_flow_loss(network, x0, x1, t, c, batch["span"], given, mean.guidance, power)
        if not isinstance(loss, PairsLoss):
            return flow_loss(network(interpolate(x0, x1, t), t, c), x0, x1, t, weight)
        null = network.null_condition(c)
        if stage == "reflow":
            return reflow_loss(network, x0, x1, t, c, null, loss.guidance, weight)
        return distillation_loss(network, x0, x1, c, null, loss.guidance)

    def end_losses(self, network: FieldNetwork, batch: dict[str, Tensor], stage: str) -> dict[str, Tensor]:
        """Classification, onset and stray onset loss of the end of the flow, as far as the recipe has them."""
        loss, features = self.recipe.loss, batch["features"]
        if not (self.classify or loss.onset_weight or loss.stray_weight):
            return {}
        losses = {}
        mel = self.decode(self.end(network, batch, stage))
        if self.classify:
            losses["classification"] = self.classify(mel, batch["class"])
        if loss.onset_weight:
            with torch.no_grad():
                real = self.decode(batch["x1"])
            losses["onsets"] = onset_loss(mel, real, self.strikes(features))
        if loss.stray_weight:
            losses["stray"] = stray_onset_loss(mel, strikes_of(features), self.strikes(features) & ~sounds_on(features))
        return losses

    def strikes(self, features: Tensor) -> Tensor:
        """In which windows [B] with features [B, L, D] something strikes: all of them, where features do not tell."""
        if self.recipe.shared.condition == "cues":
            return strikes_of(features).any(1)
        return features.flatten(1).any(1)

    def decode(self, latent: Tensor) -> Tensor:
        """Log10 mels [B, M, T] of latents [B, C, L] of the flow."""
        return self.autoencoder.decode(latent / self.autoencoder.config.scale).float()

    def end(self, network: FieldNetwork, batch: dict[str, Tensor], stage: str) -> Tensor:
        """The end of the flow [B, C, L], x + (1 - t) v, guided as the finished model is.

        The field goes to x by itself, as when it is sampled: a velocity on the path to a real sound is nearly always
        classified right, and would teach nothing.
        """
        loss, (steps, stops) = self.recipe.loss, ENDS[stage]
        guidance, rescale = loss.sampling if isinstance(loss, PairsLoss) else (self.recipe.shared.guidance, 0.0)
        stop = stops[int(torch.randint(len(stops), ()))]
        assert isinstance(network, VectorField)  # `raise_if_unfit`
        c = condition(network, batch["features"])
        null = network.null_condition(c)

        def velocity(x: Tensor, t: float) -> Tensor:
            return guided_velocity(network, x, x.new_full((len(x),), t), c, null, guidance, rescale)

        with torch.no_grad():
            *_, (t, x) = (0.0, batch["x0"]), *islice(solve(velocity, batch["x0"], steps), stop)
        return x + (1 - t) * velocity(x, t)

    def fixed_windows(self, count: int) -> dict[str, Tensor]:
        """The first `count` validation windows, always the same ones, or as many as there are; where it is computed."""
        indices = range(min(count, len(self.valid.items)))
        rows = [self.valid.window([self.valid.fixed(index)], self.fields) for index in indices]
        windows = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        windows |= self.targets([self.valid.data.ids[self.valid.items[index]] for index in indices])
        return machines.move(windows | self.draw_times(len(rows)), machines.device())

    @torch.inference_mode()
    def validate(self, network: FieldNetwork) -> dict[str, float]:
        """Loss on fixed windows with their own features and, "mismatched", with another clip's.

        After a reflow also that of one step; and the losses on the end of the flow that the recipe has.
        """
        batch, stage = self.with_ends(self.fixed_windows(VALIDATED)), self.recipe.part
        mismatched = batch | {"features": batch["features"].roll(1, 0)}
        scores = {
            "loss": self.mean(partial(self.loss, network, stage=stage), batch),
            "mismatched": self.mean(partial(self.loss, network, stage=stage), mismatched),
        }
        if stage == "reflow":
            scores["one_step"] = self.mean(partial(self.loss, network, stage="distillation"), batch)
        return scores | self.means(partial(self.end_losses, network, stage=stage), batch)

    def mean(self, loss: Callable[[dict[str, Tensor]], Tensor], batch: dict[str, Tensor]) -> float:
        """Mean of a loss over a batch, in parts of the size that is trained with."""
        return self.means(lambda part: {"loss": loss(part)}, batch)["loss"]

    def means(
        self, losses: Callable[[dict[str, Tensor]], dict[str, Tensor]], batch: dict[str, Tensor]
    ) -> dict[str, float]:
        """The same for several losses at once."""
        splits = zip(*(value.split(self.recipe.optim.batch) for value in batch.values()), strict=True)
        sums: dict[str, float] = defaultdict(float)
        for part in (dict(zip(batch, each, strict=True)) for each in splits):
            for name, value in losses(part).items():
                sums[name] += value.item() * len(part["t"]) / len(batch["t"])
        return dict(sums)

    @torch.inference_mode()
    def preview(self, network: FieldNetwork) -> dict[str, Tensor]:
        """Mels [M, T] of fixed validation windows: the reference, and what the guided field generates from noise.

        Of pairs, those of their latents, and of the latents that the field generates from the same noise.
        """
        shared, loss = self.recipe.shared, self.recipe.loss
        if isinstance(network, CodeWriter):
            return {}
        guidance = loss.guidance if isinstance(loss, PairsLoss) else shared.guidance
        windows = self.fixed_windows(SHOWN)
        batch = self.with_ends(windows)
        c = condition(network, batch["features"])
        null = network.null_condition(c)

        def predict(x: Tensor, t: float, span: float = 0.0) -> Tensor:
            field = partial(network, span=span) if span else network
            return guided_velocity(field, x, x.new_full((len(x),), t), c, null, guidance)

        steps = STEPS.get(self.recipe.part, shared.steps)
        *_, (_, latent) = path(network.config.predicts, predict, batch["x0"], steps, shared.solver)
        decode = partial(decode_latent, self.autoencoder, window=shared.clock.window, overlap=0)
        mels = {"true": windows["mel"] if "mel" in windows else decode(batch["x1"]), "generated": decode(latent)}
        names = [self.valid.data.ids[item] for item in self.valid.items[:SHOWN]]
        return {f"{name}/{kind}": mel for kind in mels for name, mel in zip(names, mels[kind], strict=True)}

    def finish(self, network: FieldNetwork, folder: Path) -> None:
        save_part(folder, network, network.config)
