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
from frieren.nets.alignment import AlignmentConfig
from frieren.nets.autoencoder import AutoencoderConfig
from frieren.nets.bigvgan import BigVGANConfig
from frieren.nets.cavp import CAVPConfig, CAVPPairConfig
from frieren.nets.discriminators import DiscriminatorConfig, PatchConfig
from frieren.nets.field import FieldConfig
from frieren.nets.tagger import TaggerConfig
from frieren.nets.vocos import VocosConfig
from frieren.spectrogram import MelConfig

Built = TypeVar("Built")
BOARDS = ("none", "tensorboard", "wandb")


class RecipeError(FrierenError):
    """A recipe cannot be read: missing file, unknown key, wrong type."""


@dataclass(frozen=True)
class Shared:
    """`model.toml`: what the parts of one model have in common."""

    name: str = "mini"
    description: str = ""
    image_size: int = 64  # pixels, height and width of the rendered frames
    clips: int = 1500  # FoleyWorld training clips
    fresh: int = 0  # those after them that the field learns from instead, which the encoder has not seen; 0: the same
    valid: int = 60  # validation clips: FoleyWorld's, or the first ones of `data`
    steps: int = 25  # default solver steps of the finished model
    guidance: float = 4.5
    polish: int = 0  # of the finished model's waves
    data: str = ""  # prepared data set to learn from; "": FoleyWorld, prepared by the run
    splits: tuple[str, str] = ("train", "valid")  # of `data`: to learn from and to be judged on
    pairs: str = ""  # data set of `frieren pairs` for reflow and distillation; "": made by the run's own field
    frozen: str = ""  # model folder whose encoder and autoencoder the field is trained with; "": the run's own
    clock: Clock = field(default_factory=Clock)
    mel: MelConfig = field(default_factory=MelConfig)


@dataclass(frozen=True)
class Optim:
    """AdamW with linear warm-up, then a constant or slowly fading rate, then a linear fall to zero."""

    lr: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    warmup: int = 1000  # steps
    fade: float = 1.0  # factor by which every step lowers the rate
    decay: float = 0.0  # share of all steps, at the end, over which the rate falls to zero
    steps: int = 100_000
    batch: int = 32  # items per process and micro-batch
    clip: float = 0.0  # largest gradient norm; 0 is off
    ema: float = 0.0  # decay of the averaged weights, that are validated and kept; 0 is off, as published

    def __post_init__(self) -> None:
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be a decay from 0 (off) to below 1, such as 0.999, got {self.ema}")


