"""Items -> shards -> index: how a sharded data set is written; `shards` says what is in it and reads it.

writer = ShardWriter(folder, index=0)
writer.add("clip 1", {"mel": mel}, label="dog", split="train")
writer.write()
merge(folder)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from frieren.dataset.shards import INDEX, OFFSETS, ShardError, digest, header_of, open_tensors
from frieren.errors import OutputError
from frieren.files import replacing


class ShardWriter:
    """Collects the items of one shard in memory and writes them as one file, whole or not at all."""

    def __init__(self, folder: Path, index: int) -> None:
        self.path = shard_path(folder, index)
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.splits: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.columns: dict[str, list[Tensor]] = {}

    def add(
        self,
        id: str,
        fields: Mapping[str, Tensor],
        *,
        label: str = "",
        split: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds an item.

        Args:
            id: its name, in one line.
            fields: tensors with time as first axis, such as mel [T, M]; the same names, types and further axes for
                every item of the data set.
            meta: further metadata, a JSON object.

        Raises:
            ValueError: the fields are not those of the items before; an id of two lines.
        """
        if "\n" in id:
            raise ValueError(f"an id must be one line, got {id!r}")
        table = json.dumps(meta or {}, separators=(",", ":"), sort_keys=True).encode()
        columns = {**fields, "meta": torch.frombuffer(bytearray(table), dtype=torch.uint8)}
        before = {name: column[0] for name, column in self.columns.items()}
        if before and shapes(columns) != shapes(before):
            raise ValueError(f"{id}: fields are {shapes(columns)}, those of the items before {shapes(before)}")
        for name, column in columns.items():
            self.columns.setdefault(name, []).append(column)
        self.ids.append(id)
        self.labels.append(label)
        self.splits.append(split)

    def reject(self, id: str, reason: str) -> None:
        """Records an item that is left out, and why."""
        self.rejected.append((id, reason))

    def write(self) -> Path:
        """Writes the shard; equal items give equal bytes.

        Raises:
            OutputError: the folder is missing or not writable, the disk is full.
        """
        tensors: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            tensors[name] = torch.cat(column)
            tensors[name + OFFSETS] = torch.tensor([0, *accumulate(len(piece) for piece in column)])
        header = {
            "ids": self.ids,
            "labels": self.labels,
            "splits": self.splits,
            "rejected": self.rejected,
            "sha256": {name: digest(tensor) for name, tensor in tensors.items()},
        }
        save_durably(self.path, tensors, {"shard": json.dumps(header)})
        return self.path


def shard_path(folder: Path, index: int) -> Path:
    """File of shard `index` of a data set."""
    return Path(folder) / f"{index:05d}.safetensors"


def shard_paths(folder: Path) -> list[Path]:
    """Files of all shards that are there, in order."""
    return sorted(Path(folder).glob("[0-9]*.safetensors"), key=lambda path: int(path.stem))


def shapes(fields: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of one time step of every field."""
    return {name: (str(field.dtype).removeprefix("torch."), tuple(field.shape[1:])) for name, field in fields.items()}


def save_durably(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file under another name, brings it to the disk, and only then gives it its name.

    `metadata` has one key: safetensors writes several in an order that changes from run to run.
    """
    try:
        with replacing(path) as part:
            save_file(tensors, part, metadata)
            part.chmod(0o644)  # safetensors writes for the owner alone
            with part.open("rb") as file:
                os.fsync(file.fileno())
    except SafetensorError as error:
        raise OutputError(f"{path}: cannot be written ({error}); make room there or choose another folder") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too
    finally:
        os.close(folder)


def merge(folder: Path) -> list[tuple[str, str]]:
    """Makes the index from the headers of all shards.

    Returns:
        (id, reason) of everything that the shards had to leave out.

    Raises:
        ShardError: a shard cannot be read, or has other fields than those before.
    """
    shards, rejected = [], []
    items: dict[str, list[str]] = {"ids": [], "labels": [], "splits": []}
    fields: dict[str, tuple[str, tuple[int, ...]]] = {}
    lengths: dict[str, list[Tensor]] = {}
    for path in shard_paths(folder):
        header = header_of(path)
        items_here = len(header.metadata["ids"])
        shards.append({"name": path.name, "bytes": path.stat().st_size, "sha256": header.sha256, "items": items_here})
        rejected += [(id, reason) for id, reason in header.metadata["rejected"]]
        if not items_here:
            continue
        tensors = open_tensors(path)
        found = shapes({name: tensors.get_slice(name)[:0] for name in tensors.keys() if not name.endswith(OFFSETS)})
        if fields and found != fields:
            raise ShardError(path, f"its fields are {found}, those of the shards before are {fields}; prepare anew")
        fields = found
        for name in found:
            lengths.setdefault(name, []).append(tensors.get_tensor(name + OFFSETS).diff().int())
        for name, column in items.items():
            column += header.metadata[name]
    metadata: dict[str, Any] = {"shards": shards, "fields": fields}
    tensors = {f"lengths.{name}": torch.cat(column) for name, column in lengths.items()}
    tensors["ids"] = torch.frombuffer(bytearray("\n".join(items["ids"]).encode() or b"\n"), dtype=torch.uint8)
    for name in ("labels", "splits"):
        metadata[name] = sorted(set(items[name]))
        code = {value: number for number, value in enumerate(metadata[name])}
        tensors[name] = torch.tensor([code[value] for value in items[name]], dtype=torch.int32)
    save_durably(Path(folder) / INDEX, tensors, {"index": json.dumps(metadata)})
    return rejected
