"""How good the scorers of the preset `world` are: tagger and alignment classifier on FoleyWorld's own sounds.

frieren evaluate scorers --clips 512
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren import world
from frieren.clock import Clock
from frieren.evaluation.intervals import wilson
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import WorldExtractor
from frieren.evaluation.tables import NOT_DEFINED, decimals, span, table
from frieren.evaluation.timing.clipsets import reference_wave, without_common_kind
from frieren.world import Clip

DRAWS = 5  # shifts, and mismatched sounds, of every clip
LEAST = 0.5  # seconds, the smallest shift
IMAGE_SIZE = 64  # pixels, height and width of the rendered frames

TAGGER = "tagger, single source"
PAIRS = ("matched", "shifted", "mismatched, another kind", "mismatched, same kind")

# The share that a scorer should reach, and whether it is a least (or a most).
AIMS: Mapping[str, tuple[float, bool] | None] = {
    TAGGER: (0.90, True),
    "matched": (0.95, True),
    "shifted": (0.10, False),
    "mismatched, another kind": (0.05, False),
    "mismatched, same kind": None,
}


@dataclass(frozen=True)
class Decisions:
    """Decisions of a network about pairs, or sounds, of one type.

    Attributes:
        accepted: [N] 0 or 1.
        clips: [N] the clip of each decision; intervals keep those of a clip together.
    """

    accepted: list[float]
    clips: list[int]

    @property
    def share(self) -> float:
        """Share of accepted ones; NaN without decisions."""
        return float(np.mean(self.accepted)) if self.accepted else float("nan")


@dataclass(frozen=True)
class QualityReport:
    """Decisions by type of pair, and the networks that made them."""

    decisions: Mapping[str, Decisions]
    split: str
    clips: int
    digests: Mapping[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per type: share, 95 % interval, decisions, clips, aim and whether it is met."""
        rows = []
        for name, one in self.decisions.items():
            aim, least = AIMS[name] or (None, True)
            met = None if aim is None else bool(one.share >= aim if least else one.share <= aim)
            interval = wilson(np.array(one.accepted), one.clips) if one.accepted else None
            rows.append(
                {
                    "pairs": name, "share": one.share, "interval": list(interval[:2]) if interval else None,
                    "decisions": len(one.accepted), "clips": len(set(one.clips)),
                    "aim": None if aim is None else f"{'at least' if least else 'at most'} {aim:g}", "met": met,
                }
            )  # fmt: skip
        return rows

    def to_json(self) -> str:
        """Return the rows, and what they are of."""
        body = {"world_version": world.WORLD_VERSION, "split": self.split, "clips": self.clips, "draws": DRAWS}
        return json.dumps(body | {"networks": dict(self.digests), "rows": self.rows()}, indent=2) + "\n"

    def markdown(self) -> str:
        """Return the rows as a table."""
        words = {True: "yes", False: "no", None: NOT_DEFINED}
        rows = (
            (
                row["pairs"], row["aim"] or NOT_DEFINED, words[row["met"]],
                decimals(row["share"]), span(row["interval"]), str(row["decisions"]),
            )
            for row in self.rows()
        )  # fmt: skip
        return table(("accepted of", "aim", "met", "share", "95 % interval", "number"), rows, words=3)


def measure(
    split: str,
    count: int,
    tagger: WorldExtractor,
    classifier: WorldAlignment,
    *,
    seed: int = 0,
    on_clip: Callable[[int], None] = lambda done: None,
) -> QualityReport:
    """Measure both scorers on the first `count` clips of a split.

    The tagger has to name the kind of clips with one source. The classifier gets clips in which a shift can be seen
    (`Clip.timed`): with their own sound, with it circularly shifted by LEAST seconds or more, and with the sounds of
    other such clips, which share no kind with it, or have its main kind.

    Raises:
        ValueError: there is no such clip.
    """
    clock = Clock(fps=classifier.network.config.fps, sample_rate=classifier.sample_rate)
    rng, pairs = np.random.default_rng(seed), _Pairs(classifier)
    named = Decisions([], [])
    for index in range(count):
        clip = world.clip(split, index, clock, IMAGE_SIZE)
        if len(clip.kinds) == 1:
            named.accepted.append(float(named_kind(tagger, torch.from_numpy(reference_wave(clip))) == clip.kinds[0]))
            named.clips.append(index)
        if clip.timed:
            pairs.add(clip, _shifts(rng, clip.seconds))
        on_clip(index + 1)
    if not pairs.clips:
        raise ValueError(f"no clip of {count} has two visible impacts or a changing activity; take more")
    pairs.add_mismatched(rng)
    digests = {"tagger": tagger.digest, "alignment": classifier.digest}
    return QualityReport({TAGGER: named} | pairs.decisions, split, count, digests)


def named_kind(tagger: WorldExtractor, wave: Tensor) -> str:
    """Return the most probable kind of FoleyWorld in a wave [S]."""
    logits = tagger(wave)["logits"]
    return tagger.network.config.classes[int(logits.argmax())]


def _shifts(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Draw DRAWS circular shifts in seconds, each LEAST or more away from none either way."""
    return rng.uniform(LEAST, seconds - LEAST, DRAWS)


class _Pairs:
    """The classifier's features of the clips so far, and its decisions."""

    def __init__(self, classifier: WorldAlignment) -> None:
        self.classifier = classifier
        self.clips: list[Clip] = []
        self.videos: list[Tensor] = []
        self.sounds: list[Tensor] = []
        self.decisions = {name: Decisions([], []) for name in PAIRS}

    @torch.inference_mode()
    def add(self, clip: Clip, shifts: np.ndarray) -> None:
        """Encode a clip; decide on its own sound, and on that circularly shifted by `shifts` [N] seconds."""
        if clip.images is None:
            raise ValueError(f"clip {clip.index} was made without frames")
        wave, rate = torch.from_numpy(reference_wave(clip)), self.classifier.sample_rate
        video = self.classifier.encode_frames(torch.from_numpy(clip.images).float() / 255, clip.seconds)
        sound = self.classifier.encode_sound(wave)
        shifted = (self.classifier.encode_sound(wave.roll(round(shift * rate))) for shift in shifts)
        self._decide("matched", clip, video, [sound])
        self._decide("shifted", clip, video, shifted)
        self.clips.append(replace(clip, images=None, wave=None))
        self.videos.append(video)
        self.sounds.append(sound)

    @torch.inference_mode()
    def add_mismatched(self, rng: np.random.Generator) -> None:
        """Decide on the sounds of other clips, DRAWS of each type where there are as many."""
        kinds = [clip.kinds for clip in self.clips]
        for index, clip in enumerate(self.clips):
            another_kind = without_common_kind(kinds, index)
            same_kind = [k for k, other in enumerate(kinds) if k != index and other[:1] == clip.kinds[:1]]
            for name, others in zip(PAIRS[2:], (another_kind, same_kind), strict=True):
                chosen = rng.choice(others, min(DRAWS, len(others)), replace=False) if others else ()
                self._decide(name, clip, self.videos[index], [self.sounds[k] for k in chosen])

    def _decide(self, name: str, clip: Clip, video: Tensor, sounds: Iterable[Tensor]) -> None:
        accepted = [float(self.classifier.score(video, sound).round()) for sound in sounds]
        self.decisions[name].accepted.extend(accepted)
        self.decisions[name].clips.extend([clip.index] * len(accepted))
