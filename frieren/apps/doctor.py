"""Check whether this machine has everything in place.

frieren doctor
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata

import typer

import frieren
from frieren.apps.checks import EXTRAS
from frieren.errors import FrierenError

PACKAGES = ("torch", "numpy", "av", "soundfile", "soxr", "safetensors", "huggingface_hub", "typer", "rich")
ENCODERS = ("aac", "flac")
ROOM = 1 << 30  # bytes that should be free in the working folder

Finding = tuple[bool, str, str]  # fine or not, what was checked, what was found


def doctor() -> None:
    """Versions, device, FFmpeg libraries, models and disk space. Exit code 1 if something has to be repaired."""
    healthy = True
    for check in (versions, extras, device, media, weights, disk):
        for fine, what, found in check():
            typer.echo(f"{'ok  ' if fine else 'FAIL'}  {what:<25}{found}")
            healthy &= fine
    typer.echo("all is well" if healthy else "something has to be repaired: see the lines that begin with FAIL")
    if not healthy:
        raise typer.Exit(1)


def versions() -> Iterator[Finding]:
    yield True, "frieren", frieren.__version__
    yield True, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for name in PACKAGES:
        try:
            yield True, name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield False, name, f"not installed; pip install {name}"


def extras() -> Iterator[Finding]:
    """Optional packages; a missing one is no failure."""
    for extra, packages in EXTRAS.items():
        try:
            found = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
        except metadata.PackageNotFoundError as error:
            found = f"{error.name} is not installed (pip install 'frieren[{extra}]' if you want it)"
        yield True, f"extra {extra}", found


def device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield False, "device", f"torch cannot be imported ({error}); install it again"
        return
    yield True, "CPU", f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        yield True, f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        yield True, "mps", "available"
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    yield True, "OMP_WAIT_POLICY", policy


def media() -> Iterator[Finding]:
    """The libraries of FFmpeg that PyAV brings, and the encoders that outputs need."""
    try:
        import av
    except (ImportError, OSError) as error:
        yield False, "FFmpeg libraries", f"PyAV cannot be imported ({error}); install av again"
        return
    numbers = (f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items()))
    yield True, "FFmpeg libraries", ", ".join(numbers)
    missing = [name for name in ENCODERS if name not in av.codecs_available]
    advice = f"missing: {', '.join(missing)}; install av from a wheel"
    yield not missing, "encoders", advice if missing else ", ".join(ENCODERS)
    has_x264 = "libx264" in av.codecs_available
    yield True, "encoder libx264", "here" if has_x264 else "missing; only `frieren world render` needs it"


def weights() -> Iterator[Finding]:
    """Every model that is here, loaded: names, shapes and hashes."""
    from frieren.official.fetch import is_fetched
    from frieren.official.releases import RELEASES

    try:
        known = frieren.models()
    except (ImportError, OSError, FrierenError) as error:
        yield False, "models", f"cannot be listed ({error}); install frieren again"
        return
    for name, what in known.items():
        if name in RELEASES and not is_fetched(name):
            yield True, f"model {name}", f"not fetched; frieren weights fetch {name}"
            continue
        try:
            model = frieren.load(name)
        except (OSError, FrierenError) as error:
            yield False, f"model {name}", str(error)
        else:
            yield True, f"model {name}", f"{model.digest[:12]}  {what}"
    if "mini" not in known:
        remedy = "install frieren again, or train it in a clone of the repository, which has the recipes: make mini"
        yield False, "model mini", f"not in the package; {remedy}"


def disk() -> Iterator[Finding]:
    space = shutil.disk_usage(".").free
    advice = "" if space >= ROOM else "; make room, outputs need it"
    yield space >= ROOM, "disk", f"{space / 2**30:.1f} GiB free here{advice}"
