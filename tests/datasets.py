"""Small data sets of noise for the tests: every length, no world to be rendered and no video to be decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frieren import world
from frieren.clock import Clock
from frieren.dataset.packing import ShardWriter, merge
from frieren.dataset.prepare import script
from frieren.spectrogram import MelConfig, log_mel
from frieren.training.data import ClipDataset, open_clips

CLOCK = Clock(fps=25.0, window=160, overlap=48)


@dataclass(frozen=True)
class Item:
    """One clip: its split and length, and what is known of it."""

    split: str
    seconds: float
    label: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def write(folder: Path, items: Iterable[Item], *, per_shard: int = 8, size: int = 16, clock: Clock = CLOCK) -> Path:
    """A data set of the items, named by their numbers, with pictures, sounds and the sounds' mels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, items = np.random.default_rng(0), list(items)
    for number, start in enumerate(range(0, len(items), per_shard)):
        writer = ShardWriter(folder, number)
        for index, item in enumerate(items[start : start + per_shard], start):
            wave = (rng.normal(size=clock.samples(item.seconds)) * 2000).astype(np.int16)
            fields = {
                "images": torch.from_numpy(rng.integers(0, 256, (clock.frames(item.seconds), 3, size, size), np.uint8)),
                "wave": torch.from_numpy(wave),
                "mel": log_mel(torch.from_numpy(wave / 32768).float(), MelConfig()).T.half(),
            }
            writer.add(f"clip{index}", fields, label=item.label, split=item.split, meta=item.meta)
        writer.write()
    merge(folder)
    return folder


def noisy_world(folder: Path, train: int, valid: int) -> tuple[ClipDataset, ClipDataset]:
    """Noise with the scripts of FoleyWorld's first clips, to learn from and to be judged on."""
    for split, count in (("train", train), ("valid", valid)):
        clips = (world.clip(split, index, CLOCK, picture=False, sound=False) for index in range(count))
        write(folder / split, [Item(split, clip.seconds, meta=script(clip)) for clip in clips])
    return open_clips(folder / "train", "train", CLOCK), open_clips(folder / "valid", "valid", CLOCK)
