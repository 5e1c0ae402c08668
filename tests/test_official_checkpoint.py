"""Published checkpoints: what they hold comes out, what they would run does not run."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from frieren.errors import WeightsError
from frieren.official.checkpoint import read_checkpoint

WEIGHTS = {
    "proj.weight": torch.arange(12.0).reshape(3, 4),
    "proj.bias": torch.ones(3, dtype=torch.float16),
    "norm.num_batches_tracked": torch.tensor(7),
    "empty": torch.zeros(0, 4),
}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(value: Any, path: Path, zipped: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor] = WEIGHTS) -> None:
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        assert type(got[key]) is Tensor and got[key].dtype == value.dtype and got[key].is_contiguous()
        assert torch.equal(got[key], value)


class Witness:
    """A class of a package that is not here; `touched` lists whoever was filled from a file."""

    touched: list[str] = []

    def __setstate__(self, state: Any) -> None:
        self.touched.append(type(self).__name__)
        self.__dict__.update(state)


class WitnessDict(dict):
    """The same, for Lightning's AttributeDict, which is a kind of dict."""

    def __setitem__(self, key: Any, value: Any) -> None:
        Witness.touched.append(type(self).__name__)


@contextmanager
def packages(*names: str) -> Iterator[list[type]]:
    """Classes by their full names, importable only inside the block."""
    made = []
    with patch.dict(sys.modules):
        for name in names:
            module, _, last = name.rpartition(".")
            above = WitnessDict if last == "AttributeDict" else Witness
            made.append(type(last, (above,), {"__module__": module, "__qualname__": last}))
            parts = module.split(".")
            for depth in range(1, len(parts) + 1):
                parent = ".".join(parts[:depth])
                sys.modules[parent] = sys.modules.get(parent) or types.ModuleType(parent)
            setattr(sys.modules[module], last, made[-1])
        yield made


def filled(kind: type, **state: Any) -> Any:
    made = kind()
    made.__dict__.update(state)
    return made


OMEGACONF = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.base.Metadata",
    "omegaconf.listconfig.ListConfig",
)


def config(container: type, metadata: type, node: type, node_metadata: type, listing: type) -> Any:
    """What `OmegaConf.create({"rate": 1.5, "layers": [2]})` pickles as, in versions 2.0 to 2.4."""

    def meta(kind: type, key: Any) -> Any:
        cache = defaultdict(dict, {"env": {"HOME": "/root"}})
        types_ = {"ref_type": Any, "object_type": dict, "key_type": int, "element_type": Any}
        return filled(kind, optional=True, key=key, flags={}, flags_root=False, resolver_cache=cache, **types_)

    tree = filled(container, _metadata=meta(metadata, None), _parent=None, _flags_cache=None)
    rate = filled(node, _metadata=meta(node_metadata, "rate"), _parent=tree, _val=1.5)
    layers = filled(listing, _metadata=meta(metadata, "layers"), _parent=tree)
    layers.__dict__["_content"] = [filled(node, _metadata=meta(node_metadata, 0), _parent=layers, _val=2)]
    tree.__dict__["_content"] = {"rate": rate, "layers": layers}
    return tree


LIGHTNING = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


