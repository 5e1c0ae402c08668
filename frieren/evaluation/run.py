"""Two folders of sounds -> a report: every file is heard, the judges are asked, everything is scored.

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
from frieren.evaluation.protocol import (
    Pair,
    Preset,
    ProtocolError,
    list_hash,
    listed,
    media_files,
    pair,
)
from frieren.evaluation.report import Lengths, Report
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.scorers.features import Heard, Listener, gather, load_extractor, side_by_side
from frieren.evaluation.scorers.scorer import SHIFT, Bench, loaders
from frieren.evaluation.scores import Comparison, Score, judged
from frieren.evaluation.timing.scorer import TIMING, Timed, Timekeeper
from frieren.files import file_hash
from frieren.formats import ARRAYS, VIDEOS, has_suffix

SETS = ("fd", "fad", "is", "kl", "kid")  # scores of sounds alone
UNREADABLE = (VideoError, OSError, ValueError)  # ValueError: too short for a network, which says so
CONTROLS = ("true sounds", f"true sounds rolled by {SHIFT:g} s", "true sounds of other videos")
SHORTER = 0.05  # seconds by which a true sound may be shorter than the generated one before it is told
Progress = Callable[[str, int, int], None]  # stage, done, total


def ignore(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Trial:
    """A generated sound and its true sound, heard; and listened to for their timing, where that is wanted."""

    pair: Pair
    made: Heard
    true: Heard
    timed: Timed | None = None


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
    on_progress: Progress = ignore,
) -> Report:
    """Scores of the generated against the true sounds.

    Args:
        generated, reference: folders; see `protocol` for the names of files.
        preset: every setting.
        scores: some of SETS, TIMING and the names of `judges.loaders`; by default SETS and the preset's timing and
            judges, of which those that cannot be had stand in the report with the reason.
        videos: folder of the videos, where the reference holds sounds; or of features that a judge takes for them.
        allow_missing: leave out what is missing or cannot be read, and say so, instead of stopping.
        cache: where features are kept.
        changed: settings that are not the preset's own, to be told.
        on_progress: called with (stage, done, in all).

    Raises:
        ProtocolError: files are missing or cannot be read, a score is unknown or cannot be had.
        WeightsError: the weights of a network that was asked for are not here.
    """
    wanted = known_scores(scores or (*SETS, *preset.timing, *preset.judges))
    names = {name: preset.texture if name == "fad" else preset.tagger for name in wanted if name in SETS}
    extractors = {name: load_extractor(name) for name in dict.fromkeys(names.values())}
    listener = Listener(list(extractors.values()), preset.front, cache or FeatureCache())
    keeper = Timekeeper(listener) if {*wanted} & {*TIMING} else None
    pairs, missing = pair(generated, reference, allow_missing=allow_missing)
    trials, unreadable = hear(listener, pairs, preset, on_progress, keeper)
    if unreadable and not allow_missing:
        told = [f"{name} ({reason})" for name, reason in unreadable.items()]
        raise ProtocolError(f"cannot be heard: {listed(told)}; repair or remove it, or leave it out: --allow-missing")
    if not trials:
        raise ProtocolError(f"{generated}: no file is left to be compared")
    timing = keeper.compare([one.timed for one in trials], [one.pair.video for one in trials]) if keeper else None
    rows, found = keeper.rows(timing) if keeper else {}, []
    for done, name in enumerate(wanted):
        on_progress("score", done, len(wanted))
        if name in SETS:
            found.append(score_of(name, trials, extractors[names[name]], preset))
            continue
        if name in rows:
            found += rows[name]
            continue
        try:
            found.append(verdict(name, trials, listener, videos, allow_missing, on_progress))
        except FrierenError as error:
            if scores:
                raise
            found.append(Score(name, None, "higher", notes=(f"not measured: {error}",)))
    on_progress("score", len(wanted), len(wanted))
    where = {"generated": str(generated), "reference": str(reference), "left_out": missing | unreadable}
    return report(found, trials, preset, changed=changed or {}, timing=timing.settings() if timing else {}, **where)


def known_scores(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all of them are of scores.

    Raises:
        ProtocolError: otherwise.
    """
    known = (*SETS, *TIMING, *loaders())
    if unknown := sorted({*names} - {*known}):
        raise ProtocolError(f"{unknown[0]}: no such score; choose among {', '.join(known)}")
    return tuple(names)


