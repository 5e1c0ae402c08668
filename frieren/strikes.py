"""What moves and what strikes in a video, and when: its local motion through the motion encoder, and the peaks of that.

with open_video("clip.mp4") as video:
    spotter = MotionSpotter(load_encoder())
    for frame, time in video.frames():
        spotter.push(frame, time)
seen = spotter.finish(seconds)          # seen.strikes, seen.activity, seen.embed
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frieren import motion
from frieren.cues import Strike
from frieren.errors import WeightsError
from frieren.nets.motion import MotionEncoder
from frieren.rows import Rows
from frieren.weights import load_part

if TYPE_CHECKING:
    from av import VideoFrame

FOLDER = Path(__file__).parent / "models" / "eyes" / "motion"
GAP = 0.12  # s, shortest between two strikes
BLOCK = 256  # frames that the encoder sees at once, besides their context
Curve = NDArray[np.float32]


@dataclass(frozen=True)
class SeenMotion:
    """What is seen of the motion, at `motion.RATE` from the first frame on.

    Attributes:
        strike: [T] probability that something strikes at each frame.
        strength: [T] 0..1, of the strike if there is one.
        sustained: [T] 0..1, loudness of what sounds on, such as rubbing.
        activity: [T] 0..1, how much moves; 0 where all stands still.
        embed: [T, D] description of the motion, -1..1.
        strikes: the peaks of `strike`, in order of time.
    """

    strike: Curve
    strength: Curve
    sustained: Curve
    activity: Curve
    embed: Curve
    strikes: tuple[Strike, ...]


@cache
def load_encoder(folder: Path = FOLDER) -> MotionEncoder:
    """The encoder in a folder, by default the one that ships.

    Raises:
        WeightsError: it cannot be read, or is another network.
    """
    encoder = load_part(folder)
    if not isinstance(encoder, MotionEncoder):
        raise WeightsError(f"{folder}: expected a MotionEncoder, got {type(encoder).__name__}")
    return encoder


class MotionSpotter:
    """Takes the frames of a video one by one; what it has seen does not depend on how they come in."""

    def __init__(self, encoder: MotionEncoder) -> None:
        self.encoder = encoder
        self._reader = motion.MotionReader()
        self._motion: list[Tensor] = []  # from `_context` frames before the next one to be looked at
        self._context = 0
        self._outputs = Rows()

    def push(self, frame: VideoFrame, time: float) -> None:
        """Take the next decoded frame, `time` seconds after the first one."""
        self.push_grey(motion.grey(frame), time)

    def push_grey(self, image: Tensor, time: float) -> None:
        """Take the next frame as `motion.grey` gives it."""
        self._motion += self._reader.push(image, time)
        while len(self._motion) >= self._context + BLOCK + self.encoder.config.context:
            self._look(BLOCK)

    def finish(self, seconds: float) -> SeenMotion:
        """What has been seen of a video of this length.

        Raises:
            ValueError: no frame was given.
        """
        self._motion += self._reader.finish(seconds)
        while rest := len(self._motion) - self._context:
            self._look(min(rest, BLOCK))
        values = self._outputs.tensor().numpy()
        if not len(values):
            raise ValueError("no frame was given")
        strike, strength, sustained, activity, embed = *values[:, :4].T, values[:, 4:]
        strikes = pick_strikes(strike, strength, self.encoder.config.threshold, self.encoder.config.delay)
        return SeenMotion(strike, strength, sustained, activity, embed, strikes)

    @torch.inference_mode()
    def _look(self, count: int) -> None:
        """Look at the next `count` frames, with what lies before and after them."""
        begin, margin = self._context, self.encoder.config.context
        seen = torch.stack(self._motion[: begin + count + margin])
        output = self.encoder(seen.transpose(0, 1)[None])
        cues = torch.stack([output.strike, output.strength, output.sustained], -1)[0].sigmoid()
        size = seen[:, -1].flatten(1).mean(1, keepdim=True)  # of the difference, by its root mean square
        here = slice(begin, begin + count)
        self._outputs.append(torch.cat([cues, size / (1 + size), output.embed[0]], -1)[here])
        drop = max(0, begin + count - margin)
        self._motion = self._motion[drop:]
        self._context = begin + count - drop


def pick_strikes(strike: Curve, strength: Curve, threshold: float, delay: float = 0.0) -> tuple[Strike, ...]:
    """Peaks of a probability, between frames where a parabola through three of them says so, the highest first.

    Args:
        strike: [T] probability at `motion.RATE`.
        strength: [T] 0..1.
        threshold: lowest probability of a strike.
        delay: s, added to every time.
    """
    padded = np.concatenate([[-1.0], strike, [-1.0]])
    peaks = np.flatnonzero((strike >= padded[:-2]) & (strike > padded[2:]) & (strike >= threshold))
    found: list[tuple[float, int]] = []
    for index in peaks[np.argsort(-strike[peaks], kind="stable")]:
        left, here, right = strike[max(index - 1, 0)], strike[index], strike[min(index + 1, len(strike) - 1)]
        bend = float(left - 2 * here + right)
        offset = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < -1e-9 else 0.0
        time = max(0.0, (float(index) + offset) / motion.RATE + delay)
        if all(abs(time - other) >= GAP for other, _ in found):
            found.append((time, int(index)))
    return tuple(Strike(time, float(strength[index]), float(strike[index])) for time, index in sorted(found))
