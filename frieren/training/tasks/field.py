"""The vector field in its three stages: flow, reflow on the guided field, one-step distillation (paper section 6).

One task with three losses. The flow learns from clips; reflow and distillation from pairs of noise and where the guided
flow led from it (`pairs`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.dataset.shards import Shards
from frieren.flow import distillation_loss, flow_loss, guided_velocity, interpolate, logit_normal_weight, reflow_loss
from frieren.mel import decode_latent, encode_mel
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.field import VectorField
from frieren.nets.tagger import Tagger
from frieren.solver import solve
from frieren.training import machines
from frieren.training.crops import Windows
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.training.tasks.ear import UNNAMED, Ear
from frieren.weights import save_part

WHITENED = 256  # windows whose features tell how to whiten
JUDGED, SHOWN = 64, 2  # windows of the validation split: in scores, on a board
STEPS = {"reflow": 5, "distillation": 1}  # solver steps that a stage is made for; the field takes the model's own
# Where the ear is asked: solver steps, and after how many of them. Of a field that was not straightened the first step
# foretells a mean of many sounds; after five of eight it is decided what will be heard.
HEARD = {"field": (8, range(1, 6)), "reflow": (5, range(5)), "distillation": (1, range(1))}


def draw_times(count: int, law: str) -> Tensor:
    """Random times [count] in 0..1.

    "uniform"; "thousandths": whole thousandths below 1, as published; "logit-normal": the law whose density the weight
    of the loss is; "early": cubes, half of them below 1/8. What a video says matters early: later the latent itself
    tells what sounds and when.
    """
    if law == "thousandths":
        return torch.randint(1000, (count,)) / 1000
    if law == "logit-normal":
        return torch.randn(count).sigmoid()
    return torch.rand(count) ** (3 if law == "early" else 1)


def draw_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of the autoencoder's posterior."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


class FieldTask:
    """Random windows and the loss of the recipe's stage."""

    def __init__(
        self,
        recipe: Recipe,
        network: VectorField,
        train: Shards,
        valid: Shards,
        autoencoder: MelAutoencoder,
        tagger: Tagger | None = None,
    ) -> None:
        """
        Args:
            recipe: its part is the stage: "field", "reflow" or "distillation".
            network: where the stage begins.
            train, valid: features and mels for the flow, pairs for the other stages.
            tagger: the ear, if the recipe has one (`loss.named`).

        Raises:
            RecipeError: no clip has one kind that the ear knows.
        """
        self.recipe, self.network = recipe, network
        self.autoencoder = autoencoder.to(machines.device()).requires_grad_(False).eval()
        self.players = {recipe.part: Player(network, self.losses)}
        cut = partial(Windows, field=network.config, clock=recipe.shared.clock)
        self.train, self.valid = cut(train, seed=recipe.seed, join=recipe.loss.join), cut(valid)
        self.ear = Ear(tagger.to(machines.device()), self.autoencoder) if tagger else None
        self.classes = self.ear.classes(train) | self.ear.classes(valid) if self.ear else {}
        if recipe.loss.white and recipe.part == "field" and not recipe.init:
            network.embed_features.start_white(self.train.batch(0, WHITENED, ())[1]["features"].flatten(0, 1))
        if recipe.part == "field":
            self.fields: tuple[str, ...] = ("mel",)
        else:
            self.fields = ("noise", "mean", "log_variance") if recipe.loss.reencode else ("noise", "latent")

    def batch(self, number: int) -> dict[str, Any]:
        ids, windows = self.train.batch(number, self.recipe.optim.batch, self.fields)
        windows |= self.kinds(ids)
        if self.recipe.loss.drop:
            kept = torch.rand(len(ids)) >= self.recipe.loss.drop
            windows["features"] *= kept[:, None, None]
            if self.ear:  # without features there is nothing to be named by
                windows["kind"] = windows["kind"].where(kept, UNNAMED)
        return {"ids": ids, "t": draw_times(len(ids), self.recipe.loss.time), **windows}

    def kinds(self, ids: list[str]) -> dict[str, Tensor]:
        """The classes [B] that the ear should name in windows of these clips; nothing if nobody listens."""
        return {"kind": torch.tensor([self.classes.get(id, UNNAMED) for id in ids])} if self.ear else {}

    @torch.no_grad()
    def finished(self, windows: dict[str, Any]) -> dict[str, Tensor]:
        """Data x1 and noise x0 of windows, beside their features and times; the autoencoder stays in float32."""
        if "mel" in windows:
            with torch.autocast(machines.device().type, enabled=False):
                x1 = draw_latent(*encode_mel(self.autoencoder, windows["mel"]))
        elif "mean" in windows:
            x1 = draw_latent(windows["mean"], windows["log_variance"])
        else:
            x1 = windows["latent"]
        x0 = windows["noise"] if "noise" in windows else torch.randn_like(x1)
        kept = {name: windows[name] for name in ("features", "t", "kind") if name in windows}
        return {**kept, "x0": x0, "x1": x1}

    def losses(self, batch: Any, step: int) -> Losses:
        batch, stage = self.finished(batch), self.recipe.part
        if self.ear is None:
            return {"total": self.loss(batch, stage)}
        losses = {"flow": self.loss(batch, stage), "named": self.misnamed(batch, stage)}
        return {"total": losses["flow"] + self.recipe.loss.named * losses["named"], **losses}

    def loss(self, batch: dict[str, Tensor], stage: str) -> Tensor:
        """A stage's loss. The null condition is that of zero features, so the layers that see them learn as well."""
        x0, x1, t, how = batch["x0"], batch["x1"], batch["t"], self.recipe.loss
        c = self.condition(batch["features"])
        weight = logit_normal_weight if how.weight == "logit-normal" else torch.ones_like
        if stage == "field":
            return flow_loss(self.network(interpolate(x0, x1, t), t, c), x0, x1, t, weight)
        null = self.network.null_condition(c)
        if stage == "reflow":
            return reflow_loss(self.network, x0, x1, t, c, null, how.guidance, weight)
        return distillation_loss(self.network, x0, x1, c, null, how.guidance)

    def misnamed(self, batch: dict[str, Tensor], stage: str) -> Tensor:
        """What the ear makes of where the flow leads, x + (1 - t) v, guided as the finished model is.

        The field goes to x by itself, as when it is sampled; on paths to true sounds it hardly ever goes wrong.
        """
        shared, how = self.recipe.shared, self.recipe.loss
        guidance, rescale = (shared.guidance, 0.0) if stage == "field" else how.guiding
        steps, stops = HEARD[stage]
        stop = stops[int(torch.randint(len(stops), ()))]
        c = self.condition(batch["features"])
        null = self.network.null_condition(c)

        def velocity(x: Tensor, t: float) -> Tensor:
            return guided_velocity(self.network, x, x.new_full((len(x),), t), c, null, guidance, rescale)

        with torch.no_grad():
            *_, (t, x) = (0.0, batch["x0"]), *islice(solve(velocity, batch["x0"], steps), stop)
        return self.ear.loss(x + (1 - t) * velocity(x, t), batch["kind"])

    def condition(self, features: Tensor) -> Tensor:
        """c [B, L, W / 2] of windows' features [B, L, D], which have one row per latent column."""
        return self.network.condition(features, torch.arange(features.shape[1], device=features.device))

    def fixed_windows(self, count: int) -> dict[str, Tensor]:
        """The first `count` validation windows, always the same ones, or as many as there are; where it is computed."""
        indices = range(min(count, len(self.valid.items)))
        rows = [self.valid.window([self.valid.fixed(index)], self.fields) for index in indices]
        windows = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        windows |= self.kinds([self.valid.data.ids[self.valid.items[index]] for index in indices])
        return machines.move(windows | {"t": draw_times(len(rows), self.recipe.loss.time)}, machines.device())

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Loss on fixed windows with their own features and with another clip's; after a reflow of one step as well.

        "named" is what the ear makes of them, if there is one.
        """
        batch = self.finished(self.fixed_windows(JUDGED))
        foreign = batch | {"features": batch["features"].roll(1, 0)}
        stage = self.recipe.part
        judged = {"loss": (self.loss, batch, stage), "foreign": (self.loss, foreign, stage)}
        if stage == "reflow":
            judged["one_step"] = (self.loss, batch, "distillation")
        if self.ear:
            judged["named"] = (self.misnamed, batch, stage)
        return {name: self.judge(*what) for name, what in judged.items()}

    def judge(self, loss: Callable[..., Tensor], batch: dict[str, Tensor], stage: str) -> float:
        """Mean of a loss over a batch, in parts of the size that is trained with."""
        parts = zip(*(value.split(self.recipe.optim.batch) for value in batch.values()), strict=True)
        parts = [dict(zip(batch, part, strict=True)) for part in parts]
        return sum(loss(part, stage).item() * len(part["t"]) for part in parts) / len(batch["t"])

    @torch.inference_mode()
    def preview(self) -> dict[str, Tensor]:
        """Mels [M, T] of fixed validation windows: the true ones, and what the guided field makes of noise.

        Of pairs, those of their latents, and of the latents that the field makes of the same noise.
        """
        stage, shared = self.recipe.part, self.recipe.shared
        guidance = shared.guidance if stage == "field" else self.recipe.loss.guidance
        windows = self.fixed_windows(SHOWN)
        batch = self.finished(windows)
        c = self.condition(batch["features"])
        null = self.network.null_condition(c)

        def velocity(x: Tensor, t: float) -> Tensor:
            return guided_velocity(self.network, x, x.new_full((len(x),), t), c, null, guidance)

        *_, (_, latent) = solve(velocity, batch["x0"], STEPS.get(stage, shared.steps))
        decode = partial(decode_latent, self.autoencoder, window=shared.clock.window, overlap=0)
        mels = {"true": windows["mel"] if "mel" in windows else decode(batch["x1"]), "generated": decode(latent)}
        names = [self.valid.data.ids[item] for item in self.valid.items[:SHOWN]]
        return {f"{name}/{kind}": mel for kind in mels for name, mel in zip(names, mels[kind], strict=True)}

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.network.config)
