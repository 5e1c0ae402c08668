"""Real clips: onsets of a generated sound by those that the detector finds in the clip's own sound, with chance.

The clips are the user's: a folder with a manifest.json, {"clips": [{"file": ..., "sync_confirmed": true}, ...]}. Those
whose sound is known to go with the picture (`sync_confirmed`) are measured. Nothing of them is kept but numbers and
pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frieren import sounds, video
from frieren.errors import VideoError
from frieren.evaluation.pictures import plot_clip
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector
from frieren.evaluation.timing.onset_scores import TimingScores, compare
from frieren.evaluation.timing.protocol import ReferenceTiming, SoundTiming, analyse
from frieren.pipeline import Model

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RealClip:
    """One model's sound for one clip.

    Attributes:
        file: name of the clip.
        model: name of the model.
        onsets: how many are found in the generated and in the clip's own sound.
        scores: of `TimingScores.summary`: "onset_f1_50ms", "onset_f1_100ms".
    """

    file: str
    model: str
    onsets: tuple[int, int]
    scores: Mapping[str, Mapping[str, Any]]


def confirmed(folder: Path) -> list[Path]:
    """Return the clips of a folder whose sound is known to go with the picture.

    Raises:
        VideoError: if there is no such manifest, or none of its clips is confirmed.
    """
    path = folder / MANIFEST
    try:
        clips = json.loads(path.read_text(encoding="utf-8"))["clips"]
        files = [folder / one["file"] for one in clips if one["sync_confirmed"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoError(f'{path}: no list of clips with "file" and "sync_confirmed" ({error!r}); write one') from error
    if not files:
        raise VideoError(f"{path}: sync_confirmed is true of no clip; nothing can be measured")
    return files


def measure(
    models: Mapping[str, Model],
    folder: Path,
    pictures: Path,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> list[RealClip]:
    """Measure every confirmed clip with every model, seed 0.

    Args:
        models: by name.
        folder: of the clips.
        pictures: folder for a picture of each: motion, own and generated mel with their onsets.
        on_clip: called with (sounds done, total).

    Raises:
        VideoError: if the manifest or a clip cannot be read.
    """
    files, measured = confirmed(folder), []
    for path in files:
        for name, model in models.items():
            picture = pictures / f"{path.stem}_{name}.png"
            measured.append(one_clip(path, name, model, picture))
            on_clip(len(measured), len(files) * len(models))
    return measured


def one_clip(path: Path, name: str, model: Model, picture: Path) -> RealClip:
    """Measure one clip with one model, and write its plot to `picture`."""
    rate, detector = model.clock.sample_rate, OnsetDetector()
    waves = {"reference": own_sound(path, rate), "generated": model.generate(path, seed=0).wave.numpy()}
    length = min(map(len, waves.values()))
    waves = {what: wave[:length] for what, wave in waves.items()}
    reference, generated = (analyse(wave, rate, detector, Envelope()) for wave in waves.values())
    onsets = {"reference": reference.onsets.times, "generated": generated.onsets.times}
    frames = video.read_frames(path, model.clock, model.image_size)
    plot_clip(
        picture,
        frames.images.numpy(),
        waves,
        rate,
        (),
        times=frames.times.tolist(),
        onsets=onsets,
        title=f"{path.stem}, {name}",
    )
    scores = timing_of(generated, reference, detector).summary()
    kept = {score: row for score, row in scores.items() if score.startswith("onset_f1")}
    return RealClip(path.name, name, (len(generated.onsets.times), len(reference.onsets.times)), kept)


def timing_of(generated: SoundTiming, reference: SoundTiming, detector: OnsetDetector) -> TimingScores:
    """Score a generated sound by the onsets of the reference, with 1,000 random circular shifts."""
    known = ReferenceTiming(reference.onsets.times, None, reference)
    return compare([(generated, known)], detector=detector, meter=Envelope())


def own_sound(path: Path, sample_rate: int) -> np.ndarray:
    """Read the sound of a video from its first frame on, one channel [S].

    Raises:
        VideoError: if the video cannot be read, or is silent.
    """
    found = sounds.decode(path)
    if found is None:
        raise VideoError(f"{path}: there is no sound in this file; give one with its own sound")
    wave = sounds.resample(found.samples.mean(axis=0), found.rate, sample_rate)
    late = round((found.start - video.probe(path).start) * sample_rate)
    return np.pad(wave[max(0, -late) :], (max(0, late), 0))
