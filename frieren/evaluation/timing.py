"""Does the sound strike when the picture does: the protocol on FoleyWorld clips of visible impacts.

Four numbers belong together and are reported together, by one detector and one matching:

    ceiling     the detector on the true sound: what could be reached
    generated   the same on the generated sound, against the clip's own events
    foreign     the generated sound against the events of another clip of (nearly always) the same kind
    random      what as many random instants reach against the same foreign events

A model that only knows how often such things strike has generated = foreign = random.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frieren.evaluation.onsets import WINDOW, OnsetDetector, Score, score, score_by_kind, signed_errors, true_onsets

if TYPE_CHECKING:
    from frieren.clock import Clock
    from frieren.world import Clip

RATIO = 0.70  # generated F1 over ceiling F1, at least
CEILING = 0.90  # ceiling F1, at least
WORST_KIND = 0.40  # generated F1 of every kind, at least
CONTROL = 0.05  # foreign F1 from random F1, at most
DRAWS = 200  # random lists of instants per clip


def only_visible_impacts(clip: Clip) -> bool:
    """True if the clip has events, all of them visible, and no activity that sounds."""
    quiet = all(not np.any(np.asarray(activity.loudness) > 0) for activity in clip.activities)
    return bool(clip.events) and quiet and all(event.visible for event in clip.events)


def impact_clips(
    split: str, count: int, clock: Clock, size: int = 64, *, scan: int | None = None, picture: bool = True
) -> list[Clip]:
    """The first `count` clips of `split` whose only sounds are visible impacts, balanced over kinds.

    Kinds take turns in alphabetical order, each with its next clip by index, until `count` are found; so a rare kind
    is not drowned by common ones. A clip of several kinds is offered under each, and taken once. Sorted by the kind
    under which it was taken, then by index.

    Args:
        split: "train", "valid" or "test".
        count: how many clips.
        clock: sample rate and frame rate of the clips.
        size: side of the images in pixels, as the model wants them.
        scan: how many indices to look at; 24 per clip wanted by default.
        picture: draw the images too (slow; the detector does not need them).

    Raises:
        ValueError: if the scanned indices do not hold `count` such clips.
    """
    from frieren.world import clip as draw

    shelves: dict[str, list[int]] = {}
    for index in range(24 * count if scan is None else scan):
        script = draw(split, index, clock, picture=False, sound=False)
        if only_visible_impacts(script):
            for kind in {event.kind for event in script.events}:
                shelves.setdefault(kind, []).append(index)
    chosen = take_turns(shelves, count)
    if len(chosen) < count:
        raise ValueError(
            f"{split} has {len(chosen)} such clips in the indices scanned, {count} wanted; ask for fewer, or scan more"
        )
    return [draw(split, index, clock, size, picture=picture) for index in chosen]


def take_turns(shelves: dict[str, list[int]], count: int) -> list[int]:
    """Up to `count` distinct indices, one per kind and round, each kind in its own order; grouped by kind."""
    taken: dict[int, str] = {}
    queues = {kind: list(indices) for kind, indices in sorted(shelves.items())}
    while len(taken) < count and any(queues.values()):
        for kind, queue in queues.items():
            while queue and queue[0] in taken:
                queue.pop(0)
            if queue and len(taken) < count:
                taken[queue.pop(0)] = kind
    return sorted(taken, key=lambda index: (taken[index], index))


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


@dataclass(frozen=True)
class TimingReport:
    """The four numbers of one model, with the counts they come from.

    Attributes:
        clips: number of clips.
        window: seconds within which an instant counts as met.
        ceiling, generated, foreign: pooled counts over clips.
        random_f1: pooled F1 of as many random instants as were detected, against the foreign events.
        ceiling_by_kind, generated_by_kind: counts by kind of event.
        ceiling_error, generated_error: (mean, standard deviation) of found minus true over the hits, seconds.
        detector: the detector that was used.
    """

    clips: int
    window: float
    ceiling: Score
    generated: Score
    foreign: Score
    random_f1: float
    ceiling_by_kind: dict[str, Score]
    generated_by_kind: dict[str, Score]
    ceiling_error: tuple[float, float]
    generated_error: tuple[float, float]
    detector: OnsetDetector = field(default_factory=OnsetDetector)

    @property
    def ratio(self) -> float:
        """Generated F1 over ceiling F1; 0 if the ceiling is 0."""
        return self.generated.f1 / self.ceiling.f1 if self.ceiling.f1 else 0.0

    def checks(self) -> dict[str, tuple[float, str, bool]]:
        """What the project asks of a model: measured value, bound in words, met or not."""
        worst = min((one.f1 for one in self.generated_by_kind.values()), default=0.0)
        excess = abs(self.foreign.f1 - self.random_f1)
        return {
            "ceiling F1": (self.ceiling.f1, f"at least {CEILING:g}", self.ceiling.f1 >= CEILING),
            "generated / ceiling": (self.ratio, f"at least {RATIO:g}", self.ratio >= RATIO),
            "worst kind F1": (worst, f"at least {WORST_KIND:g}", worst >= WORST_KIND),
            "foreign - random": (excess, f"at most {CONTROL:g}", excess <= CONTROL),
        }

    def to_json(self) -> str:
        """Everything above as JSON, with the rates spelled out beside the counts."""
        body = asdict(self) | {name: _rates(getattr(self, name)) for name in ("ceiling", "generated", "foreign")}
        for name in ("ceiling_by_kind", "generated_by_kind"):
            body[name] = {kind: _rates(one) for kind, one in getattr(self, name).items()}
        body["ratio"] = self.ratio
        body["checks"] = {name: {"value": v, "bound": b, "met": m} for name, (v, b, m) in self.checks().items()}
        return json.dumps(body, indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to `path`."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def markdown(self) -> str:
        """Three tables: the four numbers, ceiling and generated by kind, and the checks."""
        rows = {
            "true sound (ceiling)": self.ceiling,
            "generated": self.generated,
            "generated, another clip's events": self.foreign,
        }
        lines = ["| sound | precision | recall | F1 |", "|---|--:|--:|--:|"]
        lines += [f"| {name} | {one.precision:.3f} | {one.recall:.3f} | {one.f1:.3f} |" for name, one in rows.items()]
        lines += [f"| random instants, another clip's events |  |  | {self.random_f1:.3f} |", ""]
        lines += ["| kind | events | ceiling F1 | generated F1 |", "|---|--:|--:|--:|"]
        for kind, one in self.generated_by_kind.items():
            lines.append(f"| {kind} | {one.true} | {self.ceiling_by_kind[kind].f1:.3f} | {one.f1:.3f} |")
        lines += ["", "| check | value | bound | met |", "|---|--:|---|---|"]
        lines += [f"| {name} | {v:.3f} | {b} | {'yes' if m else 'no'} |" for name, (v, b, m) in self.checks().items()]
        return "\n".join(lines) + "\n"


def _rates(one: Score) -> dict[str, float]:
    return asdict(one) | {"precision": one.precision, "recall": one.recall, "f1": one.f1}


def measure(
    generate: Callable[[Clip], np.ndarray],
    clips: Sequence[Clip],
    sample_rate: int,
    *,
    detector: OnsetDetector | None = None,
    window: float = WINDOW,
    seed: int = 0,
    on_clip: Callable[[int, Clip, np.ndarray], None] | None = None,
) -> TimingReport:
    """Run the protocol.

    Args:
        generate: clip -> wave [S] at `sample_rate`; looks at the picture only. Called once per clip, in order.
        clips: as `impact_clips` gives them; `events`, `wave` and `seconds` are read here.
        sample_rate: of the true and the generated waves.
        detector: the fixed one by default.
        window: seconds within which an instant counts as met.
        seed: of the random instants.
        on_clip: told (position, clip, generated wave) after each clip, for progress and pictures.

    Raises:
        ValueError: if there are fewer than two clips.
    """
    detector = detector or OnsetDetector()
    partner(0, len(clips))
    truths = [true_onsets(clip.events) for clip in clips]
    heard, made = [], []
    for position, clip in enumerate(clips):
        wave = np.asarray(generate(clip))[: round(clip.seconds * sample_rate)]
        heard.append(detector.detect(clip.wave, sample_rate))
        made.append(detector.detect(wave, sample_rate))
        if on_clip is not None:
            on_clip(position, clip, wave)
    foreign, random_f1 = _controls([t for t, _ in truths], made, [c.seconds for c in clips], window, seed)
    ceiling_by_kind, ceiling_error = _against(truths, heard, window)
    generated_by_kind, generated_error = _against(truths, made, window)
    return TimingReport(
        clips=len(clips), window=window, detector=detector,
        ceiling=sum(ceiling_by_kind.values(), Score()), generated=sum(generated_by_kind.values(), Score()),
        foreign=foreign, random_f1=random_f1,
        ceiling_by_kind=ceiling_by_kind, generated_by_kind=generated_by_kind,
        ceiling_error=ceiling_error, generated_error=generated_error,
    )  # fmt: skip


def _against(
    truths: Sequence[tuple[np.ndarray, list[str]]], found: Sequence[np.ndarray], window: float
) -> tuple[dict[str, Score], tuple[float, float]]:
    """Counts by kind over all clips, and mean and spread of the signed error of the hits in seconds."""
    kinds: dict[str, Score] = {}
    errors: list[float] = []
    for (true, labels), times in zip(truths, found, strict=True):
        errors += signed_errors(true, times, window)
        for kind, counts in score_by_kind(true, labels, times, window).items():
            kinds[kind] = kinds.get(kind, Score()) + counts
    spread = (float(np.mean(errors)), float(np.std(errors))) if errors else (0.0, 0.0)
    return dict(sorted(kinds.items())), spread


def _controls(
    truths: Sequence[np.ndarray],
    made: Sequence[np.ndarray],
    lengths: Sequence[float],
    window: float,
    seed: int,
) -> tuple[Score, float]:
    """Foreign counts, and against the same events the pooled F1 of random instants at the same rate.

    Random instants keep the shortest gap that the true events of these clips keep.
    """
    apart = min((float(np.diff(true).min()) for true in truths if len(true) > 1), default=0.0)
    foreign, by_chance = Score(), 0.0
    for position, found in enumerate(made):
        other = partner(position, len(made))
        seconds = min(lengths[position], lengths[other])  # beyond it one of the two could not have an instant
        true, found = truths[other][truths[other] < seconds], found[found < seconds]
        foreign += score(true, found, window)
        by_chance += random_hits(true, len(found), seconds, apart=apart, window=window, seed=seed + position)
    total = foreign.true + foreign.found
    return foreign, 2.0 * by_chance / total if total else 1.0
