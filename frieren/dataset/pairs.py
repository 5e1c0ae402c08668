"""Pairs for reflow and distillation: noise, and the latent that the guided flow leads to, for every clip of a data set.

frieren pairs MODEL DATA OUT

One pair per clip, from its first window, as published (paper section 6); or several, each from another window and with
another noise: a field of one step memorises few pairs. The pairs are a data set of their own, in shards:
`features` [F, D] of the window, `noise` and `latent` [L, C], and, as the authors train with it, `mean` and
`log_variance` [L, C] of the latent after a way through the spectrogram and back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from frieren.clock import Clock
from frieren.dataset.packing import ShardWriter, merge, shard_path
from frieren.dataset.prepare import declare, fingerprint
from frieren.dataset.scatter import ShardJob, scatter
from frieren.dataset.shards import INDEX, ShardError, Shards
from frieren.latent import draw_noise, sample_latent
from frieren.mel import decode_latent, encode_mel
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.field import VectorField
from frieren.weights import load_network


@dataclass(frozen=True)
class Pairing:
    """Settings of the pairs.

    Attributes:
        data: the data set with the clips' features.
        field, autoencoder: folders of the parts; the autoencoder is needed only to re-encode.
        steps, guidance, solver: of the sampling (published 25, 4.5, Euler).
        reencode: keep the posterior of the decoded latent as well.
        draws: pairs of each clip (published 1).
        seed: another seed, other pairs.
        precision: arithmetic of the field: "float32", or "bfloat16" (autocast).
        batch: pairs that are sampled together.

    Raises:
        ValueError: for no draw.
    """

    data: Path
    field: Path
    autoencoder: Path
    clock: Clock
    steps: int = 25
    guidance: float = 4.5
    solver: str = "euler"
    reencode: bool = False
    draws: int = 1
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    batch: int = 8

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws must be 1 or more, got {self.draws}")


@dataclass(frozen=True)
class PairItems:
    """Clips whose pairs go into one shard."""

    split: str
    items: range


def make_pairs(
    pairing: Pairing,
    out: Path,
    splits: tuple[str, ...],
    *,
    per_shard: int = 256,
    workers: int | None = None,
    ray: str | None = None,
    gpus: float = 0,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Path, str]:
    """Makes the pairs, or what is missing of them.

    A pair depends on its clip's name and the seed alone, not on workers or on interruptions.

    Args:
        splits: of the data set.
        workers: local processes; None: one per GPU, or per core where there is none.
        ray, gpus, on_done: see `scatter`; shards are counted.

    Returns:
        Why each shard that failed did; empty if all is done.

    Raises:
        DatasetError: the folder holds pairs that were made otherwise.
        ShardError: the data set cannot be opened.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = {name: value for name, value in asdict(pairing).items() if name not in ("batch", "data")}
    parts = {part: fingerprint(Path(table[part])) for part in ("field", "autoencoder")}
    index = Path(pairing.data) / INDEX  # it holds the hashes of all shards' headers, and those the hashes of all data
    Shards(pairing.data)  # says what is wrong if there is none
    parts["data"] = hashlib.sha256(index.read_bytes()).hexdigest()
    declare(out / "dataset.json", {**table, **parts, "splits": list(splits), "per_shard": per_shard})
    jobs: list[ShardJob] = []
    for split in splits:
        count = len(Shards(pairing.data, split))
        for start in range(0, count, per_shard):
            items = range(start, min(start + per_shard, count))
            jobs.append(ShardJob(shard_path(out, len(jobs)), PairItems(split, items)))
    workers = workers if workers is not None else torch.cuda.device_count() or None
    failures = scatter(partial(make_shard, pairing), jobs, workers=workers, ray=ray, gpus=gpus, on_done=on_done)
    if not failures:
        merge(out)
    return failures


def make_shard(pairing: Pairing, job: ShardJob) -> None:
    """Samples the pairs of one shard; runs in a worker, on a GPU if there are any."""
    number = int(job.target.stem)
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", number % gpus) if gpus else torch.device("cpu")
    field, data = field_on(pairing.field, device), Shards(pairing.data, job.what.split)
    writer = ShardWriter(job.target.parent, number)
    channels, window = field.config.latent, pairing.clock.window
    clips = readable(pairing, field, data, job.what, writer)
    while rows := list(islice(clips, pairing.batch)):
        names, items, features = zip(*rows, strict=True)
        noise = torch.stack([draw_noise(channels, window, seed_of(pairing, name)) for name in names])
        made = pair(pairing, field, torch.stack(features).to(device), noise.to(device))
        for index, name in enumerate(names):
            columns = {key: value[index].T.cpu() for key, value in made.items()}
            columns |= {"features": features[index], "noise": noise[index].T}
            known = {"label": data.labels[items[index]], "meta": data.meta(items[index])}
            writer.add(name, columns, split=job.what.split, **known)
    writer.write()


def readable(
    pairing: Pairing, field: VectorField, data: Shards, what: PairItems, writer: ShardWriter
) -> Iterator[tuple[str, int, Tensor]]:
    """Name, item and features of one window for each pair; clips that have no window are rejected by name.

    The windows begin evenly spread over the clip, the first one at its start.
    """
    count = frames_in_window(field, pairing.clock)
    lengths = data.lengths("features").tolist()
    for item in what.items:
        name, spare = data.ids[item], lengths[item] - count
        if spare < 0:
            writer.reject(name, f"{lengths[item]} features, a window has {count}")
            continue
        for draw in range(pairing.draws):
            start = spare * draw // max(1, pairing.draws - 1)
            pair_name = f"{name}#{draw}" if draw else name
            try:
                yield pair_name, item, data.read(item, "features", start, count).float()
            except ShardError as error:
                writer.reject(pair_name, str(error))


def frames_in_window(field: VectorField, clock: Clock) -> int:
    """Features behind the columns of one window."""
    if field.config.regulator == "repeat":
        return clock.window // field.config.repeat
    return clock.frames(clock.window / clock.latent_rate)


def seed_of(pairing: Pairing, name: str) -> int:
    """A clip's own seed."""
    return int.from_bytes(hashlib.sha256(f"{pairing.seed} {name}".encode()).digest()[:6], "big")


@torch.inference_mode()
def pair(pairing: Pairing, field: VectorField, features: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """features [B, F, D], noise [B, C, L] -> latent [B, C, L], and its posterior after re-encoding if wanted."""
    times = torch.tensor(pairing.clock.frame_times(features.shape[1]), dtype=torch.float64)
    half = pairing.precision == "bfloat16"
    with torch.autocast(noise.device.type, torch.bfloat16, enabled=half):
        steps = sample_latent(
            field,
            features,
            times,
            noise,
            pairing.clock,
            steps=pairing.steps,
            guidance=pairing.guidance,
            solver=pairing.solver,
            published=True,
        )
        *_, (_, latent) = steps
    if not pairing.reencode:
        return {"latent": latent}
    autoencoder = autoencoder_on(pairing.autoencoder, latent.device)
    mel = decode_latent(autoencoder, latent, pairing.clock.window, 0)
    mean, log_variance = encode_mel(autoencoder, mel)
    return {"latent": latent, "mean": mean, "log_variance": log_variance}


@cache
def field_on(folder: Path, device: torch.device) -> VectorField:
    """The field, loaded once by each worker."""
    return load_network(folder, VectorField).to(device)


@cache
def autoencoder_on(folder: Path, device: torch.device) -> MelAutoencoder:
    """The autoencoder, loaded once by each worker."""
    return load_network(folder, MelAutoencoder).to(device)
