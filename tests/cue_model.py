"""A model of random parameters that is conditioned by cue sheets, as a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

import frieren
from frieren.conditioning import feature_size
from frieren.nets.field import VectorField
from frieren.weights import save_model_config, save_part


def save_cue_model(path: Path) -> Path:
    """Write the model; it is `tiny` but for its field, which takes the features of a sheet."""
    tiny = frieren.load("tiny", device="cpu")
    torch.manual_seed(0)
    field = VectorField(dataclasses.replace(tiny.field.config, features=feature_size()))
    torch.nn.init.normal_(field.output.weight)
    parts = {"field": field, "autoencoder": tiny.parts["autoencoder"], "vocoder": tiny.parts["vocoder"]}
    for name, part in parts.items():
        save_part(path / name, part, part.config)
    clock = dataclasses.replace(tiny.clock, fps=31.25)
    config = dataclasses.replace(tiny.config, name="cued", condition="cues", steps=2, clock=clock, parts=tuple(parts))
    save_model_config(path, config)
    return path