def hear(
    listener: Listener, pairs: Sequence[Pair], preset: Preset, on_progress: Progress, keeper: Timekeeper | None = None
) -> tuple[list[Trial], dict[str, str]]:
    """All pairs as networks hear them, and `keeper`; and the names of the files that they cannot, with the reason."""

    def work(one: Pair) -> Trial | tuple[Path, Exception]:
        path = one.generated
        try:
            made = listener.hear(path, preset.crop if isinstance(preset.crop, float) else None)
            path = one.reference
            true = listener.hear(path, {"none": None, "generated": made.seconds}.get(preset.crop, preset.crop))
            timed = keeper.hear(one, min(made.seconds, true.seconds)) if keeper else None
        except UNREADABLE as error:
            return path, error
        return Trial(one, made, true, timed)

    trials, unreadable = [], {}
    on_progress("hear", 0, len(pairs))
    for done, result in enumerate(side_by_side(work, pairs), 1):
        on_progress("hear", done, len(pairs))
        if isinstance(result, Trial):
            # A copy by this thread: what stays would lie between the large arrays that come and go in the other's heap,
            # which then grows by a megabyte a file.
            trials.append(copy.deepcopy(result))
        else:
            path, error = result
            unreadable[str(path)] = str(error).removeprefix(f"{path}: ")
    return trials, unreadable


def comparison(trials: Sequence[Trial], preset: Preset) -> tuple[Comparison, list[Heard]]:
    """The trials as sets: a true sound stands there once for each length that it was cut to."""
    places: dict[tuple[Path, float], int] = {}
    true: list[Heard] = []
    for one in trials:
        if places.setdefault((one.pair.reference, one.true.seconds), len(true)) == len(true):
            true.append(one.true)
    reference_of = np.array([places[one.pair.reference, one.true.seconds] for one in trials])
    return Comparison([one.pair.video for one in trials], reference_of, preset), true


def score_of(name: str, trials: Sequence[Trial], extractor: Extractor, preset: Preset) -> Score:
    """One of the scores of sounds alone."""
    sets, true = comparison(trials, preset)
    made, real = gather([one.made for one in trials], extractor.name), gather(true, extractor.name)
    full = f"{name}_{preset.labels[name == 'fad']}"
    if name in ("fd", "fad"):
        score = sets.frechet(full, made, real)
    elif name == "kid":
        score = sets.kernel(full, made, real)
    else:
        score = (sets.inception if name == "is" else sets.divergence)(full, made.logits, real.logits)
    return replace(score, backbone=extractor.name, digest=extractor.digest)


def verdict(
    name: str,
    trials: Sequence[Trial],
    listener: Listener,
    videos: Path | None,
    allow_missing: bool,
    on_progress: Progress,
) -> Score:
    """What a judge says of the generated sounds, and of true ones: in place, rolled around, with another video.

    Raises:
        ProtocolError: there are no videos, one of them is missing or cannot be seen, or all sounds are too short.
        WeightsError: the judge's network is not here.
    """
    pictures = find_videos(trials, videos)
    bench = Bench(loaders()[name](), listener)
    judge = bench.judge
    asked = [one for one in trials if one.made.seconds > judge.shortest - 1e-3]
    values: dict[str, list[np.ndarray]] = {"generated": [], **{what: [] for what in CONTROLS}}
    true_of = {one.pair.video: one.pair.reference for one in asked}
    foreign_of = dict(zip(true_of, [*true_of.values()][1:] + [*true_of.values()][:1], strict=True))
    first = {one.pair.video: one.pair.generated for one in reversed(asked)}  # the sample that controls stand beside

    def work(one: Trial) -> list[np.ndarray] | Exception:
        video, seconds = pictures[one.pair.video], one.made.seconds
        sounds = [(one.pair.generated, seconds, 0.0)]
        if len(true_of) > 1 and first[one.pair.video] == one.pair.generated:
            sounds += controls(true_of[one.pair.video], foreign_of[one.pair.video], seconds)
        try:
            return [bench.values(video, *sound) for sound in sounds]
        except UNREADABLE as error:
            return error

    voted, broken = [], {}
    for done, (one, said) in enumerate(zip(asked, side_by_side(work, asked), strict=True), 1):
        on_progress(name, done, len(asked))
        if isinstance(said, Exception):
            broken[pictures[one.pair.video].name] = str(said)
            continue
        voted.append(one.pair.video)
        for what, value in zip(values, said, strict=False):
            values[what].append(value)
    if broken and not allow_missing:
        raise ProtocolError(
            f"{name}: cannot be seen: {listed(list(broken.values()))}; repair or remove: --allow-missing"
        )
    if not voted:
        raise ProtocolError(f"{name} needs {judge.shortest:.2f} s of sound, all are shorter; make longer ones")
    notes = [f"{len(trials) - len(asked)} sounds shorter than {judge.shortest:.2f} s left out"] * (
        asked != list(trials)
    )
    notes += [f"left out: {file}" for file in broken]
    score = judged(name, values, voted, better=judge.better, share=judge.share)
    return replace(score, backbone=judge.name, digest=judge.digest, notes=tuple(notes))


