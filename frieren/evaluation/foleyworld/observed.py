"""Clips -> what is heard in their own sounds and in those of models: the only place where the benchmark uses networks.

A clip is drawn once for all models. What is asked of its sounds is what the clip allows:

    onsets   of clips whose only sounds are visible impacts (`clipsets.only_visible_impacts`)
    fits     of clips in which a shift of the sound can be seen (`Clip.timed`)
    kind     of clips with exactly one kind of source that sounds
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from frieren import world
from frieren.clock import Clock
from frieren.evaluation.foleyworld.quality import IMAGE_SIZE, heard_kind
from frieren.evaluation.foleyworld.takes import SPLIT, Takes
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.scorers.features import side_by_side
from frieren.evaluation.scores import accepted
from frieren.evaluation.timing.clipsets import only_visible_impacts
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector
from frieren.evaluation.timing.scores import Heard, listen
from frieren.world import Clip

RATE = 16_000  # Hz, at which everything is heard


@dataclass(frozen=True)
class Opinion:
    """What is said of one sound; None where the clip does not allow the question.

    Attributes:
        heard: its onsets.
        fits: 1 if the alignment classifier accepts it with the clip's picture, otherwise 0.
        kind: what the tagger hears most of.
    """

    heard: Heard | None
    fits: float | None
    kind: str | None


@dataclass(frozen=True)
class Observed:
    """A clip without picture and sound, and what is said of its true sound and of each model's."""

    clip: Clip
    true: Opinion
    made: Mapping[str, Opinion]


@dataclass(frozen=True)
class Observer:
    """Asks detector, classifier and tagger about the clips of SPLIT, with the sounds of all `takes`."""

    takes: Sequence[Takes]
    tagger: Extractor
    classifier: WorldAlignment
    detector: OnsetDetector = OnsetDetector()

    def observe(self, count: int, on_clip: Callable[[int], None] = lambda done: None) -> Iterator[Observed]:
        """The first `count` clips in order, without those of which nothing can be asked; several at a time."""
        for done, one in enumerate(side_by_side(self.clip, range(count)), 1):
            on_clip(done)
            if one is not None:
                yield one

    @torch.inference_mode()
    def clip(self, index: int) -> Observed | None:
        """One clip; None if nothing can be asked of it."""
        clip = world.clip(SPLIT, index, Clock(sample_rate=RATE), picture=False)
        if not (clip.timed or len(clip.kinds) == 1 or only_visible_impacts(clip)):
            return None
        draw = cache(partial(images, index))
        seen = None
        if clip.timed:
            shown = draw(self.classifier.network.config.fps, IMAGE_SIZE)
            seen = self.classifier.look(torch.from_numpy(shown).float() / 255, clip.seconds)
        ask = partial(self.ask, clip, seen)
        made = {one.name: ask(one.sound(index, draw, RATE)) for one in self.takes}
        return Observed(replace(clip, wave=None), ask(torch.from_numpy(clip.wave)), made)

    def ask(self, clip: Clip, seen: dict[str, Tensor] | None, wave: Tensor) -> Opinion:
        """About one sound [S] of a clip, whose picture the classifier has `seen`."""
        return Opinion(
            listen(wave.numpy(), RATE, self.detector, Envelope()) if only_visible_impacts(clip) else None,
            None if seen is None else float(accepted(self.classifier.judge(seen, self.classifier(wave)).numpy())[0]),
            heard_kind(self.tagger, wave) if len(clip.kinds) == 1 else None,
        )


def images(index: int, fps: float, size: int) -> np.ndarray:
    """The picture of a clip, uint8 [F, 3, size, size]."""
    return world.clip(SPLIT, index, Clock(fps=fps), size, sound=False).images
