"""Clips -> what detector, classifier and tagger measure of their own sounds and of models': here networks run.

A clip is rendered once for all models. What is measured of its sounds depends on the clip:

    onsets     of clips whose only sounds are visible impacts (`clipsets.only_visible_impacts`)
    accepted   of clips in which a shift of the sound can be seen (`Clip.timed`)
    kind       of clips with exactly one kind of source that sounds
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
from frieren.evaluation.foleyworld.quality import IMAGE_SIZE, named_kind
from frieren.evaluation.foleyworld.takes import SPLIT, Takes
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import WorldExtractor
from frieren.evaluation.scorers.features import side_by_side
from frieren.evaluation.scores import accepted
from frieren.evaluation.timing.clipsets import only_visible_impacts, reference_wave
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector
from frieren.evaluation.timing.protocol import SoundTiming, analyse
from frieren.world import Clip

RATE = 16_000  # Hz, of everything that is measured


@dataclass(frozen=True)
class ObservedSound:
    """What was measured of one sound; None where the clip does not allow it.

    Attributes:
        timing: its onsets.
        accepted: 1 if the alignment classifier accepts it with the clip's frames, otherwise 0.
        kind: the tagger's most probable kind.
    """

    timing: SoundTiming | None
    accepted: float | None
    kind: str | None


@dataclass(frozen=True)
class ObservedClip:
    """A clip without frames and sound, and what was measured of its own sound and of each model's."""

    clip: Clip
    reference: ObservedSound
    generated: Mapping[str, ObservedSound]


@dataclass(frozen=True)
class Observer:
    """Detector, classifier and tagger, for the clips of SPLIT with the sounds of all `takes`."""

    takes: Sequence[Takes]
    tagger: WorldExtractor
    classifier: WorldAlignment
    detector: OnsetDetector = OnsetDetector()

    def observe(self, count: int, on_clip: Callable[[int], None] = lambda done: None) -> Iterator[ObservedClip]:
        """Yield the first `count` clips in order, without those that allow nothing; several at a time."""
        for done, one in enumerate(side_by_side(self.clip, range(count)), 1):
            on_clip(done)
            if one is not None:
                yield one

    @torch.inference_mode()
    def clip(self, index: int) -> ObservedClip | None:
        """Observe one clip; None if it allows nothing."""
        clip = world.clip(SPLIT, index, Clock(sample_rate=RATE), picture=False)
        if not (clip.timed or len(clip.kinds) == 1 or only_visible_impacts(clip)):
            return None
        render = cache(partial(images, index))
        video = None
        if clip.timed:
            frames = render(self.classifier.network.config.fps, IMAGE_SIZE)
            video = self.classifier.encode_frames(torch.from_numpy(frames).float() / 255, clip.seconds)
        sound = partial(self.sound, clip, video)
        generated = {one.name: sound(one.sound(index, render, RATE)) for one in self.takes}
        return ObservedClip(replace(clip, wave=None), sound(torch.from_numpy(reference_wave(clip))), generated)

    def sound(self, clip: Clip, video: Tensor | None, wave: Tensor) -> ObservedSound:
        """Observe one sound [S] of a clip, with the classifier's features of its `video`."""
        timing = analyse(wave.numpy(), RATE, self.detector, Envelope()) if only_visible_impacts(clip) else None
        score = None
        if video is not None:
            probability = self.classifier.score(video, self.classifier.encode_sound(wave))
            score = float(accepted(probability.numpy())[0])
        return ObservedSound(timing, score, named_kind(self.tagger, wave) if len(clip.kinds) == 1 else None)


def images(index: int, fps: float, size: int) -> np.ndarray:
    """Render the frames of a clip, uint8 [F, 3, size, size]."""
    clip = world.clip(SPLIT, index, Clock(fps=fps), size, sound=False)
    if clip.images is None:
        raise ValueError(f"clip {index} was made without frames")
    return clip.images