@dataclass(frozen=True)
class Machines:
    """How a run uses the machines; how many there are is for torchrun to say (docs/scale.md).

    Raises:
        ValueError: for an unknown word, no micro-batch, or workers below 0.
    """

    parallel: str = "ddp"  # every process holds the whole network ("ddp") or its share of it ("shard": FSDP2)
    precision: str = "float32"  # or "bfloat16": autocast; weights, sums of gradients and optimiser stay float32
    accumulate: int = 1  # micro-batches per optimiser step
    workers: int = 0  # processes that make micro-batches ahead of each learning one; 0: it makes its own
    compile: bool = False  # torch.compile the network

    def __post_init__(self) -> None:
        for name, known in (("parallel", ("ddp", "shard")), ("precision", ("float32", "bfloat16"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be 1 or more, got {self.accumulate}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")


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
    what: float = 1.0  # weight of the loudest spectrum of the whole clip, which every frame should tell
    kind: float = 0.0  # weight of naming the kinds that sound, which needs labels
    easy: int = 0  # first steps, on clips of levels 0 and 1 only


@dataclass(frozen=True)
class ContrastLoss:
    """CAVP's contrast between clips and between parts of a clip; the defaults are the published ones (section 4.1)."""

    frames: int = 16  # frames in one crop: 4 s at 4 frames per second
    crops: int = 3  # of every clip
    apart: int = 8  # frames between the starts of a clip's crops, at least
    temporal: float = 1.0  # weight of the contrast between crops of a clip against that between clips
    # What the audio tower hears: 64 columns per second.
    mel: MelConfig = field(default_factory=lambda: MelConfig(hop=250, bins=128, fmin=125.0, fmax=7600.0))


@dataclass(frozen=True)
class AutoencoderLoss:
    """Reconstruction and Kullback-Leibler terms, each a mean over its elements; an adversary after `solo` steps.

    The defaults are Make-An-Audio 2's (paper section 4.6).
    """

    columns: int = 256  # mel columns in one training crop
    cut: bool = False  # decode a random part of the latent, not always the whole
    kl: float = 1.25e-7  # Make-An-Audio 2's 1e-6 on sums, for its 80 x 624 mels and 20 x 312 latents
    peaks: float = 0.0  # weight of `peak_error`, which the published loss does not have
    solo: int = 80_001  # first steps, without the adversary; a run that ends before them has none
    adversarial: float = 1.0  # times the adaptive weight: published as weight 0.5 and factor 2
    r1: float = 3.0  # penalty on the judge's gradient; its squares have weight 1, published as 0.5 and factor 2
    judge: PatchConfig = field(default_factory=PatchConfig)


@dataclass(frozen=True)
class VocoderLoss:
    """Generator terms of HiFi-GAN and BigVGAN; the adversary joins after `solo` steps."""

    columns: int = 32  # mel columns in one training crop
    margin: int = 4  # further columns on each side that are not judged
    solo: int = 0  # first steps, without the adversary
    mel: float = 45.0  # L1 of log10 mels; published 45 is for natural logarithms: 103.6 here
    spectrum: float = 0.0  # multi-resolution STFT magnitude
    feature: float = 2.0
    adversarial: float = 1.0
    judges: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


@dataclass(frozen=True)
class FieldLoss:
    """Rectified flow with condition dropout (paper sections 3 and 6).

    Raises:
        ValueError: for an unknown word.
    """

    drop: float = 0.2  # probability that an item's features are zero
    weight: str = "logit-normal"  # of the error at t (equation 6), or "uniform"
    time: str = "uniform"  # law of t; or "thousandths", as the authors draw it; "logit-normal"; "early"
    white: bool = False  # the input layer starts as the whitening of the features; the authors' is random
    join: float = 0.0  # probability that a window is made of two clips; the authors' code has 0.5
    named: float = 0.0  # weight of having what the flow leads to named by the ear, which needs labels
    ear: str = ""  # folder of the tagger that hears; "": the run's own

    def __post_init__(self) -> None:
        for name, known in (
            ("weight", ("logit-normal", "uniform")),
            ("time", ("uniform", "thousandths", "logit-normal", "early")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class PairsLoss(FieldLoss):
    """Reflow and distillation on pairs of the guided field (equations 8, 9); distillation has t = 0 and no weight."""

    drop: float = 0.0
    guidance: float = 4.5  # of the pairs, and inside the loss
    sampled: float = 0.0  # guidance of the finished model, its velocity as spread as at `guidance`; 0: that itself
    steps: int = 25  # solver steps behind each pair
    draws: int = 1  # pairs of each clip, from windows spread over it; published: one, from its first window
    reencode: bool = False  # data is the latent after a way through the spectrogram, as in the authors' code

    @property
    def guiding(self) -> tuple[float, float]:
        """Guidance and spread (`flow.guided_velocity`) of the finished model."""
        return (self.sampled, self.guidance) if self.sampled else (self.guidance, 0.0)


@dataclass(frozen=True)
class AlignmentLoss:
    """True, shifted and foreign pairs (half, a quarter and a quarter), and the lag at which true pairs agree best."""

    shift: float = 0.5  # s, smallest shift of a shifted pair
    shifts: int = 3  # shifted pairs of each clip
    foreign: int = 4  # foreign pairs of each clip
    alike: float = 0.5  # share of foreign sounds that are of the same kind
    lag: float = 0.25  # weight of the lag
    gain: float = 0.3  # largest change of level in log10 units: 6 dB


@dataclass(frozen=True)
class TaggerLoss:
    """Cross-entropy of the kinds that sound."""

    columns: int = 384  # mel columns in one training crop
    gain: float = 0.5  # largest change of level in log10 units: 10 dB


@dataclass(frozen=True)
class Recipe:
    """One part's run."""

    part: str  # a key of PARTS
    kind: str = ""  # which of its KINDS the network is; the one in PARTS if it is not said
    seed: int = 0
    network: Any = None  # the part's config
    loss: Any = None  # the part's loss dataclass
    optim: Optim = field(default_factory=Optim)
    init: str = ""  # folder of a part, or safetensors file, to start from
    machines: Machines = field(default_factory=Machines)
    log_every: int = 50  # steps
    save_every: int = 500  # steps
    preview_every: int = 2000  # steps between pictures and sounds of validation clips, for a board
    keep: int = 2  # newest checkpoints that stay
    board: str = "none"  # or "tensorboard", "wandb"
    shared: Shared = field(default_factory=Shared)

    def __post_init__(self) -> None:
        for name in ("log_every", "save_every", "preview_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.board not in BOARDS:
            raise ValueError(f"board must be one of {', '.join(BOARDS)}, got {self.board!r}")


# In the order of training: whoever builds on a part comes after it.
PARTS: dict[str, tuple[type, type]] = {
    "cavp": (CAVPPairConfig, ContrastLoss),
    "encoder": (CAVPConfig, EncoderLoss),
    "autoencoder": (AutoencoderConfig, AutoencoderLoss),
    "vocoder": (VocosConfig, VocoderLoss),
    "ear": (TaggerConfig, TaggerLoss),
    "field": (FieldConfig, FieldLoss),
    "reflow": (FieldConfig, PairsLoss),
    "distillation": (FieldConfig, PairsLoss),
    "alignment": (AlignmentConfig, AlignmentLoss),
    "tagger": (TaggerConfig, TaggerLoss),
}
KINDS: dict[str, dict[str, type]] = {"vocoder": {"Vocos": VocosConfig, "BigVGAN": BigVGANConfig}}


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
    if kind := table.get("kind"):
        kinds = KINDS.get(part, {})
        if kind not in kinds:
            known = f"one of {', '.join(kinds)}" if kinds else "none: this part has one network only"
            raise RecipeError(f"{path}: unknown kind {kind!r} of {part}; expected {known}")
        network = kinds[kind]
    if loss is PairsLoss and "network" in table:
        raise RecipeError(f"{path}: [network] is that of the stage before, from which {part} starts; leave it out")
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
