"""What a training run is: TOML files over frozen dataclasses.

A recipe folder holds `model.toml` (what the parts have in common) and one file per part. Only what differs from the
defaults below needs to be written; an unknown key is an error that names the nearest right one.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from frieren.clock import Clock
from frieren.errors import FrierenError
from frieren.nets.autoencoder import AutoencoderConfig
from frieren.nets.cavp import CAVPConfig
from frieren.nets.discriminators import DiscriminatorConfig
from frieren.nets.field import FieldConfig
from frieren.nets.vocos import VocosConfig
from frieren.spectrogram import MelConfig

Built = TypeVar("Built")


class RecipeError(FrierenError):
    """A recipe cannot be read: missing file, unknown key, wrong type."""


@dataclass(frozen=True)
class Shared:
    """`model.toml`: what the parts of one model have in common."""

    name: str = "mini"
    description: str = ""
    image_size: int = 64  # pixels, height and width of the rendered frames
    clips: int = 1500  # FoleyWorld training clips
    valid: int = 60  # FoleyWorld validation clips
    steps: int = 25  # default solver steps of the finished model
    guidance: float = 4.5
    clock: Clock = field(default_factory=Clock)
    mel: MelConfig = field(default_factory=MelConfig)


@dataclass(frozen=True)
class Optim:
    """AdamW with linear warm-up, then a constant rate, then a linear fall to zero."""

    lr: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    warmup: int = 1000  # steps
    decay: float = 0.0  # share of all steps, at the end, over which the rate falls to zero
    steps: int = 100_000
    batch: int = 32
    clip: float = 0.0  # largest gradient norm; 0 is off


@dataclass(frozen=True)
class EncoderLoss:
    """The encoder learns to foretell the sound; a small head, thrown away afterwards, does the telling."""

    frames: int = 64  # frames in one training crop
    head: int = 128  # width of the head
    bands: int = 20  # log-mel bands foretold
    slots: int = 2  # instants foretold per frame
    settle: int = 10**9  # from this step on, batch normalisation uses its running statistics
    momentum: float = 0.1  # of the running statistics
    onset: float = 4.0  # weight of the onsets against the levels
    easy: int = 0  # first steps, on clips of levels 0 and 1 only


@dataclass(frozen=True)
class AutoencoderLoss:
    """Reconstruction and Kullback-Leibler terms, each a mean over its elements."""

    columns: int = 256  # mel columns in one training crop
    cut: bool = False  # decode a random part of the latent, not always the whole
    kl: float = 1.25e-7  # Make-An-Audio 2's 1e-6 on sums, for its 80 x 624 mels and 20 x 312 latents


@dataclass(frozen=True)
class VocoderLoss:
    """Generator terms of HiFi-GAN and BigVGAN; the adversary joins after `solo` steps."""

    columns: int = 32  # mel columns in one training crop
    margin: int = 4  # further columns on each side that are not judged
    solo: int = 0  # first steps, without the adversary
    mel: float = 45.0
    spectrum: float = 0.0  # multi-resolution STFT magnitude
    feature: float = 2.0
    adversarial: float = 1.0
    judges: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


@dataclass(frozen=True)
class FieldLoss:
    """Rectified flow with condition dropout (paper section 3)."""

    drop: float = 0.2  # probability that an item's features are zero


@dataclass(frozen=True)
class Recipe:
    """One part's run."""

    part: str  # a key of PARTS
    seed: int = 0
    network: Any = None  # the part's config
    loss: Any = None  # the part's loss dataclass
    optim: Optim = field(default_factory=Optim)
    init: str = ""  # safetensors file to start from
    log_every: int = 50  # steps
    save_every: int = 500  # steps
    shared: Shared = field(default_factory=Shared)


PARTS: dict[str, tuple[type, type]] = {
    "encoder": (CAVPConfig, EncoderLoss),
    "autoencoder": (AutoencoderConfig, AutoencoderLoss),
    "vocoder": (VocosConfig, VocoderLoss),
    "field": (FieldConfig, FieldLoss),
}


def read_recipe(path: Path, changes: list[str] | None = None) -> Recipe:
    """Reads one part's TOML file and the `model.toml` beside it.

    Args:
        path: the recipe.
        changes: "optim.lr=1e-4" and the like, as from `--set`.

    Raises:
        RecipeError: if a file is missing or not TOML, or a key is unknown.
    """
    table = read_toml(path)
    table["shared"] = read_toml(path.with_name("model.toml"))
    for change in changes or []:
        apply_change(table, change)
    part = table.get("part", path.stem)
    if part not in PARTS:
        raise RecipeError(f"{path}: unknown part {part!r}; expected one of {', '.join(PARTS)}")
    network, loss = PARTS[part]
    network = build(network, table.pop("network", {}), f"{path} [network]")
    loss = build(loss, table.pop("loss", {}), f"{path} [loss]")
    return dataclasses.replace(build(Recipe, {"part": part, **table}, str(path)), network=network, loss=loss)


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file, or RecipeError."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give a recipe such as recipes/mini") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error


def apply_change(table: dict[str, Any], change: str) -> None:
    """Puts "a.b=value" into the table; the value is read as TOML, or as a bare word."""
    key, equals, value = change.partition("=")
    if not equals:
        raise RecipeError(f"--set {change}: expected key=value, such as optim.lr=1e-4")
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {change}: {parent} is a value, not a table")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value


def build(kind: type[Built], table: dict[str, Any], where: str) -> Built:
    """A dataclass from a table, with nested tables and lists as tuples.

    Raises:
        RecipeError: for an unknown key (naming the nearest right one) or a value of the wrong type.
    """
    types = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in types:
            near = difflib.get_close_matches(key, types, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(types)}"
            raise RecipeError(f"{where}: unknown key {key!r}{hint}")
        if isinstance(value, dict) and dataclasses.is_dataclass(types[key]):
            value = build(types[key], value, f"{where} [{key}]")
        elif isinstance(value, list):
            value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        elif types[key] in (int, float, str, bool) and not isinstance(
            value, (int, float) if types[key] is float else types[key]
        ):
            raise RecipeError(f"{where}: {key} must be {types[key].__name__}, got {value!r}")
        values[key] = value
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {error}") from error
