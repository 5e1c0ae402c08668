"""Two folders of sounds -> a report: features of every file, then all scores.

frieren evaluate GENERATED REFERENCE --preset world
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frieren.errors import FrierenError, VideoError
from frieren.evaluation.agreement import AgreementScorer
from frieren.evaluation.protocol import Pair, Preset, ProtocolError, list_hash, listed, pair
from frieren.evaluation.report import Lengths, Report
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.catalogue import loaders
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.scorers.features import (
    FeatureExtractor,
    SoundFeatures,
    gather,
    load_extractor,
    side_by_side,
)
from frieren.evaluation.scores import Comparison, Score
from frieren.evaluation.timing.report_rows import TIMING, TimingPair, TimingScorer
from frieren.files import file_hash

SETS = ("fd", "fad", "is", "kl", "kid")  # scores of sounds alone
UNREADABLE = (VideoError, OSError, ValueError)  # ValueError: too short for a network
SHORTER = 0.05  # seconds by which a reference may be shorter than the generated sound before the report notes it
Progress = Callable[[str, int, int], None]  # stage, done, total


def no_progress(stage: str, done: int, total: int) -> None:
    """Do nothing: progress that nobody looks at."""


@dataclass(frozen=True)
class SoundPair:
    """Features of a generated sound and of its reference; and their onsets and levels, where timing is wanted."""

    files: Pair
    generated: SoundFeatures
    reference: SoundFeatures
    timing: TimingPair | None = None


def evaluate(
    generated: Path,
    reference: Path,
    preset: Preset,
    *,
    scores: Sequence[str] = (),
    videos: Path | None = None,
    allow_missing: bool = False,
    cache: FeatureCache | None = None,
    changed: Mapping[str, Any] | None = None,
    on_progress: Progress = no_progress,
) -> Report:
    """Score generated sounds by their references.

    Args:
        generated, reference: folders; see `protocol` for the names of files.
        preset: every setting.
        scores: some of SETS, TIMING and the names of `catalogue.loaders`; by default SETS and the preset's timing and
            scorers, of which those that are not available stand in the report with the reason.
        videos: folder of the videos, where the reference holds sounds; or of features that a scorer takes for them.
        allow_missing: leave out what is missing or cannot be read, and note it, instead of stopping.
        cache: where features are kept.
        changed: settings that are not the preset's own, for the report.
        on_progress: called with (stage, done, total).

    Raises:
        ProtocolError: files are missing or cannot be read, a score is unknown or not available.
        WeightsError: the weights of a network in `scores` are not here.
    """
    wanted = known_scores(scores or (*SETS, *preset.timing, *preset.scorers))
    names = {name: preset.texture if name == "fad" else preset.tagger for name in wanted if name in SETS}
    extractors = {name: load_extractor(name) for name in dict.fromkeys(names.values())}
    extractor = FeatureExtractor(list(extractors.values()), preset.front, cache or FeatureCache())
    timing_scorer = TimingScorer(extractor) if {*wanted} & {*TIMING} else None
    reader = _PairReader(extractor, preset, timing_scorer)
    pairs, left_out = read_pairs(reader, generated, reference, allow_missing, on_progress)
    timing = timing_scorer.compare([one.timing for one in pairs if one.timing]) if timing_scorer else None
    rows = timing_scorer.rows(timing) if timing_scorer and timing else {}
    agreement = AgreementScorer([(one.files, one.generated.seconds) for one in pairs], extractor, videos)
    found: list[Score] = []
    for done, name in enumerate(wanted):
        on_progress("score", done, len(wanted))
        if name in SETS:
            found.append(score_of(name, pairs, extractors[names[name]], preset))
        elif name in rows:
            found += rows[name]
        else:
            found.append(agreement_of(name, agreement, bool(scores), allow_missing, on_progress))
    on_progress("score", len(wanted), len(wanted))
    return report(
        found,
        pairs,
        preset,
        changed=changed or {},
        timing=timing.settings() if timing else {},
        generated=str(generated),
        reference=str(reference),
        left_out=left_out,
    )


def known_scores(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, if all of them are of scores.

    Raises:
        ProtocolError: otherwise.
    """
    known = (*SETS, *TIMING, *loaders())
    if unknown := sorted({*names} - {*known}):
        raise ProtocolError(f"{unknown[0]}: no such score; choose among {', '.join(known)}")
    return tuple(names)


class _PairReader:
    """Features of a pair of files, by any thread."""

    def __init__(self, extractor: FeatureExtractor, preset: Preset, timing: TimingScorer | None) -> None:
        self.extractor, self.preset, self.timing = extractor, preset, timing

    def __call__(self, files: Pair) -> SoundPair | tuple[Path, Exception]:
        """Features of both files, or the one that cannot be read and why."""
        crop, path = self.preset.crop, files.generated
        try:
            generated = self.extractor.extract(path, crop if isinstance(crop, float) else None)
            path = files.reference
            seconds = crop if isinstance(crop, float) else generated.seconds if crop == "generated" else None
            reference = self.extractor.extract(path, seconds)
            shorter = min(generated.seconds, reference.seconds)
            timing = self.timing.extract(files, shorter) if self.timing else None
        except UNREADABLE as error:
            return path, error
        return SoundPair(files, generated, reference, timing)


