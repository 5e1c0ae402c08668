"""A published checkpoint as a flat table of tensors, read without running anything that the file says.

Checkpoints are pickles, and a pickle is a program. It is read by torch's restricted unpickler, which knows tensors and
plain values. What Lightning leaves beside the weights (hyper-parameters, callback states) is replaced by stand-ins that
hold nothing, so none of those packages is needed and none of their code runs. Any other name is refused.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from frieren.errors import DamagedFileError, WeightsError

# The tables that weights are published in, outermost first: Lightning's, BigVGAN's, the rest of the world's.
NESTS = ("state_dict", "generator", "model")

# Names that published checkpoints carry beside their weights. To add one is safe: a stand-in runs nothing.
LIGHTNING = ("pytorch_lightning", "lightning.pytorch")
HARMLESS = (
    # Up to 1.4 Lightning keys the states of callbacks by their class.
    *(f"{package}.callbacks.model_checkpoint.ModelCheckpoint" for package in LIGHTNING),
    *(f"{package}.callbacks.early_stopping.EarlyStopping" for package in LIGHTNING),
    *(f"{package}.callbacks.lr_monitor.LearningRateMonitor" for package in LIGHTNING),
    # Hyper-parameters: an omegaconf tree, a parsed command line, a path, a type that a value is declared with.
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Float", "Integer", "String")),
    "argparse.Namespace",
    *(f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
    "typing.Any",
    *(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "str", "tuple")),
    # Scores as numpy numbers, the order of examples as an array; the module was renamed in numpy 2.
    *(f"numpy.{core}.multiarray.{made}" for core in ("core", "_core") for made in ("scalar", "_reconstruct")),
    "numpy.ndarray",
    "numpy.dtype",
)
# The same, where the pickle goes on to set items.
HARMLESS_TABLES = (
    "collections.defaultdict",
    *(f"{package}.utilities.parsing.AttributeDict" for package in LIGHTNING),
    *(f"{package}.utilities.data.AttributeDict" for package in ("lightning_fabric", "lightning.fabric")),
)


class Blank:
    """Stands in for a class or function: takes whatever it is made of, keeps nothing."""

    def __new__(cls, *_: Any) -> Blank:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class BlankTable:
    """Stands in for a kind of dict. The restricted unpickler sets items of a plain dict only, so it makes that."""

    def __new__(cls, *_: Any) -> dict[str, Any]:  # type: ignore[misc]
        return {}


STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((Blank, name) for name in HARMLESS),
    *((BlankTable, name) for name in HARMLESS_TABLES),
]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights in a published file: `.safetensors`, or a pickle of torch (`.ckpt`, `.pt`, `.pth`) of either format.

    Tensors of a zip checkpoint are mapped from the file, privately: only what is used gets read, and the file has to
    stay in place meanwhile. Those of the older format are read as a whole.

    Args:
        path: the file; nothing in it is trusted.

    Returns:
        Tensors by name: on the CPU, contiguous, in the file's precision and order. A `state_dict`, `generator` or
        `model` table is opened.

    Raises:
        DamagedFileError: if the file is broken, cut off, a web page, or claims more than it has.
        WeightsError: if it cannot be read, is no checkpoint, names something to run, or holds something other than
            tensors among the weights.
    """
    size = check_start(path)
    table = unpickle(path)
    for nest in NESTS:
        if isinstance(table, dict) and isinstance(table.get(nest), dict):
            table = table[nest]
    if not isinstance(table, dict) or not table:
        got = f"an empty {type(table).__name__}" if table == {} else f"a {type(table).__name__}"
        raise WeightsError(f"{path}: holds {got}, expected a table of tensors; is it the file with the weights?")
    for key, value in table.items():
        check_tensor(path, key, value, size)
    # A hostile stride makes much of little; what is stored as a row costs no copy.
    if sum(value.nbytes for value in table.values() if not value.is_contiguous()) > size:
        raise DamagedFileError(path, f"its tensors unfold to more than the {size} bytes of the file; refused")
    return {key: value.detach().contiguous() for key, value in table.items()}


def check_start(path: Path) -> int:
    """The size of the file in bytes, or an error if it is missing, empty or one of the usual mistakes."""
    try:
        with path.open("rb") as file:
            start = file.read(256).lstrip().lower()
        size = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    if size == 0:
        raise DamagedFileError(path, "is empty: the download failed; fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise DamagedFileError(path, "is a git-lfs pointer, not the file it points to; fetch it with `git lfs pull`")
    if start.startswith((b"<!doctype html", b"<html")):
        raise DamagedFileError(path, "is an HTML page: the download failed; fetch it again, or by hand in a browser")
    return size


def unpickle(path: Path) -> Any:
    """Whatever the file holds, with stand-ins for what is not tensors and plain values."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        mapped = is_zip(path)
        with stand_ins():
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except WeightsError:
        raise
    except Exception as error:  # a damaged or hostile pickle can raise anything
        if found := re.search(r"GLOBAL (.+?) (?:was not an allowed|whose module)", str(error)):
            name = found[1] if "." in found[1] else f"builtins.{found[1]}"  # torch leaves that word out
            # Without the cause: its message advises to read the file without restrictions.
            raise WeightsError(
                f"{path}: names {name!r}, which was not run; only tensors and plain values are accepted. "
                "Use a file that holds weights alone, from a source that you trust"
            ) from None
        raise DamagedFileError(
            path,
            f"is damaged, or no checkpoint ({type(error).__name__}); compare its size with the published one "
            "and fetch it again",
        ) from error


@contextmanager
def stand_ins() -> Iterator[None]:
    """Makes our names the only ones that torch allows beside its own: other packages may have added real classes."""
    others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(STAND_INS)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(others)


def is_zip(path: Path) -> bool:
    """Tell a checkpoint in the zip format, all of it stored as it is, from any other format (False).

    Raises:
        WeightsError: if it is a zip of something else, or has packed members: torch packs none, and reads them wrongly.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # the test that torch makes
            return False
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if packed := [member for member in members if member.compress_type != zipfile.ZIP_STORED]:
        raise WeightsError(f"{path}: {packed[0].filename!r} in it is compressed; expected a file written by torch.save")
    names = {member.filename.rpartition("/")[2] for member in members}
    if "data.pkl" not in names or "constants.pkl" in names:
        kind = "a TorchScript archive" if "constants.pkl" in names else "a zip of something else"
        raise WeightsError(f"{path}: is {kind}; expected a state dict written by torch.save")
    return True


def check_tensor(path: Path, key: Any, value: Any, size: int) -> None:
    """Raises WeightsError unless this is a named dense tensor that fits in a file of `size` bytes."""
    if not isinstance(key, str):
        raise WeightsError(f"{path}: {key!r} is no name; expected tensors by name")
    if not isinstance(value, Tensor):
        raise WeightsError(
            f"{path}: {key!r} is of type {type(value).__name__}; expected nothing but tensors, "
            f"or a table of them under {', '.join(NESTS)}"
        )
    if value.is_quantized or value.is_nested or value.layout != torch.strided or value.device.type != "cpu":
        kind = "quantised" if value.is_quantized else f"{value.layout} on {value.device.type}"
        raise WeightsError(f"{path}: {key!r} is {kind}; expected a dense tensor, export the weights as such")
    if max(value.untyped_storage().nbytes(), math.prod(value.shape) * value.element_size()) > size:
        raise DamagedFileError(
            path,
            f"{key!r} claims the shape {tuple(value.shape)}, more than the {size} bytes of the file hold; "
            "fetch it again",
        )
