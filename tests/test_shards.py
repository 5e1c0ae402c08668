"""Shards: what is read is what was written, slice by slice; what is broken is named. And the order of a run."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from frieren.dataset import shards
from frieren.dataset.order import Order, OrderedReader
from frieren.dataset.packing import ShardWriter, merge, shard_path
from frieren.dataset.shards import ShardError, Shards
from frieren.errors import OutputError

Truth = list[dict[str, Tensor]]


def made(folder: Path, shards: int = 4) -> Truth:
    """A small data set of 5, 6, 7, ... items per shard; the last shard is the split "valid"."""
    generator = torch.Generator().manual_seed(0)
    truth = []
    for number in range(shards):
        writer = ShardWriter(folder, number)
        for row in range(5 + number):
            length = 20 + 3 * number + row
            item = {
                "mel": torch.randn(length, 8, generator=generator).half(),
                "wave": torch.randint(-99, 99, (4 * length,), generator=generator).short(),
                "images": torch.randint(0, 255, (row + 1, 3, 4, 4), generator=generator).byte(),
            }
            split = "train" if number < shards - 1 else "valid"
            writer.add(f"clip {number} {row}", item, label="ab"[row % 2], split=split, meta={"row": row})
            truth.append(item)
        writer.reject(f"bad {number}", "no sound, nowhere")
        writer.write()
    assert merge(folder) == [(f"bad {number}", "no sound, nowhere") for number in range(shards)]
    return truth


def test_every_slice_is_what_was_written(tmp_path: Path) -> None:
    truth = made(tmp_path)
    data = Shards(tmp_path)
    assert len(data) == len(truth) == 26 and data.sizes == [5, 6, 7, 8]
    assert data.fields == {"images": ("uint8", (3, 4, 4)), "mel": ("float16", (8,)), "wave": ("int16", ())}
    assert data.ids[5] == "clip 1 0" and data.labels[5:7] == ["a", "b"] and data.meta(6) == {"row": 1}
    for item, fields in enumerate(truth):
        for name, value in fields.items():
            assert torch.equal(data.read(item, name), value)
            assert data.lengths(name)[item] == len(value)
        assert torch.equal(data.read(item, "wave", 7, 30), fields["wave"][7:37])
        assert torch.equal(data.read(item, "mel", 9), fields["mel"][9:])
    data.read(3, "mel").zero_()
    assert torch.equal(data.read(3, "mel"), truth[3]["mel"]), "what was read is a copy"


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = made(tmp_path)
    monkeypatch.setattr("frieren.dataset.shards.OPEN", 1)
    files, opened = [], shards.checked

    def checked(*arguments: Any) -> shards.OpenShard:
        shard = opened(*arguments)
        files.append(shard.file)
        return shard

    monkeypatch.setattr(shards, "checked", checked)
    data = Shards(tmp_path)
    for item in (0, 25, 7, 1, 25):
        assert torch.equal(data.read(item, "mel"), truth[item]["mel"])
        assert sum(not file.closed for file in files) == 1
    assert len(files) == 5


def test_a_split_has_its_own_items_only(tmp_path: Path) -> None:
    truth = made(tmp_path)
    valid = Shards(tmp_path, "valid")
    assert len(valid) == 8 and valid.sizes == [0, 0, 0, 8] and valid.ids[0] == "clip 3 0"
    assert torch.equal(valid.read(2, "mel"), truth[20]["mel"])
    with pytest.raises(ShardError, match="no split 'tset'; expected one of 'train', 'valid'"):
        Shards(tmp_path, "tset")


def test_wrong_questions_are_errors(tmp_path: Path) -> None:
    made(tmp_path)
    data = Shards(tmp_path)
    for question in ((26, "mel"), (-1, "mel"), (0, "mel", 0, 21), (0, "mel", 21), (0, "mel", -1)):
        with pytest.raises(IndexError):
            data.read(*question)
    with pytest.raises(KeyError, match="no field 'mels'; there are images, mel, wave"):
        data.read(0, "mels")
    with pytest.raises(ShardError, match="frieren prepare"):
        Shards(tmp_path / "nowhere")


def read_all(data: Shards) -> list[Tensor]:
    return [data.read(item, "mel") for item in range(len(data))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_reads_the_same(tmp_path: Path, method: str) -> None:
    truth = made(tmp_path, 2)
    data = Shards(tmp_path, "train", verify=True)
    data.read(0, "mel")
    copy = pickle.loads(pickle.dumps(data))
    assert (copy.split, copy.verify) == ("train", True)
    with multiprocessing.get_context(method).Pool(1) as pool:
        (found,) = pool.map(read_all, [data])
    assert all(torch.equal(mel, item["mel"]) for mel, item in zip(found, truth, strict=False))


def test_a_writer_wants_the_same_fields_of_all_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    writer.add("a", {"mel": torch.zeros(3, 8)})
    for wrong in ({"mel": torch.zeros(3, 9)}, {"mel": torch.zeros(3, 8).half()}, {}):
        with pytest.raises(ValueError, match="b: fields are"):
            writer.add("b", wrong)
    with pytest.raises(ValueError, match="one line"):
        writer.add("a\nb", {"mel": torch.zeros(3, 8)})
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="does not exist"):
        ShardWriter(tmp_path / "nowhere", 0).write()


def test_a_shard_of_rejected_items_only_is_a_shard(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 4)
    writer.reject("bad", "no sound")
    writer.write()
    assert merge(tmp_path) == [("bad", "no sound")] and len(Shards(tmp_path)) == 0
    for number in (3, 5):
        writer = ShardWriter(tmp_path, number)
        writer.add(f"clip {number}", {"mel": torch.full((3, 8), number)})
        writer.write()
    merge(tmp_path)
    assert [Shards(tmp_path).read(item, "mel")[0, 0] for item in (0, 1)] == [3, 5]


def damage(path: Path, how: str) -> None:
    """Breaks a shard: its end cut off, a byte of its header or of its data flipped, or all of it gone."""
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[:-100]
    elif how == "header":
        content[60] ^= 1
    elif how == "data":
        content[-9] ^= 1
    path.write_bytes(content)
    if how == "gone":
        path.unlink()


@pytest.mark.parametrize(("how", "message"), [("cut", "bytes long"), ("header", "header"), ("gone", "not there")])
def test_a_broken_shard_is_named_once_and_the_epoch_goes_on(tmp_path: Path, how: str, message: str) -> None:
    truth = made(tmp_path)
    damage(shard_path(tmp_path, 1), how)
    data, order = Shards(tmp_path), Order([5, 6, 7, 8], seed=3, window=2)
    with pytest.raises(ShardError, match=f"00001.safetensors: .*{message}"):
        data.read(5, "mel")
    assert list(data.broken) == ["00001.safetensors"] and [error.shard for error in data.check()] == list(data.broken)
    draws = OrderedReader(order)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        seen = [draws(position, lambda item: (item, data.read(item, "mel"))) for position in range(26)]
    assert len(said) == 1 and "00001.safetensors" in str(said[0].message)
    assert draws.skipped["00001.safetensors"] >= 6
    items = [item for item, _ in seen]
    assert set(items) == set(range(26)) - set(range(5, 11)), "all others come"
    assert all(torch.equal(mel, truth[item]["mel"]) for item, mel in seen)
    assert [
        OrderedReader(order, lambda error: None)(p, lambda i: (i, data.read(i, "mel"))[0]) for p in range(26)
    ] == items


def test_a_flipped_byte_of_the_data_is_found_when_asked_to_verify(tmp_path: Path) -> None:
    made(tmp_path)
    assert Shards(tmp_path).check() == []
    damage(shard_path(tmp_path, 2), "data")
    (error,) = Shards(tmp_path).check()
    assert error.shard == "00002.safetensors" and "checksum" in str(error)
    data = Shards(tmp_path, verify=True)
    data.read(0, "mel")
    with pytest.raises(ShardError, match="checksum"):
        data.read(11, "mel")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_if_every_shard_is_broken_the_run_ends(tmp_path: Path) -> None:
    made(tmp_path, 1)
    damage(shard_path(tmp_path, 0), "cut")
    data = Shards(tmp_path)
    with pytest.raises(ShardError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        OrderedReader(Order(data.sizes))(0, lambda item: data.read(item, "mel"))


def test_shards_of_different_fields_are_no_data_set(tmp_path: Path) -> None:
    for number, width in ((0, 8), (1, 9)):
        writer = ShardWriter(tmp_path, number)
        writer.add(f"clip {number}", {"mel": torch.zeros(3, width)})
        writer.write()
    with pytest.raises(ShardError, match="00001.safetensors: its fields"):
        merge(tmp_path)


def test_an_index_of_vggsound_takes_little_memory(tmp_path: Path) -> None:
    count, files = 182_607, 714
    lengths = {"features": 40, "mel": 625, "wave": 160_000, "meta": 40}
    kinds = {"features": ("float16", (512,)), "mel": ("float16", (80,)), "wave": ("int16", ()), "meta": ("uint8", ())}
    said = {
        "shards": [
            {"name": f"{n:05d}.safetensors", "bytes": 1, "sha256": "0" * 64, "items": len(range(n, count, files))}
            for n in range(files)
        ],
        "fields": kinds,
        "labels": [f"class {number}" for number in range(309)],
        "splits": ["test", "train"],
    }
    tensors = {f"lengths.{name}": torch.full((count,), value, dtype=torch.int32) for name, value in lengths.items()}
    ids = "\n".join(f"{item:011d}_000030" for item in range(count))
    tensors["ids"] = torch.frombuffer(bytearray(ids.encode()), dtype=torch.uint8)
    tensors["labels"] = torch.arange(count, dtype=torch.int32) % 309
    tensors["splits"] = (torch.arange(count) % 12 > 0).int()
    save_file(tensors, tmp_path / "index.safetensors", {"index": json.dumps(said)})
    tracemalloc.start()
    data = Shards(tmp_path)
    assert (len(data), len(data.ids), len(data.labels)) == (count, count, count)
    assert data.ids[-1] == f"{count - 1:011d}_000030" and data.labels[310] == "class 1"
    Order(data.sizes)[5 * count]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 400 * count, "bytes: names, labels and lists of them"


SIZES = [5, 0, 6, 7, 8, 1]


def test_every_epoch_has_every_item_once_and_no_two_are_alike() -> None:
    order = Order(SIZES, seed=1, window=2)
    epochs = [[order[position] for position in range(27 * epoch, 27 * (epoch + 1))] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(27)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [Order(SIZES, seed=2, window=2)[position] for position in range(27)]


def test_shards_come_in_another_order_in_every_epoch() -> None:
    """One item a shard and one shard a window, so that the order of items is that of shards."""
    order = Order([1] * 12, seed=1, window=1)
    first, second = ([order[position] for position in range(12 * epoch, 12 * (epoch + 1))] for epoch in range(2))
    assert sorted(first) == sorted(second) and first != second


def test_the_order_depends_on_nothing_but_seed_and_position() -> None:
    forth = [Order(SIZES, seed=1, window=2)[position] for position in range(60)]
    order = pickle.loads(pickle.dumps(Order(SIZES, seed=1, window=2)))
    assert [order[position] for position in reversed(range(60))] == forth[::-1]


def test_seed_epoch_and_window_each_change_the_order_within_a_shard() -> None:
    """One shard is a window, so that nothing but the order of its items can differ."""
    one = [Order([12], seed=seed) for seed in (0, 1)]
    epochs = [tuple(order[position] for position in range(start, start + 12)) for order in one for start in (0, 12)]
    assert len(set(epochs)) == 4
    order = Order([12] * 6, window=1)
    windows = {tuple(order[position] % 12 for position in range(start, start + 12)) for start in range(0, 72, 12)}
    assert len(windows) == 6


def test_reading_stays_within_a_window_of_shards() -> None:
    order = Order([10] * 20, seed=0, window=4)
    shards = [order[position] // 10 for position in range(200)]
    windows = [set(shards[start : start + 40]) for start in range(0, 200, 40)]
    assert all(len(window) == 4 for window in windows) and len(set().union(*windows)) == 20
    assert any(a != b for a, b in zip(shards, sorted(shards), strict=True))
    assert max(map(len, (set(shards[start : start + 10]) for start in range(0, 200, 10)))) > 2, "mixed within it"


def test_ranks_share_the_positions_of_one_process() -> None:
    order = Order(SIZES)
    for ranks in (1, 2, 4):
        shares = [order.positions(step=3, batch=8, rank=rank, ranks=ranks) for rank in range(ranks)]
        assert sorted(position for share in shares for position in share) == list(range(24, 32))
        assert {len(share) for share in shares} == {8 // ranks}
    with pytest.raises(ValueError, match="multiple of the ranks"):
        order.positions(0, 8, 0, 3)
    with pytest.raises(ValueError, match="needs items"):
        Order([])
