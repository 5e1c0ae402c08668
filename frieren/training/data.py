"""Training data: the clips of a data set, and recordings from a folder.

The data set is one of `frieren prepare`, or FoleyWorld's clips, which a run prepares for itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frieren import sounds
from frieren.clock import Clock
from frieren.dataset.order import warn
from frieren.dataset.prepare import DatasetError, DatasetSpec, described, prepare, to_int16
from frieren.dataset.scatter import OnDone
from frieren.dataset.shards import Shards
from frieren.dataset.sources import ClipSource, world_source
from frieren.training import machines
from frieren.training.crops import long_enough
from frieren.training.loss_settings import Level
from frieren.training.recipe import AnyRecipe, trained
from frieren.world import SECONDS
from frieren.world.script import from_table, shift_is_visible

UNITS = {"images": "frames", "wave": "samples", "mel": "mel columns"}
CLIP_FIELDS = tuple(UNITS)  # fields of a `ClipDataset`


# -- data sets --


def dataset(recipe: AnyRecipe, out: Path, fields: tuple[str, ...], on_done: OnDone) -> Path:
    """Folder of the data set that the recipe names, or of FoleyWorld's clips as one below `out`, made now if need be.

    The folder of the latter is named after its fields and a digest of all that it depends on.

    Args:
        out: the run.
        fields: that are read; the encoder of the run, or else of `shared.frozen`, makes features.
        on_done: called with the numbers of shards made and in all.

    Raises:
        DatasetError: there is no such data set, or it does not go with the recipe; shards could not be made.
        RecipeError: the encoder has not been trained.
    """
    shared = recipe.shared
    if shared.data:
        return compatible(Path(shared.data), recipe, fields)
    features = "features" in fields
    if features and shared.condition == "cues":
        raise DatasetError("shared.data: cue sheets need a data set; make one: `frieren prepare mixtures:train:9000`")
    # The encoder knows more about the clips that it was trained on; a field trained on their features would rely too
    # much on those of others.
    clips = f"{shared.clips}+{shared.fresh}" if features and shared.fresh else f"{shared.clips}"
    names = (f"foleyworld:train:{clips}", f"foleyworld:valid:{shared.valid}")
    source = ClipSource(", ".join(names), tuple(item for name in names for item in world_source(name).items))
    kept = ("features", "mel") if features else CLIP_FIELDS  # one data set for the field, one for all other parts
    encoder = trained(recipe.model_parts(out)["encoder"]) if features else None  # the run's own, if it has trained one
    spec = DatasetSpec(kept, encoder, size=shared.image_size, seconds=SECONDS, clock=shared.clock, mel=shared.mel)
    description = json.dumps(described(source, spec, spec.per_shard), sort_keys=True)
    folder = out / "data" / f"{'-'.join(kept)}-{hashlib.sha256(description.encode()).hexdigest()[:8]}"
    if machines.rank() == 0:
        summary = prepare(source, folder, spec, on_done=on_done)
        raise_if_incomplete(folder, summary.failures)
    return folder


def fields_of(folder: Path) -> tuple[str, ...]:
    """Fields of a prepared data set; none if there is no such one, which `compatible` says."""
    path = folder / "dataset.json"
    return tuple(json.loads(path.read_text())["fields"]) if path.exists() else ()


def compatible(folder: Path, recipe: AnyRecipe, fields: tuple[str, ...]) -> Path:
    """The folder of a data set, if it is one, has the fields, and its rates, mels and images are the recipe's.

    Raises:
        DatasetError: if not.
    """
    path = folder / "dataset.json"
    if not path.exists():
        raise DatasetError(f"shared.data: {folder} is not a data set; make one with `frieren prepare`")
    made, shared = json.loads(path.read_text()), recipe.shared
    theirs = {"clock.fps": made["clock"]["fps"], **{f"mel.{key}": value for key, value in made["mel"].items()}}
    ours = {"clock.fps": shared.clock.fps} | {f"mel.{k}": v for k, v in dataclasses.asdict(shared.mel).items()}
    if missing := [field for field in fields if field not in made["fields"]]:
        raise DatasetError(
            f"shared.data: {folder} has the fields {', '.join(made['fields'])}, {recipe.part} needs "
            f"{', '.join(missing)} too; prepare it again with --fields {','.join((*made['fields'], *missing))}"
        )
    if "images" in fields:
        theirs["image_size"], ours["image_size"] = made["size"], shared.image_size
    if "features" in fields:
        theirs["condition"], ours["condition"] = made.get("condition", "frames"), shared.condition
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise DatasetError(
                f"shared.data: {folder} was made with {name} {theirs.get(name)}, the recipe has {value}; prepare it "
                "again with a model of the recipe's rates, or change the recipe"
            )
    return folder


def raise_if_incomplete(folder: Path, failures: Mapping[Path, str]) -> None:
    """Raises DatasetError if shards could not be made."""
    for path, reason in failures.items():
        raise DatasetError(f"{folder}: {len(failures)} shards are missing; {path.name}: {reason}")


# -- clips --


class ClipDataset:
    """Clips of a data set: frames, sounds and mels, read slice by slice, and labels.

    Attributes:
        data: one split of a data set.
        items: those of its items that are clips here; clip 0 is the first of them.
        lengths: [N] time steps of each clip by field.
    """

    def __init__(self, data: Shards, clock: Clock, items: Sequence[int]) -> None:
        """`clock` gives the rates of frames, sound and mel."""
        self.data, self.clock, self.items = data, clock, items
        self.rates = {"images": clock.fps, "wave": clock.sample_rate, "mel": clock.mel_rate}
        rows = torch.tensor(items, dtype=torch.int64)
        self.lengths = {field: data.lengths(field)[rows] for field in CLIP_FIELDS if field in data.fields}

    def __len__(self) -> int:
        return len(self.items)

    def picture(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Frames [count, 3, H, W] in 0..1 of a clip from frame `start`; to its end if no count is given."""
        return self.pixels(index, start, count).float() / 255

    def pixels(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """The frames of `picture` as they are stored, uint8: a quarter of the bytes to hand on."""
        return self.data.read(self.items[index], "images", start, count)

    def mel(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Columns [M, count] of a clip's log10 mel from column `start`."""
        return self.data.read(self.items[index], "mel", start, count).float().T.contiguous()

    def wave(self, index: int, start: int = 0, count: int | None = None) -> Tensor:
        """Samples [count] in -1..1 of a clip's sound from sample `start`."""
        return self.data.read(self.items[index], "wave", start, count).float() / 32767

    def name(self, index: int) -> str:
        """The clip's id."""
        return self.data.ids[self.items[index]]

    def meta(self, index: int) -> dict[str, Any]:
        """Metadata of a clip."""
        return self.data.meta(self.items[index])

    def labels(self) -> list[Label]:
        """Labels of all clips."""
        return [label_of(self.data.labels[item], self.data.meta(item)) for item in self.items]

    @cached_property
    def frames(self) -> list[int]:
        """Frames of each clip that have their sound as well: it may end within the last one."""
        seconds = torch.stack([length.double() / self.rates[field] for field, length in self.lengths.items()]).amin(0)
        return (seconds * self.clock.fps + 1e-6).int().tolist()

    def under(self, field: str, index: int, start: int, frames: int) -> tuple[int, int]:
        """First time step and number of time steps of `wave` or `mel` under some of a clip's `frames`.

        The number does not depend on `start`.
        """
        rate = self.rates[field] / self.clock.fps
        count = round(frames * rate)
        return min(round(start * rate), int(self.lengths[field][index]) - count), count

    def at_least(self, field: str, needed: int, remedy: str) -> ClipDataset:
        """The clips that are long enough to be cropped; how many are not is said in a warning.

        Args:
            field: what is counted; of images, the `frames`.
            needed: time steps of it.
            remedy: what to do if no clip has them.

        Raises:
            TooShortError: no clip has them.
        """
        there = self.frames if field == "images" else self.lengths[field].tolist()
        kept = long_enough(self.data.folder, there, needed, UNITS[field], remedy)
        return ClipDataset(self.data, self.clock, [self.items[index] for index in kept])


def open_clips(folder: Path, split: str, clock: Clock, most: int | None = None) -> ClipDataset:
    """The clips of a split, or the first `most`; those in broken shards are left out, with a warning for each shard.

    Raises:
        ShardError: there is no such data set or split.
    """
    data = Shards(folder, split)
    broken = {error.shard: error for error in data.check(verify=False)}
    for error in broken.values():
        warn(error)
    names = (shard["name"] for shard, size in zip(data.shards, data.sizes, strict=True) for _ in range(size))
    return ClipDataset(data, clock, [item for item, name in enumerate(names) if name not in broken][:most])


@dataclass(frozen=True)
class Label:
    """Label of a clip.

    Attributes:
        kinds: kinds that sound, main kind first; none in a silent clip; "" where there is no label.
        timed: False if it is known that a shift of the sound would not be visible.
    """

    kinds: tuple[str, ...]
    timed: bool


def label_of(name: str, meta: Mapping[str, Any]) -> Label:
    """The label of an item: all that a mixture is made of, a clip of FoleyWorld's script, or else `name` alone."""
    if "categories" in meta:
        return Label(tuple(meta["categories"]), True)
    if "kinds" not in meta:
        return Label((name,), True)
    return Label(tuple(meta["kinds"]), shift_is_visible(*from_table(meta)))


@dataclass(frozen=True)
class TrainingData:
    """Clips for training and validation, and recordings.

    Attributes:
        train, valid: clips.
        recorded: recordings [S] int16; may be empty.
    """

    train: ClipDataset
    valid: ClipDataset
    recorded: list[np.ndarray]

    def at_least(self, field: str, needed: int, remedy: str) -> TrainingData:
        """The same with those clips only that are long enough (`ClipDataset.at_least`)."""
        train, valid = (clips.at_least(field, needed, remedy) for clips in (self.train, self.valid))
        return TrainingData(train, valid, self.recorded)


def open_data(recipe: AnyRecipe, folder: Path, audio: Path | None) -> TrainingData:
    """The clips of a data set by the recipe's splits, and the recordings below `audio`."""
    shared, (train_split, valid_split) = recipe.shared, recipe.splits
    train = open_clips(folder, train_split, shared.clock)
    valid = open_clips(folder, valid_split, shared.clock, shared.valid)
    return TrainingData(train, valid, recordings(audio, shared.clock.sample_rate) if audio else [])


# -- recordings --


def recordings(folder: Path, sample_rate: int, split: str = "train") -> list[np.ndarray]:
    """Every sound file below a folder as int16 [S]; if there is a manifest.csv (path, split), only that split's.

    Raises:
        FrierenError: if the folder holds no sound file of that split.
    """
    return [to_int16(np.asarray(sounds.read(path, sample_rate))) for path in sounds.recorded(folder, split)]


class WaveCrops:
    """Random crops of waves: those of clips and, for half of the items, recordings if there are any.

    `level` says what becomes of a crop. It is "kept", as in Make-An-Audio 2, or its "peak" is brought to 0.95, as in
    BigVGAN. With "random" it gets a gain, and one with hardly any sound is drawn again: FoleyWorld's clips and
    recordings are levelled and sounds of videos are not.
    """

    PEAK = 0.95
    LOWEST_GAIN = -0.6  # log10 of the amplitude: -12 dB
    SILENT = 0.02  # peak below which a crop is redrawn: -34 dB, the tail of a sound at most
    TRIES = 4  # so that a clip of silence does not hold up the batch

    def __init__(self, clips: ClipDataset, recorded: list[np.ndarray], samples: int, level: Level) -> None:
        """All clips have `samples` samples at least; a crop has as many."""
        self.clips, self.recorded, self.samples, self.level = clips, recorded, samples, level
        self.lengths = torch.tensor([float(len(wave)) for wave in recorded])

    def draw(self, count: int) -> Tensor:
        """[count, samples] in -1..1."""
        return torch.stack([self.levelled(bool(self.recorded) and item % 2 == 1) for item in range(count)])

    def levelled(self, recorded: bool) -> Tensor:
        """A part of a recording or of a clip, at its `level`; what is silent stays so."""
        crop = self.crop(recorded)
        if self.level == "peak":
            return crop * (self.PEAK / (crop.abs().max() or 1.0))
        if self.level == "random":
            tries = 1
            while crop.abs().max() <= self.SILENT and tries < self.TRIES:
                crop, tries = self.crop(recorded), tries + 1
            crop = crop * 10 ** (self.LOWEST_GAIN - self.LOWEST_GAIN * torch.rand(()))
        return crop

    def crop(self, recorded: bool) -> Tensor:
        """A part of a recording or of a clip, as it is."""
        return self.recording() if recorded else self.clip()

    def clip(self) -> Tensor:
        """A part of a clip's sound."""
        index = int(torch.randint(len(self.clips), ()))
        start = int(torch.randint(int(self.clips.lengths["wave"][index]) - self.samples + 1, ()))
        return self.clips.wave(index, start, self.samples)

    def recording(self) -> Tensor:
        """A part of a recording; one that is too short is repeated, longer ones are drawn more often."""
        wave = self.recorded[int(torch.multinomial(self.lengths, 1))]
        if len(wave) < self.samples:
            wave = np.tile(wave, -(-self.samples // len(wave)))
        start = int(torch.randint(len(wave) - self.samples + 1, ()))
        return torch.from_numpy(wave[start : start + self.samples]).float() / 32767


def device_of(network: nn.Module) -> torch.device:
    """Device of a network's parameters."""
    return next(network.parameters()).device
