"""What a list of times must beat on real clips: chance, a beat, and a rule of one line that needs no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frieren.evaluation.real.clips import RealClip
from frieren.evaluation.real.counts import MatchCounts, count
from frieren.evaluation.timing.protocol import SHIFTS
from frieren.openvideo import conversion_errors, open_video

PERIODS = np.arange(0.10, 1.21, 0.02)  # s, of metronomes
PHASES = (0.25, 0.5, 0.75, 1.0)  # of the period, at which each begins
SIZE = 64  # pixels, sides of the frames that the rule sees
RATE = 25.0  # values a second
QUANTILE = 99  # percentile of a clip's falls that is called 1
THRESHOLD, GAP, LATE = 0.4, 0.15, 0.02  # least fall; s between two; s from the last fast frame to the sound


def shifts(clip: RealClip, rng: np.random.Generator) -> MatchCounts:
    """The clip's own events, circularly shifted at random SHIFTS times: the right number with the right rhythm."""
    events = np.array(clip.events)
    return count(clip, [(events + shift) % clip.seconds for shift in rng.uniform(0, clip.seconds, SHIFTS)])


def metronomes(clip: RealClip) -> MatchCounts:
    """A beat of each of PERIODS, from each of PHASES on; the phases of one period lie together."""
    beats = [np.arange(phase * period, clip.seconds, period) for period in PERIODS for phase in PHASES]
    return count(clip, beats)


def best_metronome(beats: MatchCounts) -> np.ndarray:
    """F1 [W] of the best period for each window, the mean over its phases."""
    return np.asarray(beats.f1.reshape(-1, len(PERIODS), len(PHASES)).mean(axis=2).max(axis=1))


def falls(path: Path) -> list[float]:
    """Instants in seconds at which a video's frame difference falls: fast motion that stops.

    The root mean square of the difference between neighbouring frames, grey and squashed to SIZE x SIZE, is read RATE
    times a second. Where it falls by THRESHOLD or more from one value to the next, more than before and after,
    something has struck.

    Raises:
        VideoError: see `open_video`.
    """
    return pick_falls(*frame_differences(path))


def frame_differences(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times [F - 1] in seconds of all frames but the first, and the difference of each from the one before."""
    times: list[float] = []
    differences: list[float] = []
    before: np.ndarray | None = None
    with open_video(path) as video, conversion_errors(path):
        for frame, time in video.frames():
            small = frame.reformat(SIZE, SIZE, "gray", interpolation="AREA").to_ndarray().astype(np.float32)
            if before is not None:
                times.append(time)
                differences.append(float(np.sqrt(np.square(small - before).mean())))
            before = small
    return np.array(times), np.array(differences)


def pick_falls(times: np.ndarray, differences: np.ndarray) -> list[float]:
    """Instants of the falls of a curve; see `falls`."""
    if len(times) < 2:
        return []
    grid = np.arange(0, times[-1] + 1e-6, 1 / RATE)
    curve = np.interp(grid, times, differences)
    fall = np.maximum(curve[:-1] - curve[1:], 0)
    if not fall.any():
        return []
    fall = fall / (np.percentile(fall, QUANTILE) or fall.max())
    kept: list[float] = []
    padded = np.pad(fall, 1)
    for index in np.flatnonzero((fall >= THRESHOLD) & (fall >= padded[:-2]) & (fall >= padded[2:])):
        time = float(grid[index]) + LATE
        if not kept or time - kept[-1] >= GAP:
            kept.append(time)
    return kept