def lightning(checkpoint: type, stopping: type, attributes: type, *tree: type) -> dict[str, Any]:
    """Everything that Lightning 1.4 to 2 and its users put beside a state dict."""
    dict.__setitem__(options := attributes(), "lr", 1e-4)
    return {
        "epoch": 40,
        "pytorch-lightning_version": "1.4.2",
        "hparams_type": tree[0],
        "hyper_parameters": {
            "config": config(*tree),
            "options": options,
            "args": argparse.Namespace(gpus="0,", out=Path("/tmp/logs")),
        },
        "callbacks": {
            checkpoint: {"best_model_score": np.float64(0.25), "monitor": "val/loss", "best": torch.tensor(0.25)},
            stopping: {"wait_count": 0, "scores": [np.float32(1), np.int64(2)]},
        },
        "optimizer_states": [{"state": {0: {"step": 3, "exp_avg": torch.zeros(3, 4)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "state_dict": OrderedDict(WEIGHTS),
    }


@FORMATS
def test_a_lightning_checkpoint_needs_no_lightning(tmp_path: Path, zipped: bool) -> None:
    with packages(*LIGHTNING, *OMEGACONF) as kinds:
        path = save(lightning(*kinds), tmp_path / "epoch=40.ckpt", zipped)
    assert not {"omegaconf", "pytorch_lightning", "lightning"} & set(sys.modules)
    before = set(torch.serialization.get_safe_globals())
    assert_same(read_checkpoint(path))
    assert set(torch.serialization.get_safe_globals()) == before


def test_the_real_classes_are_left_alone_where_they_are_installed(tmp_path: Path) -> None:
    """Even where another package has allowed them."""
    with packages(*LIGHTNING, *OMEGACONF) as kinds:
        path = save(lightning(*kinds), tmp_path / "a.ckpt")
        with patch.object(Witness, "touched", []) as touched:
            torch.load(path, weights_only=False)
            assert {"DictConfig", "AnyNode", "AttributeDict"} <= set(touched)  # the witnesses see
        with patch.object(Witness, "touched", []) as touched, torch.serialization.safe_globals(kinds):
            assert_same(read_checkpoint(path))
            assert not touched


def test_the_old_name_of_a_numpy_scalar_is_known(tmp_path: Path) -> None:
    with packages("numpy.core.multiarray.scalar") as (scalar,):
        path = save({"callbacks": {"score": scalar()}, "model": WEIGHTS}, tmp_path / "a.pt")
    assert_same(read_checkpoint(path))


def test_a_class_of_the_users_own_is_refused_by_name(tmp_path: Path) -> None:
    with packages("ldm.modules.callback.ImageLogger") as (logger,):
        path = save({"callbacks": {logger: {}}, "state_dict": WEIGHTS}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"a\.ckpt: names 'ldm\.modules\.callback\.ImageLogger', which was not run"):
        read_checkpoint(path)


class Evil:
    """Pickles as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], self.call[1:]


# What is named, as Python 2 called it where it did, and how to make it.
ATTACKS: dict[str, tuple[str, Callable[[Path], Evil]]] = {
    "system": ("posix.system", lambda marker: Evil(os.system, f"touch {marker}")),
    "eval": ("builtins.eval", lambda marker: Evil(eval, f"open({str(marker)!r}, 'w')")),
    "popen": ("commands.Popen", lambda marker: Evil(subprocess.Popen, ["touch", str(marker)])),
    "nested": ("pickle.loads", lambda marker: Evil(pickle.loads, pickle.dumps(Evil(os.system, f"touch {marker}"), 2))),
    "getattr": ("builtins.getattr", lambda marker: Evil(getattr, Evil(__import__, "os"), "system")),
    "torch": ("torch.serialization.load", lambda marker: Evil(torch.load, str(marker))),
}


@FORMATS
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_file_does_not_run(tmp_path: Path, attack: str, zipped: bool) -> None:
    name, make = ATTACKS[attack]
    marker = tmp_path / "ran"
    path = save({"state_dict": {**WEIGHTS, "x": make(marker)}}, tmp_path / "evil.ckpt", zipped)
    with pytest.raises(WeightsError, match=rf"evil\.ckpt: names '{name}', which was not run; only tensors"):
        read_checkpoint(path)
    assert not marker.exists()


def test_the_hostile_files_would_run_elsewhere(tmp_path: Path) -> None:
    """Or the test above would show nothing."""
    path = save({"x": ATTACKS["nested"][1](tmp_path / "ran")}, tmp_path / "evil.ckpt")
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_bare_pickle_does_not_run_either(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil(os.system, f"touch {tmp_path / 'ran'}"), 2))
    with pytest.raises(WeightsError, match=r"posix\.system"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_call_inside_an_allowed_one_does_not_run(tmp_path: Path) -> None:
    with packages("omegaconf.dictconfig.DictConfig") as (kind,):
        kind.__reduce__ = lambda self: (kind, (Evil(os.system, f"touch {tmp_path / 'ran'}"),))
        path = save({"state_dict": WEIGHTS, "x": kind()}, tmp_path / "evil.ckpt")
    with pytest.raises(WeightsError, match=r"posix\.system"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@FORMATS
@pytest.mark.parametrize("nest", ["", "state_dict", "generator", "model"])
def test_a_table_is_found_where_it_is(tmp_path: Path, nest: str, zipped: bool) -> None:
    assert_same(read_checkpoint(save({nest: WEIGHTS, "step": 3} if nest else WEIGHTS, tmp_path / "g.pt", zipped)))


def test_a_table_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    table: dict[str, Any] = {"a": torch.ones(2)}
    table["model"] = table
    with pytest.raises(WeightsError, match="'model' is of type dict"):
        read_checkpoint(save(table, tmp_path / "a.pt"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    got = read_checkpoint(tmp_path / "a.safetensors")
    assert_same({key: got[key] for key in WEIGHTS})
    (tmp_path / "b.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(WeightsError, match=r"b\.safetensors: is damaged, or no checkpoint"):
        read_checkpoint(tmp_path / "b.safetensors")


@FORMATS
def test_views_parameters_and_shared_storage_come_out_plain(tmp_path: Path, zipped: bool) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    odd = {"all": whole, "turned": whole.T, "part": whole[1:3, ::2], "tied": whole, "p": torch.nn.Parameter(whole)}
    got = read_checkpoint(save(odd, tmp_path / "a.pt", zipped))
    assert_same(got, {key: value.detach() for key, value in odd.items()})
    assert not any(value.requires_grad for value in got.values())


def test_writing_to_a_mapped_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    path = save(WEIGHTS, tmp_path / "a.pt")
    before = path.read_bytes()
    read_checkpoint(path)["proj.weight"].zero_()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"state_dict": {"a": torch.ones(2), "b": 3}}, "'b' is of type int"),
        ({"a": {"b": torch.ones(2)}}, "'a' is of type dict.*state_dict, generator, model"),
        ({3: torch.ones(2)}, "3 is no name"),
        ({}, "an empty dict"),
        ([torch.ones(2)], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
        ({"a": torch.eye(3).to_sparse()}, "'a' is torch.sparse_coo on cpu"),
        ({"a": torch.ones(2, device="meta")}, "'a' is torch.strided on meta"),
        ({"a": torch.ones(1).expand(10**6, 10**6)}, "'a' claims the shape"),
        ({f"{i}": torch.ones(1).expand(400) for i in range(9)}, "unfold to more than"),
    ],
)
def test_what_is_no_table_of_dense_tensors_is_refused(tmp_path: Path, table: Any, complaint: str) -> None:
    with pytest.raises(WeightsError, match=f"a.pt: .*{complaint}"):
        read_checkpoint(save(table, tmp_path / "a.pt"))


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch is about to give them up
def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    path = save({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="'a' is quantised"):
        read_checkpoint(path)


BROKEN = {
    "text": (b"epoch 3, loss 0.2\n" * 50, "no checkpoint"),
    "empty": (b"", "is empty"),
    "page": (b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>", "is an HTML page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a git-lfs pointer"),
    "other pickle": (pickle.dumps({"a": 1}, 2), "no checkpoint"),
    "new pickle": (pickle.dumps({"a": 1}, 4), "no checkpoint"),
    "noise": (bytes(range(256)) * 4, "no checkpoint"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, case: str) -> None:
    data, complaint = BROKEN[case]
    (tmp_path / "a.ckpt").write_bytes(data)
    with pytest.raises(WeightsError, match=rf"a\.ckpt: .*{complaint}"):
        read_checkpoint(tmp_path / "a.ckpt")


@FORMATS
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float, zipped: bool) -> None:
    path = save({"state_dict": {"a": torch.ones(999)}}, tmp_path / "a.ckpt", zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="a.ckpt: is damaged"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="none.ckpt: cannot be read .No such file"):
        read_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(WeightsError, match="cannot be read .Is a directory"):
        read_checkpoint(tmp_path)


def rewritten(path: Path, change: Callable[[bytes], bytes], how: int = zipfile.ZIP_STORED) -> Path:
    """The zip with `change` made to its pickle and the members packed as `how`."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", how) as new:
        for name, data in members.items():
            new.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return path


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save(WEIGHTS, tmp_path / "a.pt")
    assert_same(read_checkpoint(rewritten(path, bytes)))
    with pytest.raises(WeightsError, match="is compressed"):
        read_checkpoint(rewritten(path, bytes, zipfile.ZIP_DEFLATED))


def test_other_zips_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match="is a zip of something else"):
        read_checkpoint(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("b/data.pkl", "")
        archive.writestr("b/constants.pkl", "")
    with pytest.raises(WeightsError, match="is a TorchScript archive"):
        read_checkpoint(tmp_path / "b.pt")


LITTLE, MUCH = b"M\xe7\x03", b"\x8a\x07\x00\x00\x00\x00\x00\x00\x10"  # 999, and 2**52, in a pickle


@FORMATS
@pytest.mark.parametrize("where", ["storage and shape", "shape"])
def test_a_size_beyond_the_file_is_an_error(tmp_path: Path, where: str, zipped: bool) -> None:
    """2**52 numbers where there are 999; of the two places in the pickle the second is the shape."""

    def grow(data: bytes) -> bytes:
        first, between, rest = data.split(LITTLE)
        return first + (MUCH if where == "storage and shape" else LITTLE) + between + MUCH + rest

    path = save({"a": torch.ones(999)}, tmp_path / "a.pt", zipped)
    if zipped:
        rewritten(path, grow)
    else:
        path.write_bytes(grow(path.read_bytes()))
    with pytest.raises(WeightsError, match="a.pt: is damaged"):
        read_checkpoint(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is Linux's to tell")
def test_optimiser_states_are_not_read(tmp_path: Path) -> None:
    states = [torch.zeros(4_000_000) for _ in range(12)]  # 192 MB
    path = save({"optimizer_states": states, "state_dict": WEIGHTS}, tmp_path / "a.ckpt")
    reading = "import sys, torch; from pathlib import Path; from frieren.official.checkpoint import *; "
    reading += "peak = lambda: int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]) // 1024; "

    def grown(call: str) -> int:
        """MB by which a fresh process grows; this one may have room left from other tests."""
        code = f"{reading}before = peak(); x = {call}; print(peak() - before)"
        run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert grown("read_checkpoint(Path(sys.argv[1]))") < 40
    assert grown("torch.load(sys.argv[1], weights_only=True)") > 150  # the measure sees
