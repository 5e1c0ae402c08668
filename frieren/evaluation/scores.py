"""Features of generated and of reference sounds -> scores with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from frieren.evaluation.divergence import kl_divergence
from frieren.evaluation.frechet import frechet_distance, moments
from frieren.evaluation.inception import inception_score, splits_of
from frieren.evaluation.intervals import Interval, bootstrap, by_cluster, deal, jackknife, wilson
from frieren.evaluation.kernel import kernel_distance
from frieren.evaluation.protocol import Preset
from frieren.evaluation.scorers.features import FeatureSet
from frieren.evaluation.scorers.scorer import Better

FEWEST = 4  # videos for a jackknife


@dataclass(frozen=True)
class Score:
    """One number and what it is made of.

    Attributes:
        name: with the backbone in it, e.g. "fd_world".
        value: None if it could not be measured; the first of the notes says why.
        better: which direction.
        interval: 95 %, or None where there are too few videos.
        count: how many files, or rows of features, or scored windows.
        backbone, digest: the network's name and the SHA-256 of its weights.
        spread: population standard deviation over splits or subsets, as the reference tools print it.
        baselines: the same measure of something else, by what that is: ceilings and chance.
        notes: warnings.
        terms: (video, numerator, denominator) of a score that is a ratio of sums over videos, else empty: for
            comparisons, see `reproduction.differences`.
        without: the estimates without each group of videos, of a score of whole sets, likewise.
    """

    name: str
    value: float | None
    better: Better
    interval: Interval | None = None
    count: int = 0
    backbone: str = ""
    digest: str = ""
    spread: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    terms: tuple[tuple[str, float, float], ...] = ()
    without: tuple[float, ...] = ()


class Comparison:
    """Generated and reference sounds of videos, ready to be scored.

    Args:
        videos: [N] the video of each generated sound.
        reference_of: [N] the index of its reference sound among R.
        preset: the settings.
    """

    def __init__(self, videos: Sequence[str], reference_of: np.ndarray, preset: Preset) -> None:
        self.videos, self.reference_of, self.preset = videos, reference_of, preset
        self.repeats = np.bincount(reference_of) if preset.repeat_reference else None
        of_video, groups = deal(videos)
        self.groups = groups if groups >= FEWEST else 0
        self.group = np.array([of_video[name] for name in videos])
        self.reference_group = np.empty(reference_of.max() + 1, np.int64)
        self.reference_group[reference_of] = self.group
        # The set that kernel distances draw from: every reference once, or once per sample.
        self.drawn = reference_of if preset.repeat_reference else np.arange(len(self.reference_group))

    def frechet(self, name: str, generated: FeatureSet, reference: FeatureSet) -> Score:
        """FD or FAD. Without a group of videos neither their generated nor their reference sounds count."""
        repeats = None if self.repeats is None else self.repeats[reference.owner]
        generated_group, reference_group = self.group[generated.owner], self.reference_group[reference.owner]
        few = min(len(generated.rows), len(reference.rows))
        if few < 2:
            return Score(name, None, "lower", notes=(f"needs two rows of features on either side, there are {few}",))
        both = moments(generated.rows), moments(reference.rows, repeats)
        without = []
        for group in range(self.groups):
            gone = reference_group == group
            left = both[1].without(reference.rows[gone], None if repeats is None else repeats[gone])
            without.append(frechet_distance(both[0].without(generated.rows[generated_group == group]), left))
        value = frechet_distance(*both)
        interval = jackknife(value, np.array(without))
        notes = few_rows(few, generated.rows.shape[1])
        return Score(name, value, "lower", interval, len(generated.rows), notes=notes, without=tuple(without))

    def inception(self, name: str, generated: np.ndarray, reference: np.ndarray) -> Score:
        """IS of logits [N, K], with that of the reference sounds [R, K] as a baseline."""
        splits, seed = self.preset.is_splits, self.preset.is_seed
        if len(generated) < splits:
            return Score(
                name, None, "higher", notes=(f"{splits} splits need as many files, there are {len(generated)}",)
            )
        split = splits_of(len(generated), splits, seed)
        value, spread = inception_score(generated, split)
        # The others stay in their splits: shuffled anew, they would add the spread of the shuffling to each group's.
        kept = [self.group != group for group in range(self.groups)]
        without = np.array([inception_score(generated[keep], split[keep])[0] for keep in kept])
        baselines = {}
        if len(reference) >= splits:
            baselines["reference sounds"] = inception_score(reference, splits_of(len(reference), splits, seed))[0]
        interval = jackknife(value, without)
        kept_out = tuple(without.tolist())
        return Score(
            name, value, "higher", interval, len(generated), spread=spread, baselines=baselines, without=kept_out
        )

    def divergence(self, name: str, generated: np.ndarray, reference: np.ndarray) -> Score:
        """KL of logits [N, K] from those of their references [R, K]; from other videos' as a baseline."""
        divergence = partial(
            kl_divergence, reference, generated, over=self.preset.kl_over, epsilon=self.preset.kl_epsilon
        )
        values, others = divergence(self.reference_of), divergence((self.reference_of + 1) % len(reference))
        interval = bootstrap(values, self.videos)
        baselines = {"another video's sound": float(others.mean())} if len(reference) > 1 else {}
        terms = terms_of(values, self.videos)
        return Score(name, float(values.mean()), "lower", interval, len(values), baselines=baselines, terms=terms)

    def kernel(self, name: str, generated: FeatureSet, reference: FeatureSet) -> Score:
        """KID, with mean and spread over subsets."""
        preset, few = self.preset, min(len(generated.rows), len(self.drawn))
        if few < 2:
            return Score(name, None, "lower", notes=(f"needs two files on either side, there are {few}",))
        value, spread, without = kernel_distance(
            generated.rows,
            reference.rows,
            self.drawn,
            subsets=preset.kid_subsets,
            size=preset.kid_size,
            seed=preset.kid_seed,
            labels=(self.group, self.reference_group),
            groups=self.groups,
        )
        notes = (f"subsets of {few} files, fewer than the {preset.kid_size} of the protocol",)
        # A small subset may come from one group alone, and nothing be left without it.
        whole = bool(np.isfinite(without).all())
        return Score(
            name,
            value,
            "lower",
            jackknife(value, without) if whole else None,
            len(generated.rows),
            spread=spread,
            notes=notes if few < preset.kid_size else (),
            without=tuple(without.tolist()) if whole else (),
        )


