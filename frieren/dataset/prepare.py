"""Clips -> a data set: features, mel, wave and images of every clip, in shards, over as many processes as there are.

A shard is written whole or not at all, so that a run that was killed goes on with the shards that are missing. What
cannot be used is left out and named in `rejected.csv`; nothing is put in its place.

    DATA/
    ├── dataset.json         what it was made of
    ├── 00000.safetensors    ...
    ├── index.safetensors    see `shards`
    ├── missing.csv          ids of the lists that have no file
    └── rejected.csv         ids that have one and cannot be used, and why
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from frieren import sounds, video, world
from frieren.clock import Clock
from frieren.conditioning import cue_features
from frieren.cues import Cues
from frieren.dataset.mixtures import mixture
from frieren.dataset.packing import ShardWriter, merge, shard_path
from frieren.dataset.scatter import ShardJob, scatter
from frieren.dataset.sources import ClipSource, SourceItem
from frieren.dataset.takes import TakeLibrary, compile_detector
from frieren.errors import FrierenError, VideoError
from frieren.features import encode_frames
from frieren.files import file_hash, replacing
from frieren.mel import encode_mel
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.cavp import VideoTower
from frieren.nets.fast import hastened
from frieren.spectrogram import MelConfig, log_mel
from frieren.spotting import spot
from frieren.weights import PART_FILES, Condition, load_network
from frieren.world.script import as_table

FIELDS = ("features", "mel", "wave", "images")
LATENT = ("mean", "log_variance")  # of the autoencoder, so that a field in training need not encode mels
LARGEST = 200_000_000  # bytes of images in a shard, as it is collected in memory
SHORTEST = 1.0  # seconds of video and sound that a clip must have
LATE = 0.25  # seconds by which a sound may begin after the video: one frame of the published encoder


class DatasetError(FrierenError):
    """A data set cannot be made: the folder holds another one, or no clip can be used."""


@dataclass(frozen=True)
class DatasetSpec:
    """Fields of a data set and their sizes, on a time axis that begins with a clip's first frame.

    Raises:
        ValueError: an unknown field or none at all, features without an encoder, two sample rates.
    """

    fields: tuple[str, ...] = ("features", "mel")
    encoder: Path | None = None  # the folder of the part that makes the features
    autoencoder: Path | None = None  # likewise of `mean` and `log_variance`
    condition: Condition = "frames"  # what the features are made of: by the encoder, or of cue sheets
    size: int = 64  # height and width of `images`, pixels
    seconds: float = 10.0  # at most, from the clip's beginning
    clock: Clock = field(default_factory=Clock)
    mel: MelConfig = field(default_factory=MelConfig)
    precision: str = "float32"  # of the encoder, "float32" or "bfloat16"

    def __post_init__(self) -> None:
        known = FIELDS + LATENT
        unknown = [name for name in self.fields if name not in known]
        if unknown or not self.fields:
            raise ValueError(f"fields must be some of {', '.join(known)}, got {', '.join(self.fields) or 'none'}")
        if "features" in self.fields and self.encoder is None and self.condition == "frames":
            raise ValueError("features need an encoder; name a model that has one, or leave the field out")
        if set(LATENT) & set(self.fields) and self.autoencoder is None:
            raise ValueError("latents need an autoencoder; name a model that has one, or leave the fields out")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, got {self.precision!r}")
        if self.clock.sample_rate != self.mel.sample_rate:
            raise ValueError(
                f"clock at {self.clock.sample_rate} Hz, mel at {self.mel.sample_rate} Hz: must be the same"
            )

    @property
    def per_shard(self) -> int:
        """Clips in a shard, unless somebody says otherwise: 256, or as many as have `LARGEST` bytes of images."""
        if "images" not in self.fields:
            return 256
        return min(256, max(1, LARGEST // (3 * self.size**2 * self.clock.frames(self.seconds))))


@dataclass(frozen=True)
class PreparedSummary:
    """Result of a preparation.

    Attributes:
        items: clips in the data set.
        shards: files that they are in.
        rejected: (id, reason) of those that cannot be used.
        failures: shards that could not be made, and why; while there are any, there is no index.
    """

    items: int
    shards: int
    rejected: tuple[tuple[str, str], ...]
    failures: dict[Path, str]


def prepare(
    source: ClipSource,
    data: Path,
    spec: DatasetSpec,
    *,
    per_shard: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> PreparedSummary:
    """Makes the data set, or what is missing of it.

    The result does not depend on the number of workers or on how often the run was interrupted.

    Args:
        data: its folder.
        per_shard: clips in one shard, which is collected in memory, and lost if the run is killed; None: as many as
            `spec.per_shard`.
        workers, ray, on_done: see `scatter`; shards are counted.

    Raises:
        DatasetError: the folder holds a data set made otherwise; no clip can be used.
        OutputError: the folder cannot be written to.
    """
    per_shard = per_shard or spec.per_shard
    data.mkdir(parents=True, exist_ok=True)
    declare(data / "dataset.json", described(source, spec, per_shard))
    missing = [(id, cover.split) for cover in source.coverage for id in cover.missing]
    write_table(data / "missing.csv", ("id", "split"), missing)
    jobs = [
        ShardJob(shard_path(data, number), items) for number, items in enumerate(shared_out(source.items, per_shard))
    ]
    if source.items[0].recordings:
        compile_detector()
    failures = scatter(partial(make_shard, spec), jobs, workers=workers, ray=ray, on_done=on_done)
    if failures:
        return PreparedSummary(0, len(jobs) - len(failures), (), failures)
    rejected = merge(data)
    write_table(data / "rejected.csv", ("id", "reason"), rejected)
    for part in data.glob(".*.part.*"):  # what a killed run was writing
        part.unlink(missing_ok=True)
    if len(rejected) == len(source.items):
        raise DatasetError(f"{data}: none of {len(rejected)} clips can be used; {data / 'rejected.csv'} says why")
    return PreparedSummary(len(source.items) - len(rejected), len(jobs), tuple(rejected), {})


def shared_out(items: Sequence[SourceItem], per_shard: int) -> Iterator[tuple[SourceItem, ...]]:
    """The items of each shard; a shard has items of one split."""
    for _, group in groupby(items, key=lambda item: item.split):
        same = tuple(group)
        yield from (same[start : start + per_shard] for start in range(0, len(same), per_shard))


def described(source: ClipSource, spec: DatasetSpec, per_shard: int) -> dict[str, Any]:
    """Everything that the data set depends on, as a JSON object."""
    latents = set(LATENT) & set(spec.fields)
    drawn = source.items[0].index is not None and not source.items[0].recordings
    return {
        "source": source.name,
        "items": len(source.items),
        "list": source.digest,
        "per_shard": per_shard,
        "fields": sorted(spec.fields),
        "encoder": fingerprint(spec.encoder) if spec.encoder and "features" in spec.fields else None,
        "autoencoder": fingerprint(spec.autoencoder) if spec.autoencoder and latents else None,
        "condition": spec.condition,
        "size": spec.size if "images" in spec.fields else None,
        "seconds": spec.seconds,
        "clock": dataclasses.asdict(spec.clock),
        "mel": dataclasses.asdict(spec.mel),
        "world": world.WORLD_VERSION if drawn else None,
        **({} if spec.precision == "float32" else {"precision": spec.precision}),
    }


def fingerprint(part: Path) -> str:
    """SHA-256 over the hashes of a part's config and parameters."""
    return hashlib.sha256(b"".join(bytes.fromhex(file_hash(part / name)) for name in PART_FILES)).hexdigest()


