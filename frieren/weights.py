"""A model as a folder: configurations, hashes, strict load, save.

`config.json` holds rates and defaults; each part has a folder with its own `config.json` and `model.safetensors`.
Nothing is ever unpickled.

    mini/
    ├── config.json
    ├── encoder/      config.json  model.safetensors
    ├── autoencoder/  ...
    ├── field/        ...
    └── vocoder/      ...
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from frieren.clock import Clock
from frieren.configs import from_table
from frieren.errors import ConfigError, WeightsError, reason
from frieren.files import files_hash, replacing, write_json
from frieren.spectrogram import MelConfig

PARTS = ("encoder", "autoencoder", "field", "vocoder")
PART_FILES = ("config.json", "model.safetensors")
# Classes of networks -> their modules in `frieren.nets`, of which a model imports those that it has.
NETWORKS = {
    "VideoTower": "cavp",
    "MelAutoencoder": "autoencoder",
    "VectorField": "field",
    "CodeTransformer": "rivals.codes",
    "DiffFoley": "rivals.diff_foley",
    "Im2Wav": "rivals.im2wav",
    "Vocos": "vocos",
    "BigVGAN": "bigvgan",
    "CAVP": "cavp_pair",
    "AlignmentClassifier": "scorers.alignment",
    "Tagger": "scorers.tagger",
    "MotionEncoder": "motion",
    "Cnn14": "scorers.panns",
    "Vggish": "scorers.vggish",
    "LatentAlignment": "scorers.latent_alignment",
    "Synchformer": "scorers.synchformer",
    "EfficientNet": "efficientnet",
    "SoundClassifier": "scorers.sound_classifier",
}
# Keys of configurations in folders that older versions wrote -> what they are called now.
RENAMED: dict[str, dict[str, str]] = {
    "ModelConfig": {"spread": "guidance_rescale", "polish": "griffin_lim_iterations"},
    "AlignmentConfig": {"stretch": "segment"},
    "SynchformerConfig": {"seeing_depth": "video_depth", "hearing_depth": "sound_depth"},
}
# Likewise in names of parameters.
RENAMED_MODULES = {
    "past": "skip",
    "judge": "convolve",
    "seen": "embed_video",
    "heard": "embed_sound",
    "norm_seen": "norm_video",
    "norm_heard": "norm_sound",
}
# Settings of a model, and what they may be.
LONGEST_CONFIG = 1 << 20  # bytes
RANGES = (
    ("steps", 1, 10_000),
    ("guidance", 0, 1000),
    ("guidance_rescale", 0, 1000),
    ("griffin_lim_iterations", 0, 1000),
)
LARGEST = 1_000_000  # of any size of a network; smaller where a name says what it is
LARGEST_OF = {"image_size": 4096, "n_fft": 65_536, "bins": 4096}
COUNTS = ("depth", "blocks", "layers")  # of modules; each has parameters of its own
Windows = Literal["seamless", "published"]
Condition = Literal["frames", "cues"]
T = TypeVar("T")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class ModelConfig:
    """Settings of a model: its rates and the defaults of its sampling.

    Raises:
        ValueError: for windows or parts that do not exist.
    """

    name: str
    description: str = ""
    steps: int = 25  # solver steps
    guidance: float = 4.5
    guidance_rescale: float = (
        0.0  # guidance whose standard deviation the velocity gets (`flow.guided_velocity`); 0: off
    )
    solver: str = "euler"
    griffin_lim_iterations: int = 0  # on the vocoder's wave (`wave.GriffinLimRefinement`); 0: none
    clock: Clock = field(default_factory=Clock)
    mel: MelConfig = field(default_factory=MelConfig)
    windows: Windows = "seamless"  # of a long sound: solved together with overlaps, or one after the other (published)
    condition: Condition = "frames"  # what features are made of: frames, by the encoder, or a cue sheet
    strike_delay: float = 0.0  # s by which its sounds begin before the strikes that it is told, added to these
    parts: tuple[str, ...] = PARTS  # that the model has
    base: str = ""  # name of the folder beside this one that holds the parts which are not here

    def __post_init__(self) -> None:
        if unknown := set(self.parts) - set(PARTS):
            raise ValueError(f"parts must be among {', '.join(PARTS)}, got {', '.join(map(str, unknown))}")
        for name, least, most in RANGES:
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in {least}..{most}, got {getattr(self, name)}")
        if Path(self.base).name != self.base or self.base == "..":
            raise ValueError(f"base must be the name of a folder beside the model's, got {self.base!r}")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or WeightsError."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise WeightsError(f"{path}: this is not a file; copy the model again")
        with path.open("rb") as file:
            text = file.read(LONGEST_CONFIG + 1)
        table = json.loads(text) if len(text) <= LONGEST_CONFIG else None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read as a configuration ({reason(error)})") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path}: expected a JSON object, got {type(table).__name__}")
    return table


def config_from(kind: type[T], table: Mapping[str, Any], path: Path) -> T:
    """A config dataclass from its JSON form; keys that were called otherwise in older folders are known.

    Raises:
        WeightsError: for a key that the config does not have, or a value that it refuses.
    """
    renamed = RENAMED.get(kind.__name__, {})
    try:
        return from_table(kind, {renamed.get(key, key): value for key, value in table.items()})
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}; is the file from a newer version?") from error


def read_model_config(folder: Path) -> ModelConfig:
    """The `config.json` of a model folder."""
    path = folder / "config.json"
    return config_from(ModelConfig, read_json(path), path)


def parts_of(condition: Condition) -> tuple[str, ...]:
    """The parts of a whole model: one that is conditioned by cue sheets has no encoder."""
    return PARTS if condition == "frames" else tuple(part for part in PARTS if part != "encoder")


def save_model_config(folder: Path, config: ModelConfig) -> None:
    """Writes the `config.json` of a model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", dataclasses.asdict(config))


