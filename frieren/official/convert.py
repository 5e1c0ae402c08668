"""Published checkpoints -> a model folder that `frieren.load` takes.

frieren weights convert --flow F.ckpt --vae V.ckpt --vocoder DIR --cavp C.ckpt OUT
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frieren.clock import Clock
from frieren.errors import OutputError, WeightsError
from frieren.files import file_hash, write_json
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.bigvgan import BigVGAN
from frieren.nets.cavp import VideoTower
from frieren.nets.field import VectorField
from frieren.official import sizes, tables
from frieren.official.checkpoint import read_checkpoint
from frieren.spectrogram import MelConfig
from frieren.weights import PARTS, ModelConfig, save_model_config, save_part

NAMED = 10  # keys that an error lists before it counts the rest
CLOCK = Clock(published_frames=True)  # the published rates
VOCODER, VOCODER_SIZES = "best_netG.pt", "args.yml"  # in the vocoder's folder
# Layers of the vector field that see the video: a text-to-audio denoiser does not have them.
NEW = ("embed_features.", "project_condition.", "project_input.")
SEED = 0  # of the layers that a checkpoint to start from does not have
State = Mapping[str, Tensor]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """The published files; whatever is None is left out.

    Attributes:
        flow: Lightning checkpoint of the vector field, which holds the mel autoencoder as well.
        vae: Lightning checkpoint of the mel autoencoder alone; it goes before the one in `flow`.
        vocoder: folder with `best_netG.pt` and `args.yml`.
        cavp: checkpoint of Diff-Foley's CAVP.
        init: Make-An-Audio 2's checkpoint, to start a training from; not together with `flow`.
    """

    flow: Path | None = None
    vae: Path | None = None
    vocoder: Path | None = None
    cavp: Path | None = None
    init: Path | None = None


def convert(
    files: Files,
    out: Path,
    *,
    heads: int = 8,
    fps: float = 4.0,
    steps: int = 25,
    say: Say = lambda line: None,
) -> Path:
    """Writes the parts that the files hold, and how the authors sample with them, as a model folder.

    Args:
        out: the new folder; it appears when it is whole.
        heads: of the vector field's attentions, since shapes do not tell.
        fps: visual features per second: 4 for CAVP, 2 for MAViL.
        steps: the finished model's default; 1 for the distilled one.
        say: called with lines: what is written and what is left out.

    Raises:
        WeightsError: if `out` exists, no file is given, or a file is not what it should be.
    """
    sizes.columns_per_feature(fps)
    if files.flow and files.init:
        raise WeightsError("a flow checkpoint and one to start from exclude each other: leave out --flow or --init")
    if out.exists():
        raise WeightsError(f"{out}: exists already; choose another folder, or remove it")
    made = out.with_name(f"{out.name}.{os.getpid()}.part")
    sources: dict[str, Path] = {}
    configs: dict[str, Any] = {}
    try:
        for part, path, network in networks(files, heads, fps, say):
            save_part(made / part, network, network.config)
            sources[part], configs[part] = path, network.config
            say(f"{part}: {sum(x.numel() for x in network.parameters()) / 1e6:.1f} M parameters from {path}")
        if not sources:
            raise WeightsError("no file given: name at least one of --flow, --vae, --vocoder, --cavp, --init")
        check_compatible(configs)
        description = f"converted from {', '.join(dict.fromkeys(path.name for path in sources.values()))}"
        config = ModelConfig(
            out.name,
            description,
            steps=steps,
            clock=replace(CLOCK, fps=fps),
            windows="published",
            parts=tuple(part for part in PARTS if part in sources),
        )
        save_model_config(made, config)
        write_json(made / "source.json", {part: provenance(path) for part, path in sources.items()})
        os.replace(made, out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another folder") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return out


def networks(files: Files, heads: int, fps: float, say: Say) -> Iterator[tuple[str, Path, nn.Module]]:
    """Part, file and network, one after the other, so that only one network is in memory."""
    inside: dict[str, Tensor] = {}
    scale = None  # of the latent: the flow was trained with it
    if path := files.flow:
        inside = read_checkpoint(path)
        scale = inside.pop("scale_factor", None)
        say(f"field: {heads} heads, as asked for; its shapes do not tell")
        with naming(path):
            config: Any = sizes.field_config(inside, heads=heads, fps=fps)
            yield "field", path, fill("field", VectorField, config, inside, say)
    if path := files.init:
        state = read_checkpoint(path)
        with naming(path):
            yield "field", path, start(sizes.init_config(state, heads=heads, fps=fps), state, say)
    if path := files.vae:
        inside = read_checkpoint(path)
    if path := files.vae or (files.flow if has_autoencoder(inside) else None):
        with naming(path):
            config = sizes.autoencoder_config(inside, scale)
            yield "autoencoder", path, fill("autoencoder", MelAutoencoder, config, inside, say)
    if files.vocoder:
        path = files.vocoder / VOCODER
        config = sizes.vocoder_config(files.vocoder / VOCODER_SIZES)
        state = read_checkpoint(path)
        with naming(path):
            yield "vocoder", path, fill("vocoder", BigVGAN, config, state, say)
    if path := files.cavp:
        state = read_checkpoint(path)
        with naming(path):
            yield "encoder", path, fill("encoder", VideoTower, sizes.encoder_config(state), state, say)


def holds_autoencoder(flow: Path) -> bool:
    """True if the mel autoencoder is in a flow checkpoint.

    Raises:
        WeightsError: if it is no checkpoint.
    """
    return has_autoencoder(read_checkpoint(flow))


def has_autoencoder(state: State) -> bool:
    """True if the mel autoencoder is among the parameters of a flow checkpoint."""
    return any(key.startswith("first_stage_model.") for key in state)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before errors about what is in it."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def fill(
    part: str, kind: type[nn.Module], config: Any, state: State, say: Say, table: tables.Table | None = None
) -> nn.Module:
    """The network with the checkpoint's parameters, every one of them accounted for.

    Args:
        table: of the names; by default the one that `tables` has for the part.

    Raises:
        WeightsError: if parameters are missing, unexpected or of another shape; they are named as in the file.
    """
    table = tables.table(part, config) if table is None else table
    ours = table.convert(part, state)
    with torch.device("meta"):
        network = kind(config)
    compare(table, network.state_dict(), ours)
    report(part, table, state, say)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not (ours[key].is_floating_point() and torch.isfinite(ours[key]).all()):
            raise WeightsError(f"{table.published_name(key)!r} holds values that are no finite numbers")
    plain = {key: value.float() if value.is_floating_point() else value for key, value in ours.items()}
    network.load_state_dict(plain, assign=True)
    return network.eval().requires_grad_(False)


def check_compatible(configs: Mapping[str, Any]) -> None:
    """Raises WeightsError unless the parts fit together and to the published rates; parts may be missing."""

    def size(part: str, name: str) -> int | None:
        return getattr(configs[part], name) if part in configs else None

    mel = MelConfig()
    for what, first, second in (
        (
            "features are {} wide for the field, {} from the encoder",
            size("field", "features"),
            size("encoder", "embed"),
        ),
        (
            "latents have {} channels in the field, {} in the autoencoder",
            size("field", "latent"),
            size("autoencoder", "latent"),
        ),
        ("spectrograms have {} bins here, {} in the autoencoder", mel.bins, size("autoencoder", "bins")),
        ("spectrograms have {} bins here, {} in the vocoder", mel.bins, size("vocoder", "bins")),
        ("a spectrogram's column has {} samples here, {} in the vocoder", mel.hop, size("vocoder", "hop")),
        (
            "a latent column covers {} of the spectrogram's here, {} in the autoencoder",
            CLOCK.stride,
            size("autoencoder", "stride"),
        ),
    ):
        if first is not None and second is not None and first != second:
            raise WeightsError(f"the files do not belong together: {what.format(first, second)}")
    positions = size("field", "positions")
    if positions is not None and positions <= CLOCK.window:
        raise WeightsError(f"the field knows {positions} positions, a window needs {CLOCK.window + 1}")


def start(config: Any, state: State, say: Say) -> nn.Module:
    """A vector field that begins as Make-An-Audio 2's denoiser; what sees the video is new (paper, appendix A)."""
    ours = tables.convert("init", state, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = VectorField(config)
    shared = {key: value for key, value in network.state_dict().items() if not key.startswith(NEW)}
    compare(tables.table("init", config), shared, ours)
    report("init", tables.table("init", config), state, say)
    network.load_state_dict(ours, strict=False)
    return network


def compare(table: tables.Table, wanted: State, got: State) -> None:
    """Raises WeightsError, in the words of the file, unless names and shapes agree exactly."""
    if missing := [table.published_name(key) for key in wanted if key not in got]:
        raise WeightsError(f"{len(missing)} parameters missing: {listed(missing)}")
    if unexpected := [table.published_name(key) for key in got if key not in wanted]:
        raise WeightsError(f"{len(unexpected)} unexpected parameters: {listed(unexpected)}")
    for key, value in wanted.items():
        if value.shape != got[key].shape:
            raise WeightsError(
                f"{table.published_name(key)!r} has shape {tuple(got[key].shape)}, expected {tuple(value.shape)}"
            )


def listed(keys: list[str]) -> str:
    """The first few names and the number of the others."""
    rest = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + rest


def report(part: str, table: tables.Table, state: State, say: Say) -> None:
    """Report which keys were left out on purpose, by pattern."""
    counts = Counter(pattern for key in state if (pattern := table.left_out(key)))
    if counts:
        say(f"{part}: left out " + ", ".join(f"{pattern} ({count})" for pattern, count in counts.items()))


def provenance(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file that a part was made from."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path)}
