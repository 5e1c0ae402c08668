"""A name -> a model ready to use: shipped in the package, published by the authors, a folder, or from the Hub."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Collection
from pathlib import Path
from typing import cast

import torch
from torch import nn

from frieren.errors import WeightsError
from frieren.nets.field import VectorField
from frieren.official.releases import RELEASES
from frieren.pipeline import Model
from frieren.wave import GriffinLim, GriffinLimRefinement, Vocoder
from frieren.weights import PARTS, ModelConfig, fingerprint, load_part, part_folders, read_model_config

SHIPPED = Path(__file__).parent / "models"
VOCODERS = ("model", "griffin-lim")
REFINEMENTS = ("windows", "regulator", "time")
log = logging.getLogger("frieren")


def shipped() -> list[str]:
    """Names of the models in the package."""
    return [path.parent.name for path in sorted(SHIPPED.glob("*/config.json"))]


def models() -> dict[str, str]:
    """Names that `load` takes, with a line on each."""
    ours = {name: read_model_config(SHIPPED / name).description for name in shipped()}
    published = {name: release.description for name, release in RELEASES.items()}
    tiny = {"tiny": "about 100 k random parameters with real shapes in time: noise, for tests"}
    return {**ours, **published, **tiny}


def find(name: str | Path) -> Path:
    """The folder of a model: a shipped or published name, a folder, or a repository on the Hugging Face Hub.

    A published model is fetched and converted on first use, after saying how much that is.

    Raises:
        WeightsError: if there is no such model, or it cannot be fetched.
    """
    folder = Path(name)
    if str(name) in shipped():
        return SHIPPED / str(name)
    if name in RELEASES:
        from frieren.official.fetch import fetch

        return fetch(name, say=log.warning)
    if (folder / "config.json").exists():
        return folder
    if name == "tiny":
        raise WeightsError(
            f"tiny: random, and in no folder; this needs a model with files, one of {', '.join(shipped())}"
        )
    if folder.exists() or str(name).count("/") != 1 or str(name).startswith((".", "/")):
        raise WeightsError(f"{name}: no such model; known names are {', '.join(models())}, or give a model folder")
    return snapshot(str(name))


def snapshot(repository: str) -> Path:
    """A Hub repository's model folder, from the local cache if it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = ["config.json", *(f"{part}/*" for part in PARTS)]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except (OSError, ValueError, HfHubHTTPError) as error:  # ValueError: not a name that a repository can have
        raise WeightsError(
            f"{repository}: cannot be fetched from the Hub ({type(error).__name__}); check name and network"
        ) from error


def choose_device(name: str) -> str:
    """ "auto" -> cuda, mps or cpu, whichever is there; any other name as it is."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_precision(name: str, device: str) -> str:
    """ "auto" -> bfloat16 where the device has circuits that multiply it, else float32; any other name as it is.

    These (AMX, AVX512-BF16, tensor cores) multiply matrices two to six times as fast as float32; without them bfloat16
    is slower. Told by what the processor says of itself, not by a measurement, so that the choice is always the same.
    """
    if name != "auto":
        return name
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10
        return "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


def refined(
    config: ModelConfig, parts: dict[str, nn.Module], refine: Collection[str]
) -> tuple[ModelConfig, dict[str, nn.Module]]:
    """Copies of a config and of parts, for a model that is sampled otherwise than its authors did.

    "windows": windows overlap and are solved together; "regulator": features are laid out by time stamps, not by
    count; "time": t is not rounded down to whole thousandths.
    """
    if "windows" in refine:
        config = dataclasses.replace(config, windows="seamless")
    if "field" in parts:
        field = copy.copy(cast(VectorField, parts["field"]))  # the same parameters under another config
        if "regulator" in refine:
            field.config = dataclasses.replace(field.config, regulator="time")
        if "time" in refine:
            field.config = dataclasses.replace(field.config, time_steps=None)
        parts = {**parts, "field": field}
    return config, parts


def networks(name: str | Path) -> tuple[ModelConfig, dict[str, nn.Module], str]:
    """Config, plain networks and fingerprint of a model; see `load`."""
    if name == "tiny":
        from frieren.tiny import tiny_model  # here, since it imports every network

        return *tiny_model(), "random"
    folder = find(name)
    config = read_model_config(folder)
    parts = {part: load_part(place) for part, place in part_folders(folder, config).items()}
    return config, parts, fingerprint(folder)


def load(
    name: str | Path = "mini",
    *,
    device: str = "auto",
    precision: str = "float32",
    vocoder: str = "model",
    refine: Collection[str] | None = None,
) -> Model:
    """A model by name (see `frieren.models()`), folder, or Hub repository.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "float32", "bfloat16", "float16" (GPUs alone), or "auto": bfloat16 where the device multiplies it
            faster. On a CPU it is that of all networks but Vocos, on a GPU that of encoder and field.
        vocoder: "model" for its own, or "griffin-lim" (needs the extra of that name).
        refine: refinements of the published sampling, for models that are sampled as published: "windows" (seamless,
            in time with any length of video), "regulator" (features by time stamps), "time" (continuous).

    Raises:
        WeightsError: if the model cannot be found, or its files are not what they should be.
        ValueError: for an unknown precision, vocoder or refinement.
    """
    if vocoder not in VOCODERS:
        raise ValueError(f"unknown vocoder {vocoder!r}; choose one of {', '.join(VOCODERS)}")
    refine = [refine] if isinstance(refine, str) else refine
    if unknown := set(refine or ()) - set(REFINEMENTS):
        raise ValueError(f"unknown refinement {unknown.pop()!r}; choose among {', '.join(REFINEMENTS)}")
    config, parts, digest = networks(name)
    config, parts = refined(config, parts, refine or ())
    if vocoder == "griffin-lim":
        parts["vocoder"] = GriffinLim(config.mel)
    else:
        parts = with_griffin_lim(config, parts)
    device = choose_device(device)
    return Model(config, parts, device=device, precision=choose_precision(precision, device), digest=digest)


def with_griffin_lim(config: ModelConfig, parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The parts of a model with a vocoder whose wave is refined as often as the config says."""
    if not config.griffin_lim_iterations or "vocoder" not in parts:
        return parts
    vocoder = cast(Vocoder, parts["vocoder"])
    return {**parts, "vocoder": GriffinLimRefinement(vocoder, config.mel, config.griffin_lim_iterations)}
