"""Recipes of training runs: TOML files over frozen dataclasses.

A recipe folder holds `model.toml` (what the parts have in common) and one file per part; a `model.toml` in the folder
above holds what several recipe folders have in common. Only what differs from the
defaults below needs to be written; an unknown key is an error that names the nearest right one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from frieren.clock import Clock
from frieren.configs import from_table
from frieren.errors import ConfigError, FrierenError
from frieren.nets.autoencoder import AutoencoderConfig
from frieren.nets.bigvgan import BigVGANConfig
from frieren.nets.cavp import CAVPConfig
from frieren.nets.cavp_pair import CAVPPairConfig
from frieren.nets.field import FieldConfig
from frieren.nets.motion import MotionConfig
from frieren.nets.rivals.codes import CodeTransformerConfig
from frieren.nets.rivals.diff_foley import DiffFoleyConfig
from frieren.nets.rivals.im2wav import Im2WavConfig
from frieren.nets.scorers.alignment import AlignmentConfig
from frieren.nets.scorers.sound_classifier import SoundClassifierConfig
from frieren.nets.scorers.tagger import TaggerConfig
from frieren.nets.vocos import VocosConfig
from frieren.spectrogram import MelConfig
from frieren.training.loss_settings import (
    AlignmentLoss,
    AutoencoderLoss,
    ContrastLoss,
    EncoderLoss,
    FieldLoss,
    MotionLoss,
    PairsLoss,
    RecordingsLoss,
    TaggerLoss,
    VocoderLoss,
)
from frieren.weights import Condition, config_from, parts_of, read_json

Net = TypeVar("Net", covariant=True)
Loss = TypeVar("Loss", covariant=True)
Precision = Literal["float32", "bfloat16"]


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
    solver: str = "euler"  # of the finished model
    griffin_lim_iterations: int = 0  # on the waves of the finished model (`wave.GriffinLimRefinement`)
    data: str = ""  # prepared data set to learn from; "": FoleyWorld, prepared by the run
    splits: tuple[str, str] = ("train", "valid")  # of `data`: for training and for validation
    pairs: str = ""  # data set of `frieren pairs` for reflow and distillation; "": made by the run's own field
    frozen: str = ""  # model folder whose other parts the field is trained and assembled with; "": the run's own
    condition: Condition = "frames"  # what the field's features are made of: frames, by the encoder, or cue sheets
    strike_delay: float = 0.0  # of the finished model (`weights.ModelConfig`)
    clock: Clock = field(default_factory=Clock)
    mel: MelConfig = field(default_factory=MelConfig)


@dataclass(frozen=True)
class Optim:
    """AdamW with linear warm-up, then a constant or exponentially decaying rate, then a cooldown to zero.

    Raises:
        ValueError: for an `ema` out of range.
    """

    lr: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    decay_vectors: bool = True  # weight decay of biases, norms and scalars as well, not of matrices and kernels alone
    warmup: int = 1000  # steps
    lr_gamma: float = 1.0  # factor on the rate at every step
    cooldown: float = 0.0  # fraction of all steps, at the end, over which the rate falls to zero
    fall: Literal["line", "cosine"] = "line"  # shape of the cooldown
    steps: int = 100_000
    batch: int = 32  # items per process and micro-batch
    clip: float = 0.0  # largest gradient norm; 0 is off
    ema: float = 0.0  # decay of the averaged weights, which are validated and kept; 0 is off, as published

    def __post_init__(self) -> None:
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be a decay from 0 (off) to below 1, such as 0.999, got {self.ema}")


@dataclass(frozen=True)
class Machines:
    """How a run uses the machines; how many there are is for torchrun to say (docs/scale.md).

    Raises:
        ValueError: for no micro-batch, or workers below 0.
    """

    # Every process holds the whole network ("ddp") or a shard of it ("shard": FSDP2).
    parallel: Literal["ddp", "shard"] = "ddp"
    precision: Precision = "float32"  # "bfloat16": autocast; weights, sums of gradients and optimiser stay float32
    accumulate: int = 1  # micro-batches per optimiser step
    workers: int = 0  # data-loading processes of each training process; 0: it makes its own batches
    compile: bool = False  # torch.compile the network

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be 1 or more, got {self.accumulate}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")


@dataclass(frozen=True)
class Recipe(Generic[Net, Loss]):
    """One part's run: what is trained (`network`), by which `loss`, and how.

    Raises:
        ValueError: for an interval of no steps.
    """

    part: str  # a key of PARTS
    network: Net  # the part's config
    loss: Loss  # the part's loss dataclass
    kind: str = ""  # which of its KINDS the network is; the one in PARTS if it is not said
    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    init: str = ""  # folder of a part, or safetensors file, to start from
    machines: Machines = field(default_factory=Machines)
    log_every: int = 50  # steps
    save_every: int = 500  # steps
    preview_every: int = 2000  # steps between pictures and sounds of validation clips, for a board
    keep: int = 2  # newest checkpoints that stay
    board: Literal["none", "tensorboard", "wandb"] = "none"
    shared: Shared = field(default_factory=Shared)

    def __post_init__(self) -> None:
        for name in ("log_every", "save_every", "preview_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    @property
    def splits(self) -> tuple[str, str]:
        """Names of the splits for training and for validation."""
        return self.shared.splits if self.shared.data else Shared.splits

    def frozen_folder(self, out: Path, part: str) -> Path:
        """Folder of a part that the field builds on: in the model that the recipe names, or in the run `out`."""
        return Path(self.shared.frozen) / part if self.shared.frozen else part_folder(out, part)

    def model_parts(self, out: Path) -> dict[str, Path]:
        """Folders of the finished model's parts: the run's own, or those of the model that the recipe names.

        The field is always the run's own, as is whatever it has trained besides.
        """
        own = {part: part_folder(out, part) for part in parts_of(self.shared.condition)}
        return {
            part: folder if part == "field" or folder.exists() else self.frozen_folder(out, part)
            for part, folder in own.items()
        }

    def resolved(self, out: Path) -> Recipe[Any, Loss]:
        """The recipe with what follows from the stage before, in the run `out`: where it starts, and its sizes.

        Raises:
            RecipeError: if the stage before has not been trained.
        """
        if self.part not in STAGE_BEFORE:
            return self
        init = self.init or str(out / STAGE_BEFORE[self.part])
        path = trained(Path(init)) / "config.json"
        table = {key: value for key, value in read_json(path).items() if key != "network"}
        fields: dict[str, Any] = {"init": init, "network": config_from(FieldConfig, table, path)}
        return replace(self, **fields)


AnyRecipe = Recipe[Any, Any]
# In the order of training: whoever builds on a part comes after it.
PARTS: dict[str, tuple[type, type]] = {
    "cavp": (CAVPPairConfig, ContrastLoss),
    "encoder": (CAVPConfig, EncoderLoss),
    "recordings": (SoundClassifierConfig, RecordingsLoss),
    "autoencoder": (AutoencoderConfig, AutoencoderLoss),
    "vocoder": (VocosConfig, VocoderLoss),
    "classifier": (TaggerConfig, TaggerLoss),
    "field": (FieldConfig, FieldLoss),
    "reflow": (FieldConfig, PairsLoss),
    "distillation": (FieldConfig, PairsLoss),
    "alignment": (AlignmentConfig, AlignmentLoss),
    "tagger": (TaggerConfig, TaggerLoss),
    "motion": (MotionConfig, MotionLoss),
}
STAGE_BEFORE = {"reflow": "field", "distillation": "reflow"}  # the stage that a stage of the field starts from
STAGES = ("field", *STAGE_BEFORE)
KINDS: dict[str, dict[str, type]] = {
    "field": {
        "VectorField": FieldConfig,
        "CodeTransformer": CodeTransformerConfig,
        "DiffFoley": DiffFoleyConfig,
        "Im2Wav": Im2WavConfig,
    },
    "vocoder": {"Vocos": VocosConfig, "BigVGAN": BigVGANConfig},
    "recordings": {"SoundClassifier": SoundClassifierConfig, "Tagger": TaggerConfig},
}
# Former names of parts, values and keys.
FORMER_PARTS = {"ear": "classifier"}
FORMER_VALUES = {"thousandths": "discrete"}
RENAMED = {
    "fade": "lr_gamma",
    "decay": "cooldown",
    "polish": "griffin_lim_iterations",
    "solo": "disc_start",
    "judge": "discriminator",
    "judges": "discriminators",
    "named": "class_weight",
    "ear": "classifier",
    "sampled": "sampling_guidance",
    "foreign": "mismatched",
    "alike": "same_class",
    "class_start": "end_start",
}


def part_folder(out: Path, part: str) -> Path:
    """Folder of a part in a run; CAVP's video tower serves as the encoder if none is trained on its own."""
    tower = out / "cavp" / "encoder"
    return tower if part == "encoder" and not (out / part).exists() and tower.exists() else out / part


