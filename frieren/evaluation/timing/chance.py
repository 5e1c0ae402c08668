"""Instants that know nothing: random ones at the rate of the events, and those of another clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frieren.evaluation.timing.onsets import WINDOW, score

DRAWS = 200  # random lists of instants per clip


def random_times(count: int, seconds: float, apart: float, rng: np.random.Generator) -> np.ndarray:
    """`count` instants [count] uniform in 0..seconds, no two closer than `apart`; sorted, in seconds.

    Uniform over all such lists (sorted uniform draws on the shortened axis, spread by the gap). Without a gap random
    lists would clump as no clip of the world does, several on one event, and score less by that alone.
    """
    apart = min(apart, seconds / max(count, 1))
    free = seconds - max(count - 1, 0) * apart
    return np.sort(rng.uniform(0.0, free, count)) + apart * np.arange(count)


def random_hits(
    true: Sequence[float],
    found: int,
    seconds: float,
    *,
    apart: float,
    window: float = WINDOW,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Expected hits of `found` random instants against `true` in a clip of `seconds`: the mean over `draws`."""
    rng = np.random.default_rng(seed)
    return float(np.mean([score(true, random_times(found, seconds, apart, rng), window).hits for _ in range(draws)]))


def partner(index: int, count: int) -> int:
    """The other clip whose events a clip's sound is held against: the next in the list, the first after the last.

    `impact_clips` lists a kind's clips one after another, so that the partner is of the same kind but for the last one
    of each: the control keeps rhythm and rate, and changes only the instants.
    """
    if count < 2:
        raise ValueError("the control against another clip's events needs at least two clips")
    return (index + 1) % count


def strangers(kinds: Sequence[Sequence[str]], place: int) -> list[int]:
    """The places of the clips whose `kinds` share none with those of the clip at `place`."""
    return [other for other, theirs in enumerate(kinds) if other != place and not set(theirs) & set(kinds[place])]
