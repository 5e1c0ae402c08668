"""A data set as a few big files, read by slices without loading them.

    DATA/
    ├── 00000.safetensors    a shard: some hundred items, every field joined along time
    ├── 00001.safetensors
    ├── ...
    └── index.safetensors    ids, labels, splits and lengths of all items; made by `packing.merge` after the last shard

A shard holds for each field `name` [T1 + T2 + ..., ...] and `name.offsets` [N + 1]; its header holds ids, labels,
splits, what was rejected, and a SHA-256 of every tensor. The index holds the size of every shard and the SHA-256 of its
header. Nothing is ever unpickled.

data = Shards("data/vggsound", "train")
data.read(item=7, field="mel", start=100, count=512)

The order in which a run reads them is `order`'s.

Why not WebDataset or litdata: an interrupted training must go on with exactly the next window, on any number of
processes (`loop`). That takes reading at random, by index and by slices in time, with no place in a stream to restore.
WebDataset reads tar files in sequence; litdata restores the state of its loaders and reads items whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from frieren.errors import FrierenError

INDEX = "index.safetensors"
OPEN = 64  # shards that a process keeps open
OFFSETS = ".offsets"


class ShardError(FrierenError):
    """A data set or one of its shards cannot be read: missing, cut off, changed since it was made.

    Attributes:
        shard: name of the broken file.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.message, self.shard = path, message, path.name

    def __reduce__(self) -> tuple[type[ShardError], tuple[Path, str]]:  # it travels from a worker to its parent
        return ShardError, (self.path, self.message)


def digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()


class Header(NamedTuple):
    """The header of a shard or an index.

    Attributes:
        metadata: the value under its one key.
        sha256: of the header's bytes.
        begins: byte of the file at which each tensor begins.
    """

    metadata: dict[str, Any]
    sha256: str
    begins: dict[str, int]


def header_of(path: Path) -> Header:
    """Reads the header of a safetensors file of ours.

    Raises:
        ShardError: missing, or no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.read(8)
            text = file.read(min(int.from_bytes(size, "little"), path.stat().st_size))
        table = json.loads(text)
        (metadata,) = table.pop("__metadata__").values()
        data = len(size) + len(text)
        begins = {name: data + tensor["data_offsets"][0] for name, tensor in table.items()}
        return Header(json.loads(metadata), hashlib.sha256(size + text).hexdigest(), begins)
    except OSError as error:
        raise ShardError(path, f"cannot be read ({error.strerror}); prepare the data set again") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ShardError(path, "its header is damaged; delete the file and prepare the data set again") from error


def open_tensors(path: Path) -> Any:
    """The file's tensors, memory-mapped, or ShardError."""
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise ShardError(path, f"is damaged ({error}); delete it and prepare the data set again") from error