def declare(path: Path, table: dict[str, Any]) -> None:
    """Writes down what the data set is made of, before its first shard.

    Raises:
        DatasetError: the folder holds one that is made of something else.
    """
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise DatasetError(f"{path}: not the description of a data set ({error}); choose another folder") from error
        if before != table:
            changes = [
                f"{key} was {before.get(key)!r} and is now {table.get(key)!r}"
                for key in sorted(before.keys() | table.keys())
                if before.get(key) != table.get(key)
            ]
            raise DatasetError(f"{path}: {'; '.join(changes)}; choose another folder, or make it as it was begun")
        return
    with replacing(path) as part:
        part.write_text(json.dumps(table, indent=2) + "\n")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def make_shard(spec: DatasetSpec, job: ShardJob) -> None:
    """Prepares the items of one shard; runs in a worker."""
    import av

    writer = ShardWriter(job.target.parent, int(job.target.stem))
    for item in job.what:
        try:
            columns = extract(clip := usable(item, spec), spec)
        except (VideoError, ValueError, av.error.FFmpegError) as error:
            writer.reject(item.id, str(error))
        else:
            writer.add(item.id, columns, label=item.label or clip.label, split=item.split, meta=clip.meta)
    writer.write()


@dataclass(frozen=True)
class UsableClip:
    """A clip that can be used.

    Attributes:
        frames: a size in pixels -> blocks [f, 3, size, size] in 0..1, all of its frames in order.
        wave: float32 [S] in -1..1.
        label: "" if the file has none.
        meta: further metadata, a JSON object.
        cues: makes its cue sheet.
    """

    frames: Callable[[int], Iterator[Tensor]]
    wave: np.ndarray
    label: str
    meta: dict[str, Any]
    cues: Callable[[], Cues]