def save_part(folder: Path, network: nn.Module, config: Any, dtype: torch.dtype = torch.float32) -> None:
    """Writes one part: its config and its parameters, floating-point ones as `dtype`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous().clone()
        for key, value in network.state_dict().items()
    }
    write_json(folder / "config.json", {"network": type(network).__name__, **dataclasses.asdict(config)})
    with replacing(folder / "model.safetensors") as part:  # last: where it is, the part is whole
        save_file(state, part)
        part.chmod(0o644)  # safetensors writes for the owner alone


def load_part(folder: Path) -> nn.Module:
    """One part in evaluation mode, float32, every parameter accounted for.

    Raises:
        WeightsError: if a file is missing or broken, a size cannot be, or parameters are missing, unexpected or of
            another shape or kind.
    """
    table = read_json(folder / "config.json")
    name = table.pop("network", None)
    if name not in NETWORKS:
        raise WeightsError(f"{folder / 'config.json'}: unknown network {name!r}; expected one of {', '.join(NETWORKS)}")
    check_sizes(folder, table)
    network = getattr(import_module(f"frieren.nets.{NETWORKS[name]}"), name)
    config = config_from(get_type_hints(network.__init__)["config"], table, folder / "config.json")
    with torch.device("meta"), WithoutDraws():
        part: nn.Module = network(config)
    path = folder / "model.safetensors"
    state = read_parameters(path)
    check(path, part.state_dict(), state)
    state = {
        key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for key, value in state.items()
    }
    part.load_state_dict(state, assign=True)
    return part.eval().requires_grad_(False)


class WithoutDraws(TorchFunctionMode):
    """Within it nothing is drawn into parameters on the meta device.

    That would do no harm, but the first draw there has torch import its compiler, which takes longer than all the rest.
    """

    DRAWS = frozenset((Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The tensor as it is in place of a draw; all else is done."""
        named = kwargs or {}
        return (named.get("tensor") if not args else args[0]) if func in self.DRAWS else func(*args, **named)


