"""A published model by name: downloaded, converted and cached on first use.

frieren weights fetch frieren-reflow
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from frieren.errors import DamagedFileError, OutputError, WeightsError
from frieren.files import cache_folder
from frieren.official.convert import VOCODER as VOCODER_FILE
from frieren.official.convert import VOCODER_SIZES, Files, Say, convert, holds_autoencoder
from frieren.official.download import PATIENCE, DownloadError, download, remote_size
from frieren.official.releases import AUTOENCODER, CAVP_FILE, CAVP_REPOSITORY, RELEASES, VOCODER

DRIVE_FILE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
VOCODER_FOLDER = "vocoder"  # below the downloads
Progress = Callable[[str, int, int | None], None]  # file, bytes done, bytes in all


class FetchError(WeightsError):
    """A published model cannot be had from here; the message says what to download by hand."""


@dataclass(frozen=True)
class Remote:
    """A file on a server and where it goes, below the folder of downloads."""

    url: str
    target: str


def is_fetched(name: str) -> bool:
    """True if a published model is in the cache."""
    return (cache_folder() / "models" / name / "config.json").exists()


def fetch(name: str, *, say: Say = lambda line: None, on_progress: Progress = lambda file, done, total: None) -> Path:
    """Model folder of a published model, from the cache if it is there.

    Args:
        name: a key of `releases.RELEASES`.
        say: called with lines: how much will be downloaded, before it is, and what the conversion does.

    Raises:
        FetchError: if a server cannot be reached, refuses, or does not have what it had.
        WeightsError: if the name is unknown, or a file is not what it should be.
    """
    if name not in RELEASES:
        raise WeightsError(f"{name}: not a published model; expected one of {', '.join(RELEASES)}")
    out = cache_folder() / "models" / name
    if is_fetched(name):
        return out
    release, store = RELEASES[name], cache_folder() / "downloads"
    try:
        remotes = [checkpoint_in(release.flow, f"{name}.ckpt"), *vocoder_files()]
        announce(name, remotes, store, say)
        flow, *_ = [fetch_file(remote, store, on_progress) for remote in remotes]
        files = Files(flow=flow, vocoder=store / VOCODER_FOLDER, cavp=fetch_cavp(store))
        if not holds_autoencoder(flow):
            say(f"{name}: {flow.name} lacks the mel autoencoder; downloading it from {AUTOENCODER}")
            vae = fetch_file(checkpoint_in(AUTOENCODER, "vae.ckpt"), store, on_progress)
            files = replace(files, vae=vae)
        out.parent.mkdir(parents=True, exist_ok=True)
        convert(files, out, steps=release.steps, say=say)
    except (WeightsError, OutputError, OSError) as error:
        if isinstance(error, DamagedFileError):  # the next time it is downloaded again
            error.path.unlink(missing_ok=True)
        raise FetchError(f"{name}: {error}\n{by_hand(name)}") from error
    flow.unlink()  # the other files serve the other published models as well
    return out


def announce(name: str, remotes: list[Remote], store: Path, say: Say) -> None:
    """Report how much is about to be downloaded; asking for the sizes shows at once whether there is a connection."""
    missing = [remote for remote in remotes if not (store / remote.target).exists()]
    urls = [remote.url for remote in missing] + ([] if cavp_path(store).exists() else [cavp_url()])
    sizes = list(map(remote_size, urls))
    known = sum(size for size in sizes if size) / 1e9
    unknown = f" and {sizes.count(None)} files of unknown size" if None in sizes else ""
    say(f"{name}: downloading {len(sizes)} files, {known:.2f} GB{unknown}, into {store}")


def fetch_file(remote: Remote, store: Path, on_progress: Progress) -> Path:
    """A file on a server, among the downloads.

    Raises:
        DownloadError: if it cannot be had.
    """
    target = store / remote.target
    target.parent.mkdir(parents=True, exist_ok=True)
    download(remote.url, target, on_progress=partial(on_progress, target.name))
    return target


def checkpoint_in(folder: str, target: str) -> Remote:
    """The one checkpoint in a Drive folder, to be kept as `target`.

    Raises:
        DownloadError: if there is none, or more than one.
    """
    found = [url for path, url in list_drive(folder) if path.endswith(".ckpt")]
    if len(found) != 1:
        raise DownloadError(f"{folder}: expected one .ckpt file, found {len(found)}")
    return Remote(found[0], target)


def vocoder_files() -> Iterator[Remote]:
    """The vocoder's two files.

    Raises:
        DownloadError: if one of them is not there.
    """
    found = {Path(path).name: url for path, url in list_drive(VOCODER)}
    for file in (VOCODER_FILE, VOCODER_SIZES):
        if file not in found:
            raise DownloadError(f"{VOCODER}: {file} is not there any more")
        yield Remote(found[file], f"{VOCODER_FOLDER}/{file}")


def list_drive(folder: str) -> list[tuple[str, str]]:
    """Paths and addresses of the files in a Google Drive folder.

    Raises:
        DownloadError: if it cannot be listed.
    """
    import gdown
    import requests

    try:
        files = gdown.download_folder(folder, skip_download=True, quiet=True, use_cookies=False, timeout=PATIENCE)
    except (requests.RequestException, gdown.exceptions.DownloadError, ValueError, RuntimeError) as error:
        raise DownloadError(f"{folder}: cannot be listed from here ({type(error).__name__})") from error
    return [(file.path, DRIVE_FILE.format(file.id)) for file in files if not isinstance(file, str)]


def cavp_url() -> str:
    """Address of CAVP on the Hub."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(CAVP_REPOSITORY, CAVP_FILE)


def cavp_path(store: Path) -> Path:
    """Path of CAVP's checkpoint below the downloads."""
    return store / "cavp" / CAVP_FILE


def fetch_cavp(store: Path) -> Path:
    """CAVP's checkpoint from the Hub.

    Raises:
        DownloadError: if it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    if cavp_path(store).exists():
        return cavp_path(store)
    try:
        return Path(hf_hub_download(CAVP_REPOSITORY, CAVP_FILE, local_dir=store / "cavp"))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise DownloadError(f"{cavp_url()}: {type(error).__name__}: {error}") from error


def by_hand(name: str) -> str:
    """Instructions: what to download, and the command that makes a model of it."""
    release = RELEASES[name]
    out = cache_folder() / "models" / name
    return (
        "Download by hand what a browser reaches:\n"
        f"  the .ckpt file in          {release.flow}\n"
        f"  the folder (two files) at  {VOCODER}\n"
        f"  CAVP                       {cavp_url()}\n"
        f"  if the first lacks it, the mel autoencoder (add --vae VAE.ckpt), the .ckpt file in {AUTOENCODER}\n"
        "and convert it:\n"
        f"  frieren weights convert --flow FILE.ckpt --vocoder FOLDER --cavp {Path(CAVP_FILE).name} "
        f"--steps {release.steps} {shlex.quote(str(out))}\n"
        f"Then `--model {name}` finds it."
    )
