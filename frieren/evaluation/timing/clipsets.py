"""Clips of FoleyWorld that timing can be measured on: visible impacts only, or visible continuous sounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frieren.clock import Clock
    from frieren.world import Clip

SCAN = 24  # indices scanned for every clip wanted


def only_visible_impacts(clip: Clip) -> bool:
    """True if the clip has events, all of them visible, and no activity that sounds."""
    return bool(clip.events) and not has_activity(clip) and all(event.visible for event in clip.events)


def only_visible_activities(clip: Clip) -> bool:
    """True if the clip has an activity that sounds, all of them visible, and no event."""
    return has_activity(clip) and not clip.events and all(activity.visible for activity in clip.activities)


def has_activity(clip: Clip) -> bool:
    """True if the clip has an activity that is not silent throughout."""
    return any(np.any(activity.loudness > 0) for activity in clip.activities)


def impact_clips(
    split: str, count: int, clock: Clock, size: int = 64, *, scan: int | None = None, picture: bool = True
) -> list[Clip]:
    """Return the first `count` clips of `split` whose only sounds are visible impacts; see `first_clips`."""
    return first_clips(only_visible_impacts, split, count, clock, size, scan=scan, picture=picture)


def steady_clips(
    split: str, count: int, clock: Clock, size: int = 64, *, scan: int | None = None, picture: bool = True
) -> list[Clip]:
    """Return the first `count` clips of `split` whose only sounds are visible activities."""
    return first_clips(only_visible_activities, split, count, clock, size, scan=scan, picture=picture)


def first_clips(
    wanted: Callable[[Clip], bool],
    split: str,
    count: int,
    clock: Clock,
    size: int = 64,
    *,
    scan: int | None = None,
    picture: bool = True,
) -> list[Clip]:
    """Return the first `count` clips of `split` that are `wanted`, balanced over kinds.

    Kinds take turns in alphabetical order, each with its next clip by index, until `count` are found; so a rare kind
    is not drowned by common ones. A clip of several kinds is offered under each, and taken once. Sorted by the kind
    under which it was taken, then by index.

    Args:
        wanted: called with the script of a clip, without frames and sound.
        split: "train", "valid" or "test".
        count: how many clips.
        clock: sample rate and frame rate of the clips.
        size: side of the images in pixels, as the model wants them.
        scan: how many indices to scan; SCAN per clip wanted by default.
        picture: render the images too (slow; the detector does not need them).

    Raises:
        ValueError: if the scanned indices do not hold `count` such clips.
    """
    from frieren.world import clip as make_clip

    by_kind: dict[str, list[int]] = {}
    for index in range(SCAN * count if scan is None else scan):
        script = make_clip(split, index, clock, picture=False, sound=False)
        if wanted(script):
            for kind in script.kinds:
                by_kind.setdefault(kind, []).append(index)
    chosen = take_turns(by_kind, count)
    if len(chosen) < count:
        raise ValueError(
            f"{split} has {len(chosen)} such clips in the indices scanned, {count} wanted; ask for fewer, or scan more"
        )
    return [make_clip(split, index, clock, size, picture=picture) for index in chosen]


def take_turns(by_kind: dict[str, list[int]], count: int) -> list[int]:
    """Return up to `count` distinct indices, one per kind and round, each kind in its own order; grouped by kind."""
    taken: dict[int, str] = {}
    queues = {kind: list(indices) for kind, indices in sorted(by_kind.items())}
    while len(taken) < count and any(queues.values()):
        for kind, queue in queues.items():
            while queue and queue[0] in taken:
                queue.pop(0)
            if queue and len(taken) < count:
                taken[queue.pop(0)] = kind
    return sorted(taken, key=lambda index: (taken[index], index))


def without_common_kind(kinds: Sequence[Sequence[str]], index: int) -> list[int]:
    """Return the indices of the clips whose `kinds` share none with those of the clip at `index`."""
    return [other for other, theirs in enumerate(kinds) if other != index and not set(theirs) & set(kinds[index])]


def reference_wave(clip: Clip) -> np.ndarray:
    """Return a clip's own sound [S].

    Raises:
        ValueError: if the clip was made without sound.
    """
    if clip.wave is None:
        raise ValueError(f"clip {clip.split} {clip.index} was made without sound; make it with sound=True")
    return clip.wave
