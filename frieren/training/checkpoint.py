"""Checkpoints: folders that are either whole or not there.

    checkpoints/step-00001000/
    ├── state.pt             all tensors of the run, by name; sharded runs have torch.distributed.checkpoint's files
    ├── process-0.pt         what each process keeps for itself: random states, running sums
    └── manifest.json        step, and a checksum of every file

One is written under a temporary name, forced to the disk and renamed, so a kill at any moment leaves the one before.
The number of processes that read one need not be the number that wrote it. All machines must see the folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_sharded
from torch.distributed.checkpoint.state_dict_saver import save as save_sharded
from torch.distributed.tensor import DTensor, distribute_tensor

from frieren.errors import FrierenError
from frieren.training import machines
from frieren.weights import current_name as current_parameter

# What trainables and their modules were called in checkpoints of older versions. Adversarial runs are never sharded.
FORMER_NAMES = {
    r"^judge/": "discriminator/",
    r"^judges/": "discriminators/",
    r"^discriminators/(network|average|optimiser)/judges\.": r"discriminators/\1/discriminators.",
}
STATE, MANIFEST, PART = "state.pt", "manifest.json", ".part"
BLOCK = 1 << 24  # bytes read at once for a checksum


class CheckpointError(FrierenError):
    """No checkpoint of a run can be used."""


def save(folder: Path, step: int, tensors: dict[str, Tensor], own: dict[str, Any], keep: int) -> None:
    """Writes the checkpoint of a step and deletes all but the newest `keep`. Every process calls it.

    Args:
        folder: of the run's checkpoints.
        step: steps done.
        tensors: of the whole run, the same names on every process; some may be sharded (DTensor).
        own: what this process wants back; plain values and tensors.
        keep: checkpoints that stay.
    """
    final = folder / f"step-{step:08d}"
    part = final.with_name(final.name + PART)
    if machines.rank() == 0:
        for leftover in folder.glob(f"*{PART}"):
            shutil.rmtree(leftover)
        part.mkdir(parents=True)
    machines.barrier()
    sharded = any(isinstance(tensor, DTensor) for tensor in tensors.values())
    if sharded:
        save_sharded(tensors, storage_writer=FileSystemWriter(part))
    elif machines.rank() == 0:
        write(part / STATE, tensors)
    write(part / f"process-{machines.rank()}.pt", own)
    machines.barrier()
    sums = checksums(part)
    if machines.rank() == 0:
        manifest = {"step": step, "sharded": sharded, "files": sums}
        (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        sync(part / MANIFEST)
        sync(part)
        if final.exists():  # a broken one that the run fell back from
            discard(final)
        os.replace(part, final)
        sync(folder)
        for old in found(folder)[keep:]:
            discard(old)
    machines.barrier()


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint; a broken one is passed over with a warning. Every process calls it.

    Raises:
        CheckpointError: if there are checkpoints and all are broken.
    """
    candidates = machines.gathered(found(folder))[0]
    for path in candidates:
        fault = machines.gathered(damage(path))
        if not any(fault):
            return path
        if machines.rank() == 0:
            warnings.warn(f"{path}: {next(filter(None, fault))}; going back to the one before", stacklevel=2)
    if candidates:
        raise CheckpointError(f"{folder}: every checkpoint is broken; start over with --no-resume")
    return None


def load(path: Path, targets: Callable[[Mapping[str, torch.Size]], dict[str, Tensor]]) -> dict[str, Any] | None:
    """Copies a checkpoint into a run's tensors. Every process calls it.

    Args:
        path: from `newest`.
        targets: gets the saved names and shapes and returns the tensors to fill.

    Returns:
        What this process kept for itself, or None if it was not there when the checkpoint was made.

    Raises:
        CheckpointError: if names or shapes differ: the recipe has changed.
    """
    if json.loads((path / MANIFEST).read_text())["sharded"]:
        reader = FileSystemReader(path)
        entries = reader.read_metadata().state_dict_metadata
        shapes = {name: entry.size for name, entry in entries.items() if isinstance(entry, TensorStorageMetadata)}
        live = fitting(path, shapes, targets(shapes))
        with warnings.catch_warnings():  # that a single process loads what several saved is what we want
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            load_sharded(live, storage_reader=reader, no_dist=not machines.joined())
    else:
        saved = torch.load(path / STATE, map_location="cpu", weights_only=True, mmap=True)
        saved = {current_name(name): tensor for name, tensor in saved.items()}
        shapes = {name: tensor.shape for name, tensor in saved.items()}
        for name, tensor in fitting(path, shapes, targets(shapes)).items():
            value = saved[name].to(tensor.device)
            if isinstance(tensor, DTensor):
                value = distribute_tensor(value, tensor.device_mesh, tensor.placements)
            tensor.copy_(value)
    own = path / f"process-{machines.rank()}.pt"
    return torch.load(own, weights_only=True) if own.exists() else None


def current_name(name: str) -> str:
    """The name of a tensor, if it was saved under a former one."""
    for former, current in FORMER_NAMES.items():
        name = re.sub(former, current, name)
    trainable, *tensor = name.split("/")
    return "/".join([trainable, *map(current_parameter, tensor)])


def fitting(path: Path, shapes: Mapping[str, torch.Size], live: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to fill, if they are those that were saved."""
    here = {name: tensor.shape for name, tensor in live.items()}
    if different := sorted(name for name in shapes.keys() | here.keys() if shapes.get(name) != here.get(name)):
        name = different[0]
        was, now = (tuple(table[name]) if name in table else "missing" for table in (shapes, here))
        raise CheckpointError(
            f"{path}: {len(different)} tensors differ from the recipe's, the first is {name}: {was} there, {now} here; "
            "go back to the recipe of the run (recipe.json), or start over with --no-resume"
        )
    return live


def found(folder: Path) -> list[Path]:
    """Complete or broken, but not temporary; newest first."""
    return sorted((path for path in folder.glob("step-*") if path.suffix != PART), reverse=True)


def damage(path: Path) -> str | None:
    """The damage to a checkpoint, if any; each process checks its part of the files."""
    try:
        expected = json.loads((path / MANIFEST).read_text())["files"]
        mine = sorted(expected)[machines.rank() :: machines.size()]
        changed = [name for name in mine if checksum(path / name) != expected[name]]
    except (OSError, ValueError, KeyError) as error:
        return f"cannot be read ({error})"
    return f"{changed[0]} is not what was written" if changed else None


def checksums(folder: Path) -> dict[str, int]:
    """CRC-32 of every file, the work shared among the processes."""
    mine = sorted(folder.iterdir())[machines.rank() :: machines.size()]
    parts = machines.gathered({path.name: checksum(path) for path in mine})
    return {name: value for part in parts for name, value in part.items()}


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return value


def write(path: Path, value: Any) -> None:
    """Saves and forces to the disk."""
    torch.save(value, path)
    sync(path)


def sync(path: Path) -> None:
    """Forces a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Deletes a checkpoint; renamed first, so that a kill half-way leaves no half of one under a good name."""
    doomed = path.with_name(f"{path.name}.old{PART}")
    os.replace(path, doomed)
    shutil.rmtree(doomed)
