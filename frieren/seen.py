"""What was seen of a video, and all that its sounds are made of; it can be kept with unfinished work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from frieren.cues import Cues, from_json
from frieren.unfinished import Unfinished


@dataclass(frozen=True)
class Seen:
    """What a sound is made of: features or, where it is only vocoded, a mel.

    Attributes:
        features: [F, D].
        times: [F] seconds at which the frames are displayed; None: on the clock's grid.
        seconds: length of the video; None where there is none.
        cues: the sheet that the features were made of.
        mel: [M, T].
    """

    features: Tensor | None = None
    times: Tensor | None = None
    seconds: float | None = None
    cues: Cues | None = None
    mel: Tensor | None = None

    def keep(self, unfinished: Unfinished) -> None:
        """Put it beside the pieces of a sound that is not finished; features come last, so all is there or none."""
        if self.cues is not None:
            text = bytearray(self.cues.to_json().encode())
            unfinished.put("cues", torch.frombuffer(text, dtype=torch.uint8))
        if self.times is not None:
            unfinished.put("times", self.times)
        if self.seconds is not None:
            unfinished.put("seconds", torch.tensor(self.seconds, dtype=torch.float64))
        if self.features is not None:
            unfinished.put("features", self.features)


def kept(places: Iterable[Unfinished]) -> Seen | None:
    """What an earlier run has kept, in the first place that has it."""
    for place in places:
        features, times, seconds, text = (place.get(name) for name in ("features", "times", "seconds", "cues"))
        if features is not None:
            cues = None if text is None else from_json(text.numpy().tobytes().decode())
            return Seen(features, times, None if seconds is None else float(seconds), cues)
    return None