def check_sizes(folder: Path, table: Mapping[str, Any]) -> None:
    """Hold the numbers of a part's configuration against its parameters before a network of that size is built.

    Raises:
        WeightsError: one of them is not a size of any network, or counts more modules than there are parameters.
    """
    path = folder / "model.safetensors"
    try:
        with safe_open(path, "pt") as file:
            parameters = len(file.keys())
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: cannot be read as safetensors ({error}); install or copy the model again"
        ) from error
    for key, value in numbers(table):
        name = key.split(".")[-1]
        most = parameters if name in COUNTS else LARGEST_OF.get(name, LARGEST)
        if not abs(value) <= most:
            raise WeightsError(f"{folder / 'config.json'}: {key} is {value}, more than {most}; copy the model again")


def numbers(table: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a table and in all that it holds, each after its dotted key."""
    if isinstance(table, Mapping):
        for name, value in table.items():
            yield from numbers(value, f"{key}.{name}" if key else name)
    elif isinstance(table, list):
        for value in table:
            yield from numbers(value, key)
    elif isinstance(table, int | float):
        yield key, table


def load_network(folder: Path, kind: type[Network]) -> Network:
    """One part, which must be of a class; otherwise as `load_part`.

    Raises:
        WeightsError: if it is of another class, and as `load_part`.
    """
    part = load_part(folder)
    if not isinstance(part, kind):
        raise WeightsError(f"{folder}: expected a {kind.__name__}, found a {type(part).__name__}")
    return part


def read_parameters(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a safetensors file, under the names of today.

    Raises:
        WeightsError: if the file cannot be read.
    """
    try:
        return {current_name(key): value for key, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: cannot be read as safetensors ({error}); install or copy the model again"
        ) from error


def current_name(parameter: str) -> str:
    """The name of a parameter, which an older version may have saved under another one."""
    return ".".join(RENAMED_MODULES.get(module, module) for module in parameter.split("."))


def check(path: Path, wanted: dict[str, torch.Tensor], got: dict[str, torch.Tensor]) -> None:
    """Raises WeightsError unless names and shapes agree exactly."""
    if missing := sorted(set(wanted) - set(got)):
        raise WeightsError(f"{path}: {len(missing)} parameters missing, the first is {missing[0]}")
    if unexpected := sorted(set(got) - set(wanted)):
        raise WeightsError(f"{path}: {len(unexpected)} unexpected parameters, the first is {unexpected[0]}")
    for key, value in wanted.items():
        if value.shape != got[key].shape:
            raise WeightsError(f"{path}: {key} has shape {tuple(got[key].shape)}, expected {tuple(value.shape)}")
        if value.is_floating_point() != got[key].is_floating_point():
            raise WeightsError(f"{path}: {key} holds {got[key].dtype}, expected {value.dtype}")


def part_folders(folder: Path, config: ModelConfig) -> dict[str, Path]:
    """Folders of a model's parts, in its own folder or in that of its base."""
    base = folder.absolute().parent / config.base if config.base else folder
    return {part: (folder if (folder / part).exists() else base) / part for part in config.parts}


def fingerprint(folder: Path) -> str:
    """SHA-256 over all configs and parameters of a model folder, in order of name."""
    files = {"config.json": folder / "config.json"}
    for part, place in part_folders(folder, read_model_config(folder)).items():
        files |= {f"{part}/{name}": place / name for name in PART_FILES}
    return files_hash({name: files[name] for name in sorted(files, key=hash_order)})


def hash_order(name: str) -> tuple[int, str, str]:
    """The order in which files are hashed: those of the folder itself before those of its parts, then by file name."""
    return name.count("/"), Path(name).name, name


def part_fingerprint(folder: Path) -> str:
    """SHA-256 over config and parameters of one part's folder."""
    return files_hash({name: folder / name for name in PART_FILES})