def read_pairs(
    reader: _PairReader, generated: Path, reference: Path, allow_missing: bool, on_progress: Progress
) -> tuple[list[SoundPair], dict[str, str]]:
    """Return the features of all pairs of two folders; and the files that are left out, with the reason.

    Raises:
        ProtocolError: files are missing or cannot be read, or none is left.
    """
    files, missing = pair(generated, reference, allow_missing=allow_missing)
    pairs: list[SoundPair] = []
    unreadable: dict[str, str] = {}
    on_progress("features", 0, len(files))
    for done, result in enumerate(side_by_side(reader, files), 1):
        on_progress("features", done, len(files))
        if isinstance(result, SoundPair):
            # A copy by this thread: what stays would lie between the large arrays that come and go in the other's heap,
            # which then grows by a megabyte a file.
            pairs.append(copy.deepcopy(result))
        else:
            path, error = result
            unreadable[str(path)] = str(error).removeprefix(f"{path}: ")
    if unreadable and not allow_missing:
        reasons = listed([f"{name} ({reason})" for name, reason in unreadable.items()])
        raise ProtocolError(f"cannot be read: {reasons}; repair or remove it, or leave it out: --allow-missing")
    if not pairs:
        raise ProtocolError(f"{generated}: no file is left to be compared")
    return pairs, missing | unreadable


def comparison(pairs: Sequence[SoundPair], preset: Preset) -> tuple[Comparison, list[SoundFeatures]]:
    """Return the pairs as sets: a reference is in its set once for each length that it was cut to."""
    places: dict[tuple[Path, float], int] = {}
    references: list[SoundFeatures] = []
    for one in pairs:
        if places.setdefault((one.files.reference, one.reference.seconds), len(references)) == len(references):
            references.append(one.reference)
    reference_of = np.array([places[one.files.reference, one.reference.seconds] for one in pairs])
    return Comparison([one.files.video for one in pairs], reference_of, preset), references


def score_of(name: str, pairs: Sequence[SoundPair], extractor: Extractor, preset: Preset) -> Score:
    """Return one of the scores of sounds alone."""
    sets, references = comparison(pairs, preset)
    generated = gather([one.generated for one in pairs], extractor.name)
    reference = gather(references, extractor.name)
    full = f"{name}_{preset.labels[1 if name == 'fad' else 0]}"
    if name in ("fd", "fad"):
        score = sets.frechet(full, generated, reference)
    elif name == "kid":
        score = sets.kernel(full, generated, reference)
    elif generated.logits is None or reference.logits is None:
        raise ProtocolError(f"{name}: {extractor.name} has no classes; choose another network")
    else:
        score = (sets.inception if name == "is" else sets.divergence)(full, generated.logits, reference.logits)
    return replace(score, backbone=extractor.name, digest=extractor.digest)


def agreement_of(
    name: str, agreement: AgreementScorer, required: bool, allow_missing: bool, on_progress: Progress
) -> Score:
    """Return a score of sounds with their videos; without a value, unless it is required, where it is not available."""
    try:
        return agreement.score(name, allow_missing=allow_missing, on_progress=on_progress)
    except FrierenError as error:
        if required:
            raise
        return Score(name, None, "higher", notes=(f"not measured: {error}",))


def report(
    scores: Sequence[Score],
    pairs: Sequence[SoundPair],
    preset: Preset,
    *,
    changed: Mapping[str, Any],
    left_out: Mapping[str, str],
    timing: Mapping[str, Any],
    generated: str,
    reference: str,
) -> Report:
    """Return the scores with everything that they depend on."""
    samples = Counter(one.files.video for one in pairs).values()
    scripts = {one.timing.script for one in pairs if one.timing and one.timing.script}
    sounds = {sound.file for one in pairs for sound in (one.generated, one.reference)}
    files = sorted(sounds | {file_hash(path) for path in scripts})
    notes = []
    if set(samples) != {preset.samples or max(samples)}:
        wanted = preset.samples or "equally many"
        notes.append(f"{preset.name} wants {wanted} samples of every video, here are {min(samples)} to {max(samples)}")
    if short := sum(one.generated.seconds - one.reference.seconds > SHORTER for one in pairs):
        notes.append(f"{short} of {len(pairs)} reference sounds are shorter than the generated ones")
    return Report(
        scores=tuple(scores),
        preset=preset,
        changed=changed,
        generated=generated,
        reference=reference,
        list_sha256=list_hash(one.files.video for one in pairs),
        files_sha256=hashlib.sha256("".join(files).encode()).hexdigest(),
        videos=len(samples),
        files=len(pairs),
        samples=(min(samples), max(samples)),
        generated_lengths=lengths([one.generated.seconds for one in pairs]),
        reference_lengths=lengths([one.reference.seconds for one in pairs]),
        left_out=left_out,
        notes=tuple(notes),
        timing={**timing, "scripts": len(scripts)} if timing else {},
    )


def lengths(seconds: Sequence[float]) -> Lengths:
    """Return the shortest, the median and the longest duration."""
    return Lengths(min(seconds), float(np.median(seconds)), max(seconds))