def usable(item: SourceItem, spec: DatasetSpec) -> UsableClip:
    """The clip behind an item."""
    if item.video is not None:
        return video_clip(item.video, spec)
    return mixture_clip(item, spec) if item.recordings else world_clip(item, spec)


def extract(clip: UsableClip, spec: DatasetSpec) -> dict[str, Tensor]:
    """The fields of a clip.

    Features [F, D], mel [T, M], mean and log_variance [L, C], wave [S] int16, images [F, 3, H, W] uint8.
    """
    columns: dict[str, Tensor] = {}
    if "features" in spec.fields and spec.condition == "cues":
        columns["features"] = cue_features(clip.cues(), len(clip.wave) / spec.clock.sample_rate, spec.clock).half()
    elif spec.encoder and "features" in spec.fields:
        encoder = tower(spec.encoder, spec.precision)
        blocks = (block[None] for block in clip.frames(encoder.config.image_size))
        columns["features"] = torch.cat(list(encode_frames(encoder, blocks)), dim=1)[0]
    mel = log_mel(torch.from_numpy(clip.wave), spec.mel)
    if "mel" in spec.fields:
        columns["mel"] = mel.T.half()
    if spec.autoencoder and set(LATENT) & set(spec.fields):
        even = mel[None, :, : mel.shape[-1] // spec.clock.stride * spec.clock.stride]
        latents = zip(LATENT, encode_mel(mel_autoencoder(spec.autoencoder), even), strict=True)
        columns |= {name: value[0].T.half().contiguous() for name, value in latents if name in spec.fields}
    if "wave" in spec.fields:
        columns["wave"] = torch.from_numpy(to_int16(clip.wave))
    if "images" in spec.fields:
        columns["images"] = torch.cat([(block * 255).round().byte() for block in clip.frames(spec.size)])
    return columns


@cache
def tower(folder: Path, precision: str) -> VideoTower:
    """The visual encoder, loaded once by each worker, as it computes fastest on a processor."""
    return cast(VideoTower, hastened(load_network(folder, VideoTower), getattr(torch, precision)))


@cache
def mel_autoencoder(folder: Path) -> MelAutoencoder:
    """The autoencoder, loaded once by each worker."""
    return load_network(folder, MelAutoencoder)


def video_clip(path: Path, spec: DatasetSpec) -> UsableClip:
    """A video and its sound, as long as there are both.

    Raises:
        VideoError: it cannot be decoded, has no sound, or less than a second of both.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        info = video.probe(path)
        blocks = partial(video.stream_frames, path, spec.clock.fps, published=spec.clock.published_frames)
        sound = sounds.decode(path, info.start + info.seconds)
    if sound is None:
        raise VideoError(f"{path}: {'its sound cannot be decoded' if info.has_audio else 'it has no sound'}")
    early = round((info.start - sound.start) * sound.rate)
    if early < -LATE * sound.rate:
        raise VideoError(f"{path}: its sound begins {-early / sound.rate:.2f} s after the video")
    samples = np.pad(sound.samples.mean(axis=0), (max(0, -early), 0))[max(0, early) :]
    seconds = min(info.seconds, len(samples) / sound.rate, spec.seconds)
    if seconds < SHORTEST:
        raise VideoError(f"{path}: {seconds:.2f} s of video and sound, expected {SHORTEST:g} s or more")
    wave = sounds.resample(samples, sound.rate, spec.clock.sample_rate)[: spec.clock.samples(seconds)]
    count = spec.clock.frames(seconds)
    meta = {"seconds": seconds, **({"warnings": [str(entry.message) for entry in caught]} if caught else {})}
    return UsableClip(
        lambda size: first(count, (block.images for block in blocks(size))), wave, "", meta, partial(spot, path)
    )


def first(count: int, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """The first `count` images of blocks of images."""
    for block in blocks:
        yield block[:count]
        count -= len(block)
        if count <= 0:
            return


def world_clip(item: SourceItem, spec: DatasetSpec) -> UsableClip:
    """A clip of FoleyWorld with its script as meta; its label is the kind that sounds, or "silence"."""
    assert item.index is not None
    index, rendered = item.index, world.clip(item.split, item.index, spec.clock, picture=False)
    seconds = min(rendered.seconds, spec.seconds)

    def frames(size: int) -> Iterator[Tensor]:
        images = world.clip(item.split, index, spec.clock, size, sound=False).images
        assert images is not None
        yield torch.from_numpy(images[: spec.clock.frames(seconds)]).float() / 255

    assert rendered.wave is not None
    wave = rendered.wave[: spec.clock.samples(seconds)]
    meta = {"seconds": seconds, **script(rendered)}
    return UsableClip(frames, wave, rendered.kinds[0] if rendered.kinds else "silence", meta, no_cues)


def mixture_clip(item: SourceItem, spec: DatasetSpec) -> UsableClip:
    """A mixture of recordings, as long as the data set says, with its cue sheet as meta; it has no picture."""
    assert item.index is not None
    made = mixture(library(item.recordings, item.split, spec.clock.sample_rate), item.split, item.index, spec.seconds)

    def no_frames(size: int) -> Iterator[Tensor]:
        raise DatasetError("mixtures of recordings have no picture; leave images out, and make features of cues")

    meta = {"seconds": spec.seconds, "categories": list(made.categories), "cues": made.cues.to_json()}
    return UsableClip(no_frames, made.wave, made.categories[0], meta, lambda: made.cues)


@cache
def library(recordings: tuple[Path, ...], split: str, rate: int) -> TakeLibrary:
    """The recordings of a split, read once by each worker."""
    return TakeLibrary.read(recordings, split, rate)


def no_cues() -> Cues:
    """For FoleyWorld's clips, whose things the table of categories does not have."""
    raise DatasetError("FoleyWorld's clips have no cue sheet; use a model with an encoder, such as foleyworld")


def script(clip: world.Clip) -> dict[str, Any]:
    """The script of a clip of FoleyWorld as a JSON object."""
    return {
        "level": clip.level,
        "kinds": list(clip.kinds),
        "events": [as_table(event) for event in clip.events],
        "activities": [as_table(activity) for activity in clip.activities],
    }


def to_int16(wave: np.ndarray) -> np.ndarray:
    """A wave in -1..1 as 16-bit integers."""
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)