def trained(folder: Path) -> Path:
    """The folder of a part, if its training has finished.

    Raises:
        RecipeError: if it has not.
    """
    if not (folder / "model.safetensors").exists():
        raise RecipeError(f"{folder}: not trained yet; train the {folder.name} first, or the whole recipe folder")
    return folder


def read_recipe(path: Path, changes: list[str] | None = None) -> AnyRecipe:
    """Reads one part's TOML file, the `model.toml` beside it, and, below that, the one of the folder above if there is.

    Args:
        path: the recipe.
        changes: "optim.lr=1e-4" and the like, as from `--set`.

    Raises:
        RecipeError: if a file is missing or not TOML, a key is unknown, or a value does not go with its key.
    """
    table = read_toml(path)
    above = path.parent.parent / "model.toml"
    table["shared"] = (read_toml(above) if above.exists() else {}) | read_toml(path.with_name("model.toml"))
    for change in changes or []:
        apply_change(table, change)
    part = table.setdefault("part", path.stem)
    if part in FORMER_PARTS:
        raise RecipeError(f"{path}: the part {part!r} is called {FORMER_PARTS[part]!r} now; rename the file")
    if part not in PARTS:
        raise RecipeError(f"{path}: unknown part {part!r}; expected one of {', '.join(PARTS)}")
    network, loss = PARTS[part]
    if kind := table.get("kind"):
        kinds = KINDS.get(part, {})
        if kind not in kinds:
            known = f"one of {', '.join(kinds)}" if kinds else "none: this part has one network only"
            raise RecipeError(f"{path}: unknown kind {kind!r} of {part}; expected {known}")
        network = kinds[kind]
    if part in STAGE_BEFORE and "network" in table:
        raise RecipeError(f"{path}: [network] is that of the stage before, from which {part} starts; leave it out")
    table = {"network": {}, "loss": {}, **table}
    try:
        return from_table(Recipe[network, loss], table, renamed=RENAMED)  # type: ignore[valid-type]
    except ConfigError as error:
        former = {f"; {old!r} is called {new!r} now" for old, new in FORMER_VALUES.items() if repr(old) in str(error)}
        raise RecipeError(f"{path}: {error}{''.join(former)}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        RecipeError: if there is no such file, or it is not TOML.
    """
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