def few_rows(rows: int, width: int) -> tuple[str, ...]:
    """Return a warning where rows are too few for a covariance of `width` dimensions."""
    if rows <= width:
        return (f"{rows} rows for {width} dimensions: the covariance is singular and the distance mostly bias",)
    if rows < 2 * width:
        return (f"{rows} rows for {width} dimensions: fewer than twice as many, biased upwards",)
    return ()


def accepted(probability: np.ndarray) -> np.ndarray:
    """Return 1 where a pair counts as aligned, by Diff-Foley's rule: the rounded probability; one half rounds to 0."""
    return np.rint(probability)


def agreement_score(
    name: str,
    values: Mapping[str, Sequence[np.ndarray]],
    videos: Sequence[str],
    *,
    better: Better,
    share: bool,
) -> Score:
    """Return the mean score of the generated sounds, with those of the controls as baselines.

    Args:
        values: [W] of each sound; of "generated", and of every control under its name.
        videos: the video of each generated sound.
        share: the values are probabilities, and the share of accepted ones is the score.
    """
    joined = {what: np.concatenate(some) for what, some in values.items() if some}
    clusters = np.repeat(np.asarray(videos), [len(one) for one in values["generated"]])
    counted = {what: accepted(some) for what, some in joined.items()} if share else joined
    interval = (wilson if share else bootstrap)(counted["generated"], clusters)
    means = {what: float(some.mean()) for what, some in counted.items()}
    value = means.pop("generated")
    if share:
        means["mean probability"] = float(joined["generated"].mean())
    terms = terms_of(counted["generated"], clusters)
    return Score(name, value, better, interval, len(clusters), baselines=means, terms=terms)


def terms_of(values: np.ndarray, videos: Sequence[str] | np.ndarray) -> tuple[tuple[str, float, float], ...]:
    """Return the terms of a mean of values [N] of videos [N]: each video's sum and count, in order of its name."""
    names = np.unique(np.asarray(videos)).tolist()
    sums, counts = by_cluster(np.asarray(values, np.float64), videos)
    return tuple(zip(names, sums.tolist(), counts.tolist(), strict=True))
