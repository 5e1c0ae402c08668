"""The clips of a test split by which systems are compared: their videos, and their sounds as references.

test-64/videos/test-000003.mp4        what systems are given, as `frieren generate` would be
test-64/references/test-000003.flac   the true sound, and FoleyWorld's script as .json beside it
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from frieren import sounds
from frieren.clock import Clock
from frieren.dataset.shards import Shards
from frieren.errors import FrierenError
from frieren.evaluation.protocol import list_hash, listed, media_files
from frieren.files import file_hash
from frieren.formats import VIDEOS
from frieren.world import Clip
from frieren.world import clip as make_clip

SIZE, FPS = 96, 25.0  # pixels and frames per second of FoleyWorld's videos: those that its encoder learns from
WriteClip = Callable[[Clip, Path, float], None]  # clip, .mp4 file, frames per second
Progress = Callable[[str, int, int], None]  # stage, done, total


class ClipsError(FrierenError):
    """There are no clips to compare systems by: videos are missing, or a data set has no sounds."""


@dataclass(frozen=True)
class TestClips:
    """Clips of a test split.

    Attributes:
        names: of the clips, in order; clip i is given the seed i.
        videos: files by name.
        references: folder of the true sounds.
        about: where they come from, in words.
    """

    names: tuple[str, ...]
    videos: dict[str, Path]
    references: Path
    about: str

    def digest(self) -> str:
        """Return a digest of the list and of the contents of all files."""
        references = media_files(self.references)
        parts = [list_hash(self.names)]
        parts += [file_hash(of[name]) for name in self.names for of in (self.videos, references)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def world_clips(folder: Path, split: str, count: int, write: WriteClip) -> TestClips:
    """Return the first clips of a split of FoleyWorld, rendered now where they are not there.

    Args:
        write: writes a clip as .mp4 with its script as .json beside it.
    """
    folder /= f"{split}-{count}"
    videos, references = folder / "videos", folder / "references"
    for place in (videos, references):
        place.mkdir(parents=True, exist_ok=True)
    names = tuple(f"{split}-{index:06d}" for index in range(count))
    clock = Clock(fps=FPS)
    for index, name in enumerate(names):
        sound = references / f"{name}.flac"
        if not sound.exists():
            clip = make_clip(split, index, clock, SIZE)
            assert clip.wave is not None
            write(clip, videos / f"{name}.mp4", FPS)
            shutil.copyfile(videos / f"{name}.json", references / f"{name}.json")
            sounds.write(sound, clip.wave, clip.sample_rate)  # last: where it is, the clip is whole
    return TestClips(names, {name: videos / f"{name}.mp4" for name in names}, references, f"FoleyWorld, {split}")


def prepared_clips(folder: Path, data: Path, split: str, count: int, videos: Path) -> TestClips:
    """Return the first clips of a split of a prepared data set, whose videos lie in a folder by the ids.

    The true sounds are the data set's waves where it has them, otherwise those of the videos.

    Raises:
        ClipsError: a video is missing.
        ShardError: there is no such data set or split.
    """
    shards, rate = Shards(data, split), json.loads((data / "dataset.json").read_text())["clock"]["sample_rate"]
    names, there = tuple(shards.ids[:count]), media_files(videos, VIDEOS)
    if missing := [name for name in names if name not in there]:
        raise ClipsError(f"{videos}: no video of {listed(missing)}; give the folder of the data set's videos: --videos")
    references = folder / f"{data.name}-{split}-{len(names)}" / "references"
    references.mkdir(parents=True, exist_ok=True)
    for item, name in enumerate(names):
        if "wave" in shards.fields:
            if not (references / f"{name}.flac").exists():
                wave = shards.read(item, "wave").to(torch.float32) / 32767
                sounds.write(references / f"{name}.flac", wave.numpy(), rate)
        elif not (link := references / there[name].name).exists():
            link.symlink_to(there[name].resolve())
    return TestClips(names, {name: there[name] for name in names}, references, f"{data.name}, {split}")