def controls(true: Path, foreign: Path, seconds: float) -> list[tuple[Path, float, float]]:
    """What stands beside a judge's verdict, in the order of CONTROLS: sound, its length, and its roll in seconds."""
    return [(true, seconds, 0.0), (true, seconds, SHIFT), (foreign, seconds, 0.0)]


def find_videos(trials: Sequence[Trial], videos: Path | None) -> dict[str, Path]:
    """The video of each id.

    Args:
        videos: folder of the videos, or None where they are the references.

    Raises:
        ProtocolError: if one is missing.
    """
    ids = sorted({one.pair.video for one in trials})
    if videos is not None:
        there = media_files(videos, (*VIDEOS, *ARRAYS))
    else:
        there = {one.pair.video: one.pair.reference for one in trials if has_suffix(one.pair.reference, VIDEOS)}
    if missing := [name for name in ids if name not in there]:
        where = f"{videos}" if videos else "the references"
        raise ProtocolError(f"no video among {where} for {listed(missing)}; give their folder: --videos FOLDER")
    return there


def report(
    scores: Sequence[Score],
    trials: Sequence[Trial],
    preset: Preset,
    *,
    changed: Mapping[str, Any],
    left_out: Mapping[str, str],
    timing: Mapping[str, Any],
    generated: str,
    reference: str,
) -> Report:
    """The scores with everything that they hang on."""
    samples = Counter(one.pair.video for one in trials).values()
    scripts = {one.timed.script for one in trials if one.timed and one.timed.script}
    heard = {heard.file for one in trials for heard in (one.made, one.true)}
    files = sorted(heard | {file_hash(path) for path in scripts})
    notes = []
    if set(samples) != {preset.samples or max(samples)}:
        wanted = preset.samples or "equally many"
        notes.append(f"{preset.name} wants {wanted} samples of every video, here are {min(samples)} to {max(samples)}")
    if short := sum(one.made.seconds - one.true.seconds > SHORTER for one in trials):
        notes.append(f"{short} of {len(trials)} true sounds are shorter than the generated ones")
    return Report(
        scores=tuple(scores),
        preset=preset,
        changed=changed,
        generated=generated,
        reference=reference,
        list_sha256=list_hash(one.pair.video for one in trials),
        files_sha256=hashlib.sha256("".join(files).encode()).hexdigest(),
        videos=len(samples),
        files=len(trials),
        samples=(min(samples), max(samples)),
        generated_lengths=lengths([one.made.seconds for one in trials]),
        reference_lengths=lengths([one.true.seconds for one in trials]),
        left_out=left_out,
        notes=tuple(notes),
        timing={**timing, "scripts": len(scripts)} if timing else {},
    )


def lengths(seconds: Sequence[float]) -> Lengths:
    """Least, middle and most."""
    return Lengths(min(seconds), float(np.median(seconds)), max(seconds))
