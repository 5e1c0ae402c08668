"""Scores of sounds with their videos, by a reference model: of the generated sounds, and of controls.

The controls are the reference sounds of the same videos, the same circularly shifted, and those of other videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from frieren.errors import VideoError
from frieren.evaluation.protocol import Pair, ProtocolError, listed, media_files
from frieren.evaluation.scorers.catalogue import loaders
from frieren.evaluation.scorers.features import FeatureExtractor, side_by_side
from frieren.evaluation.scorers.scorer import SHIFT, CachedScorer
from frieren.evaluation.scores import Score, agreement_score
from frieren.formats import ARRAYS, VIDEOS, has_suffix

GENERATED = "generated"
CONTROLS = ("reference sounds", f"reference sounds shifted by {SHIFT:g} s", "reference sounds of other videos")
TOLERANCE = 1e-3  # seconds by which a sound may be too short
Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class _Sounds:
    """What is scored with one video: (sound, seconds of circular shift) by what it is, at one length."""

    video: Path
    seconds: float
    sounds: dict[str, tuple[Path, float]]


class AgreementScorer:
    """Scores of pairs of files with their videos.

    Args:
        pairs: the files, and the length of each generated sound in seconds.
        extractor: reads files, and has the cache.
        videos: folder of the videos, or None where they are the references.
    """

    def __init__(self, pairs: Sequence[tuple[Pair, float]], extractor: FeatureExtractor, videos: Path | None) -> None:
        self.pairs, self.seconds = [files for files, _ in pairs], [seconds for _, seconds in pairs]
        self.extractor, self.videos = extractor, videos

    def score(self, name: str, *, allow_missing: bool, on_progress: Progress) -> Score:
        """Return a scorer's score of the generated sounds, and of the controls as baselines.

        Raises:
            ProtocolError: there are no videos, one of them is missing or cannot be read, or all sounds are too short.
            WeightsError: the scorer's network is not here.
        """
        videos = find_videos(self.pairs, self.videos)
        cached = CachedScorer(loaders()[name](), self.extractor)
        scorer = cached.scorer
        long = [i for i, seconds in enumerate(self.seconds) if seconds > scorer.shortest - TOLERANCE]
        work = self._with_controls(long, videos)
        values: dict[str, list[np.ndarray]] = {GENERATED: [], **{what: [] for what in CONTROLS}}
        scored: list[str] = []
        broken: dict[str, str] = {}
        for done, (i, result) in enumerate(zip(long, side_by_side(partial(_scores, cached), work), strict=True), 1):
            on_progress(name, done, len(long))
            video = self.pairs[i].video
            if isinstance(result, Exception):
                broken[videos[video].name] = str(result)
                continue
            scored.append(video)
            for what, value in result.items():
                values[what].append(value)
        if broken and not allow_missing:
            reasons = listed(list(broken.values()))
            raise ProtocolError(f"{name}: cannot be read: {reasons}; repair or remove: --allow-missing")
        if not scored:
            raise ProtocolError(f"{name} needs {scorer.shortest:.2f} s of sound, all are shorter; make longer ones")
        notes = [f"left out: {file}" for file in broken]
        if short := len(self.pairs) - len(long):
            notes.insert(0, f"{short} sounds shorter than {scorer.shortest:.2f} s left out")
        score = agreement_score(name, values, scored, better=scorer.better, share=scorer.share)
        return replace(score, backbone=scorer.name, digest=scorer.digest, notes=tuple(notes))

    def _with_controls(self, chosen: Sequence[int], videos: dict[str, Path]) -> list[_Sounds]:
        """Return the sounds to be scored: controls at the first sample of each video, if there are other videos."""
        reference = {self.pairs[i].video: self.pairs[i].reference for i in chosen}
        names = [*reference]
        other = dict(zip(names, [reference[name] for name in names[1:] + names[:1]], strict=True))
        first = {self.pairs[i].video: i for i in reversed(chosen)}
        work = []
        for i in chosen:
            files = self.pairs[i]
            sounds = {GENERATED: (files.generated, 0.0)}
            if len(reference) > 1 and first[files.video] == i:
                own = reference[files.video]
                sounds |= zip(CONTROLS, ((own, 0.0), (own, SHIFT), (other[files.video], 0.0)), strict=True)
            work.append(_Sounds(videos[files.video], self.seconds[i], sounds))
        return work


def _scores(cached: CachedScorer, work: _Sounds) -> dict[str, np.ndarray] | Exception:
    """Return the scores [W] of every sound; or why a file cannot be read."""
    try:
        return {
            what: cached.scores(work.video, sound, work.seconds, shift) for what, (sound, shift) in work.sounds.items()
        }
    except (VideoError, OSError, ValueError) as error:
        return error


def find_videos(pairs: Sequence[Pair], videos: Path | None) -> dict[str, Path]:
    """Return the video of each id.

    Args:
        videos: folder of the videos, or None where they are the references.

    Raises:
        ProtocolError: if one is missing.
    """
    ids = sorted({one.video for one in pairs})
    if videos is not None:
        found = media_files(videos, (*VIDEOS, *ARRAYS))
    else:
        found = {one.video: one.reference for one in pairs if has_suffix(one.reference, VIDEOS)}
    if missing := [name for name in ids if name not in found]:
        where = f"{videos}" if videos else "the references"
        raise ProtocolError(f"no video among {where} for {listed(missing)}; give their folder: --videos FOLDER")
    return found
