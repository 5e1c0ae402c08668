"""What the parts learn from: FoleyWorld clips rendered once into a cache folder, and recordings from a folder.

The cache can always be made again from (world version, split, count, clock, size), which its name carries.
"""

from __future__ import annotations

import csv
import dataclasses
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from frieren import sounds, world
from frieren.clock import Clock
from frieren.errors import FrierenError
from frieren.spectrogram import MelConfig, log_mel

SUFFIXES = (".flac", ".wav", ".ogg", ".mp3", ".opus")
CHUNK = 25  # clips rendered by one call of a worker


@dataclass(frozen=True)
class Clips:
    """Rendered clips of one split, memory-mapped.

    Attributes:
        name: of the cache folder; it says all that the clips depend on.
        split: of FoleyWorld; the clips are its first N.
        images: [N, F, 3, H, W] uint8.
        waves: [N, S] int16.
        mels: [N, M, T] float16, log10 mel of the waves.
    """

    name: str
    split: str
    images: np.ndarray
    waves: np.ndarray
    mels: np.ndarray

    def __len__(self) -> int:
        return len(self.waves)

    @property
    def frames(self) -> int:
        """Frames in a clip."""
        return self.images.shape[1]

    def picture(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Frames [count, 3, H, W] in 0..1 of a clip from frame `start`; to its end if no count is given."""
        return torch.from_numpy(self.images[index, start : part_end(start, count)].astype(np.float32)) / 255

    def mel(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Columns [M, count] of a clip's log10 mel from column `start`."""
        return torch.from_numpy(self.mels[index, :, start : part_end(start, count)].astype(np.float32))

    def wave(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Samples [count] in -1..1 of a clip's sound from sample `start`."""
        return torch.from_numpy(self.waves[index, start : part_end(start, count)].astype(np.float32)) / 32767

    def labels(self) -> list[Label]:
        """What each clip's script says of it."""
        return [label(world.clip(self.split, index, Clock(), picture=False, sound=False)) for index in range(len(self))]


def part_end(start: int, count: int | None) -> int | None:
    """Where a slice of `count` from `start` ends."""
    return None if count is None else start + count


@dataclass(frozen=True)
class Label:
    """What a script says of its clip, beside picture and sound.

    Attributes:
        kinds: what sounds, main kind first; empty for a silent clip.
        timed: True if a shift of the sound could be seen: two visible impacts, or a visible activity that changes.
    """

    kinds: tuple[str, ...]
    timed: bool


def label(clip: world.Clip) -> Label:
    """The label of a clip. An activity changes if it is at some time twice as loud as at another."""
    impacts = sum(event.visible for event in clip.events)
    changing = any(
        activity.visible and activity.loudness.max() > 2 * activity.loudness.min() for activity in clip.activities
    )
    return Label(clip.kinds, impacts >= 2 or changing)


@dataclass(frozen=True)
class Data:
    """What a part learns from and is judged on.

    Attributes:
        train, valid: clips of FoleyWorld.
        recorded: recordings [S] int16; may be empty.
    """

    train: Clips
    valid: Clips
    recorded: list[np.ndarray]

    @property
    def crops(self) -> WaveCrops:
        """Where the parts that only listen take their crops from."""
        return WaveCrops(self.train.waves, self.recorded)


def clips(
    cache: Path, split: str, count: int, clock: Clock, mel: MelConfig, size: int, report: Callable[[int, int], None]
) -> Clips:
    """The first `count` clips of a split, rendered in parallel the first time.

    Args:
        cache: folder for rendered splits.
        report: called with (clips done, clips in all).
    """
    rates = "-".join(f"{value:g}" for value in (clock.fps, *dataclasses.astuple(mel)))
    name = f"world{world.WORLD_VERSION}-{split}-{count}-{rates}-{size}px"
    folder = cache / name
    if not folder.exists():
        part = folder.with_name(f"{name}.{os.getpid()}.part")  # two parts may be trained at once
        part.mkdir(parents=True)
        render(part, split, count, clock, mel, size, report)
        if folder.exists():
            shutil.rmtree(part)
        else:
            os.replace(part, folder)
    arrays = (np.load(folder / f"{array}.npy", mmap_mode="r") for array in ("images", "waves", "mels"))
    return Clips(name, split, *arrays)


def render(
    folder: Path, split: str, count: int, clock: Clock, mel: MelConfig, size: int, report: Callable[[int, int], None]
) -> None:
    """Fills images.npy, waves.npy and mels.npy with a process per core."""
    samples, frames = clock.samples(world.SECONDS), clock.frames(world.SECONDS)
    shapes = {
        "images": ((count, frames, 3, size, size), np.uint8),
        "waves": ((count, samples), np.int16),
        "mels": ((count, mel.bins, samples // mel.hop), np.float16),
    }
    for array, (shape, kind) in shapes.items():
        np.lib.format.open_memmap(folder / f"{array}.npy", "w+", kind, shape).flush()
    context = multiprocessing.get_context("spawn")  # a forked child of a threaded torch process can hang
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        jobs = [
            pool.submit(render_chunk, folder, split, start, min(start + CHUNK, count), clock, mel, size)
            for start in range(0, count, CHUNK)
        ]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            report(min(done * CHUNK, count), count)


def render_chunk(folder: Path, split: str, start: int, end: int, clock: Clock, mel: MelConfig, size: int) -> None:
    """Renders clips start..end into their rows; runs in a worker process."""
    torch.set_num_threads(1)
    images, waves, mels = (np.load(folder / f"{array}.npy", mmap_mode="r+") for array in ("images", "waves", "mels"))
    for index in range(start, end):
        clip = world.clip(split, index, clock, size)
        images[index] = clip.images
        waves[index] = to_int16(clip.wave)
        mels[index] = log_mel(torch.from_numpy(clip.wave), mel).numpy()


def recordings(folder: Path, sample_rate: int, split: str = "train") -> list[np.ndarray]:
    """Every sound file below a folder as int16 [S]; if there is a manifest.csv (path, split), only that split's.

    Raises:
        FrierenError: if the folder holds no sound file.
    """
    waves = [to_int16(np.asarray(sounds.read(path, sample_rate))) for path in recording_paths(folder, split)]
    if not waves:
        raise FrierenError(f"{folder}: no sound files ({', '.join(SUFFIXES)}) for split {split!r}; check the folder")
    return waves


def recording_paths(folder: Path, split: str) -> Iterator[Path]:
    """The files behind `recordings`, in order of name."""
    manifest = folder / "manifest.csv"
    if manifest.exists():
        with manifest.open(newline="") as file:
            yield from (folder / row["path"] for row in csv.DictReader(file) if row["split"] == split)
    else:
        yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def to_int16(wave: np.ndarray) -> np.ndarray:
    """A wave in -1..1 as 16-bit integers."""
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes, and what it is given has to be."""
    return next(network.parameters()).device


class WaveCrops:
    """Random crops of waves: FoleyWorld's and, for half of the items, recordings if there are any."""

    def __init__(self, world_waves: np.ndarray, recorded: list[np.ndarray]) -> None:
        self.world_waves, self.recorded = world_waves, recorded
        self.lengths = torch.tensor([float(len(wave)) for wave in recorded])

    def draw(self, count: int, samples: int) -> Tensor:
        """[count, samples] in -1..1 with a random gain; a crop with hardly any sound is drawn again, up to 4 times."""
        crops = []
        for item in range(count):
            recorded = bool(self.recorded) and item % 2 == 1
            for _ in range(4):
                crop = self.crop(recorded, samples)
                if np.abs(crop).max() > 0.02:
                    break
            crops.append(torch.from_numpy(crop) * 10 ** (torch.rand(()) * 0.6 - 0.6))
        return torch.stack(crops)

    def crop(self, recorded: bool, samples: int) -> np.ndarray:
        """One crop; a recording that is too short is repeated, longer ones are drawn more often."""
        if recorded:
            wave = self.recorded[int(torch.multinomial(self.lengths, 1))]
        else:
            wave = self.world_waves[int(torch.randint(len(self.world_waves), ()))]
        if len(wave) < samples:
            wave = np.tile(wave, -(-samples // len(wave)))
        start = int(torch.randint(len(wave) - samples + 1, ()))
        return wave[start : start + samples].astype(np.float32) / 32767
