"""Which files are compared, how they are read, and with which settings scores are computed: what they depend on.

A `Preset` holds every setting; `pair` finds the reference of every generated file. Names of generated files, where the
reference sound or video is `<id>.wav`, `<id>.mp4`, ...:

    <id>.wav                  one sample
    <id>_<k>.wav              sample k
    Y<id>_<k>.wav             as the released code names them: Y keeps names from beginning with a dash
    <id>_frieren[_seed<k>]    as `frieren generate` names them
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from frieren.errors import FrierenError
from frieren.evaluation.divergence import Over
from frieren.formats import MEDIA, is_visible

NAMED = 10  # files that an error lists before it counts the rest
TAKE = re.compile(r"(?P<video>.+)_frieren(_seed(?P<sample>\d+))?")
NUMBERED = re.compile(r"(?P<video>.+)_(?P<sample>\d+)")


class ProtocolError(FrierenError):
    """Files cannot be compared: no pairs, missing or unreadable ones, names that mean two things."""


@dataclass(frozen=True)
class FrontEnd:
    """How a file becomes a network's input.

    Attributes:
        channel: the first, or the mean of all.
        centred: subtract the wave's mean.
        resampler: "sinc-hann" is torchaudio's default (width 6, rolloff 0.99), "soxr" is soxr's VHQ. They matter: FD
            moves by up to 30 and KL by up to 0.4 with the resampler alone.
        crop_first: cut the file before anything else, as if it were that short; otherwise cut the finished wave.
        shortest: seconds; less is filled up with zeros.
    """

    channel: Literal["first", "mean"] = "mean"
    centred: bool = False
    resampler: Literal["sinc-hann", "soxr"] = "soxr"
    crop_first: bool = True
    shortest: float = 0.0


@dataclass(frozen=True)
class Preset:
    """Every setting that a score depends on, beside the files.

    Attributes:
        tagger: extractor of FD, IS, KL and KID: one embedding and logits per file.
        texture: extractor of FAD: several rows per file.
        labels: ends of the scores' names, for `tagger` and `texture`; no two backbones share one.
        scorers: scores of video and sound together, by their names in `catalogue.SCORERS`.
        timing: those of `timing.report_rows.TIMING` that are measured unless others are asked for.
        front: how files become waves.
        crop: "generated": the reference is cut to the length of the generated one; "none"; or seconds for both.
        samples: per video that are expected; None for any number.
        repeat_reference: the reference counts once per sample, as if copied under the samples' names.
        is_splits, is_seed: of the inception score.
        kl_over, kl_epsilon: of the divergence.
        kid_subsets, kid_size, kid_seed: of the kernel distance.
    """

    name: str
    tagger: str
    texture: str
    labels: tuple[str, str]
    scorers: tuple[str, ...] = ()
    front: FrontEnd = field(default_factory=FrontEnd)
    crop: str | float = "generated"
    samples: int | None = None
    repeat_reference: bool = False
    is_splits: int = 10
    is_seed: int = 2020
    kl_over: Over = "softmax"
    kl_epsilon: float = 0.0
    kid_subsets: int = 100
    kid_size: int = 1000
    kid_seed: int = 2020
    timing: tuple[str, ...] = ()


PRESETS = {
    preset.name: preset
    for preset in (
        # Embedded networks, nothing to download. One split: ten of a few dozen files each would be biased low.
        Preset(
            "world",
            "world",
            "world-windows",
            ("world", "world"),
            ("alignment_world",),
            is_splits=1,
            timing=("onsets", "envelope"),
        ),
        # audioldm_eval 70fc9cd (2023-10-31) ... ca602b6 (2024-06-02) with backbone cnn14, and Diff-Foley's classifier.
        Preset(
            "paper",
            "panns",
            "vggish",
            ("panns", "vggish"),
            ("alignment_diff_foley",),
            FrontEnd("first", centred=True, resampler="sinc-hann", shortest=2.0),
            samples=10,
            repeat_reference=True,
            kl_epsilon=1e-6,
        ),
        # av-benchmark 050a5cd: 8 s, one sample a video.
        Preset(
            "av-bench",
            "panns",
            "vggish",
            ("panns", "vggish"),
            ("desync", "imagebind"),
            FrontEnd("mean", centred=True, resampler="sinc-hann", crop_first=False),
            crop=8.0,
            samples=1,
        ),
    )
}


@dataclass(frozen=True)
class Pair:
    """One generated file and what it is compared with."""

    video: str  # id: the name of the reference without its suffix
    sample: int
    generated: Path
    reference: Path


def media_files(folder: Path, suffixes: Sequence[str] = MEDIA) -> dict[str, Path]:
    """Return the files of a folder (not of those in it) by name without suffix, in order of name.

    Raises:
        ProtocolError: if it is no folder, holds no such file, or two that differ in their suffix alone.
    """
    if not folder.is_dir():
        raise ProtocolError(f"{folder}: not a folder; give one with sounds or videos in it")
    files = sorted(path for path in folder.iterdir() if is_visible(path, suffixes))
    if not files:
        raise ProtocolError(f"{folder}: holds no file that ends in {', '.join(suffixes)}")
    counts = Counter(path.stem for path in files)
    if twice := [path.name for path in files if counts[path.stem] > 1]:
        raise ProtocolError(f"{folder}: {listed(twice)}: names differ in the suffix alone; leave one of each here")
    return {path.stem: path for path in files}


def readings(stem: str) -> Iterator[tuple[str, int]]:
    """Yield what the name of a generated file may mean: (id, sample)."""
    names = [(stem, 0)]
    for rule in (TAKE, NUMBERED):
        if found := rule.fullmatch(stem):
            names.append((found["video"], int(found["sample"] or 0)))
    for name, sample in names:
        yield name, sample
        if name.startswith("Y"):
            yield name[1:], sample


def pair(generated: Path, reference: Path, *, allow_missing: bool = False) -> tuple[list[Pair], dict[str, str]]:
    """Return every generated file with its reference, in order of id and sample; and what is left out, and why.

    Args:
        generated, reference: folders.
        allow_missing: leave out generated files without a reference, and references without a generated file.

    Raises:
        ProtocolError: a file has no partner, or a name may mean two samples; the files are named.
    """
    samples, references = media_files(generated), media_files(reference)
    meanings = {stem: sorted({one for one in readings(stem) if one[0] in references}) for stem in samples}
    if unclear := [
        f"{stem} ({' or '.join(name for name, _ in found)})" for stem, found in meanings.items() if found[1:]
    ]:
        raise ProtocolError(
            f"{generated}: {listed(unclear)}: may belong to more than one reference; name samples Y<id>_<k>"
        )
    alone = [samples[stem].name for stem, found in meanings.items() if not found]
    pairs = [Pair(*found[0], samples[stem], references[found[0][0]]) for stem, found in meanings.items() if found]
    unused = sorted(references[name].name for name in references.keys() - {one.video for one in pairs})
    if not pairs:
        raise ProtocolError(f"{generated}: no file has the name of one in {reference}; see `frieren evaluate --help`")
    if twice := [
        f"{name} {sample}" for (name, sample), n in Counter((p.video, p.sample) for p in pairs).items() if n > 1
    ]:
        raise ProtocolError(f"{generated}: two files for the same video and sample: {listed(twice)}; remove one")
    if alone and not allow_missing:
        raise ProtocolError(
            f"{reference}: no reference for {listed(alone)}; add it, or leave them out: --allow-missing"
        )
    if unused and not allow_missing:
        raise ProtocolError(
            f"{generated}: no generated file for {listed(unused)}; make it, or leave them out: --allow-missing"
        )
    left_out = {name: "no reference" for name in alone} | {name: "no generated file" for name in unused}
    return sorted(pairs, key=lambda one: (one.video, one.sample)), left_out


def listed(names: Sequence[str]) -> str:
    """Join the first names, and count the rest."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def list_hash(videos: Iterable[str]) -> str:
    """Return SHA-256 of the sorted ids, one a line: two evaluations with the same hash have the same list of clips."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(set(videos))).encode()).hexdigest()