class Shards:
    """The items of a data set, or of one of its splits. Files are opened by the process that reads them.

    Attributes:
        fields: (type, shape of one time step) of every field, such as {"mel": ("float16", (80,))}.
        sizes: number of items from each shard.
        broken: the errors of shards that turned out to be broken, by shard.
    """

    def __init__(self, folder: str | os.PathLike[str], split: str | None = None, *, verify: bool = False) -> None:
        """Reads the index.

        Args:
            split: only items of this split.
            verify: check the SHA-256 of all tensors of a shard when it is opened, which reads it once as a whole;
                size and header are always checked.

        Raises:
            ShardError: there is no index, or it is damaged; there is no such split.
        """
        self.folder, self.split, self.verify = Path(folder), split, verify
        path = self.folder / INDEX
        if not path.exists():
            raise ShardError(path, "not there; finish the data set with `frieren prepare`")
        metadata = header_of(path).metadata
        with open_tensors(path) as tensors:
            self._index = {name: tensors.get_tensor(name).numpy() for name in tensors.keys()}
        self.shards: list[dict[str, Any]] = metadata["shards"]
        self._kinds = {name: (kind, tuple(shape)) for name, (kind, shape) in metadata["fields"].items()}
        self.fields = {name: kind for name, kind in self._kinds.items() if name != "meta"}
        self._labels, self._splits = metadata["labels"], metadata["splits"]
        counts = np.array([shard["items"] for shard in self.shards], np.int64)
        self._shard = np.repeat(np.arange(len(counts)), counts)  # shard of each item of the data set
        self._rows = self._chosen(split)  # items of the data set that are items here
        self.sizes: list[int] = np.bincount(self._shard[self._rows], minlength=len(counts)).tolist()
        self._starts = {name: self._begin(name, counts) for name in self._kinds}
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self.broken: dict[str, ShardError] = {}

    def _chosen(self, split: str | None) -> np.ndarray:
        codes = self._index["splits"]
        if split is None:
            return np.arange(len(codes))
        if split not in self._splits:
            there = ", ".join(repr(name) for name in self._splits)
            raise ShardError(self.folder / INDEX, f"no split {split!r}; expected one of {there}")
        return np.flatnonzero(codes == self._splits.index(split))

    def _begin(self, field: str, counts: np.ndarray) -> np.ndarray:
        """Where each item begins in its shard's tensor."""
        ends = np.cumsum(self._index[f"lengths.{field}"], dtype=np.int64)
        starts = np.concatenate([[0], ends])
        return starts[:-1] - starts[np.cumsum(counts) - counts][self._shard]

    def __reduce__(self) -> tuple[Callable[..., Shards], tuple[Path, str | None]]:
        return partial(Shards, verify=self.verify), (self.folder, self.split)

    def __del__(self) -> None:
        for shard in self.__dict__.get("_open", {}).values():
            shard.file.close()

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def ids(self) -> list[str]:
        """Names of the items."""
        names = self._index["ids"].tobytes().decode().split("\n")
        return [names[row] for row in self._rows]

    @cached_property
    def labels(self) -> list[str]:
        """Labels of the items, "" where there is none."""
        return [self._labels[code] for code in self._index["labels"][self._rows]]

    def lengths(self, field: str) -> Tensor:
        """[N] int64, time steps of `field` in each item."""
        return torch.from_numpy(self._index[f"lengths.{self._known(field)}"][self._rows].astype(np.int64))

    def read(self, item: int, field: str, start: int = 0, count: int | None = None) -> Tensor:
        """A slice of one item along time.

        Args:
            item: 0 .. len - 1.
            field: a key of `fields`.
            start, count: first time step and how many; None: all that follow.

        Returns:
            [count, ...], a copy of its own.

        Raises:
            ShardError: the item's shard is broken.
            KeyError, IndexError: no such field or item, or the slice is not within it.
        """
        row = self._row(item)
        length = int(self._index[f"lengths.{self._known(field)}"][row])
        count = length - start if count is None else count
        if start < 0 or count < 0 or start + count > length:
            raise IndexError(f"{field} {start}..{start + count} of item {item}: it has {length}")
        return self._slice(row, field, start, count)

    def meta(self, item: int) -> dict[str, Any]:
        """Metadata of an item.

        Raises:
            ShardError, IndexError: see `read`.
        """
        row = self._row(item)
        text = self._slice(row, "meta", 0, int(self._index["lengths.meta"][row]))
        return json.loads(text.numpy().tobytes())

    def _slice(self, row: int, field: str, start: int, count: int) -> Tensor:
        """Time steps of one item of the data set, by one read into a tensor of its own.

        A copy out of mapped memory would be made by torch's threads, which wait for each other where cores are busy:
        5 ms instead of 0.03 for 512 columns of a mel.
        """
        kind, shape = self._kinds[field]
        found = torch.empty((count, *shape), dtype=getattr(torch, kind))
        if found.numel() == 0:
            return found
        shard = self._opened(int(self._shard[row]))
        stride = found[0].numel() * found.element_size()  # bytes of a time step
        place = shard.begins[field] + (int(self._starts[field][row]) + start) * stride
        try:
            done = os.preadv(shard.file.fileno(), [found.flatten().view(torch.uint8).numpy().data], place)
        except OSError as error:
            raise ShardError(shard.path, f"cannot be read ({error.strerror}); check the disk") from error
        if done != count * stride:
            raise ShardError(shard.path, "is shorter than it was; delete it and prepare the data set again")
        return found

    def _row(self, item: int) -> int:
        if not 0 <= item < len(self):
            raise IndexError(f"item {item}: there are {len(self)}")
        return int(self._rows[item])

    def _known(self, field: str) -> str:
        if field not in self.fields:
            raise KeyError(f"{self.folder}: no field {field!r}; there are {', '.join(self.fields)}")
        return field

    def _opened(self, index: int) -> OpenShard:
        """A shard that has been checked; the latest few stay open."""
        shard = self.shards[index]
        if shard["name"] in self.broken:
            raise self.broken[shard["name"]]
        if index not in self._open:
            try:
                self._open[index] = checked(self.folder / shard["name"], shard, self.verify)
            except ShardError as error:
                self.broken[shard["name"]] = error
                raise
            if len(self._open) > OPEN:
                self._open.popitem(last=False)[1].file.close()
        self._open.move_to_end(index)
        return self._open[index]

    def check(self, *, verify: bool = True) -> list[ShardError]:
        """Errors of the broken shards that items come from; unless `verify`, by size and header alone."""
        errors = []
        for shard in (shard for shard, size in zip(self.shards, self.sizes, strict=True) if size):
            try:
                checked(self.folder / shard["name"], shard, verify).file.close()
            except ShardError as error:
                errors.append(error)
        return errors


class OpenShard(NamedTuple):
    """A shard that has been checked: its open file, and the byte at which each tensor begins."""

    path: Path
    file: FileIO
    begins: dict[str, int]


def checked(path: Path, shard: Mapping[str, Any], verify: bool) -> OpenShard:
    """Opens a shard that is what the index says.

    Raises:
        ShardError: another size, another header, or, with `verify`, another checksum of a tensor.
    """
    remedy = "delete it and prepare the data set again, which makes only this one"
    if not path.exists():
        raise ShardError(path, "not there; prepare the data set again, which makes only this one")
    if (size := path.stat().st_size) != shard["bytes"]:
        raise ShardError(path, f"{size} bytes long, expected {shard['bytes']}; {remedy}")
    header = header_of(path)
    if header.sha256 != shard["sha256"]:
        raise ShardError(path, f"its header has changed; {remedy}")
    if verify:
        tensors = open_tensors(path)
        for name, expected in header.metadata["sha256"].items():
            if digest(tensors.get_tensor(name)) != expected:
                raise ShardError(path, f"the checksum of {name} is wrong; {remedy}")
    return OpenShard(path, path.open("rb", buffering=0), header.begins)
