"""What a faster arithmetic costs: the same sounds of written cue sheets, computed twice and compared.

frieren bench precision --model mini-1step
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean

import numpy as np
from torch import Tensor

from frieren.categories import categories
from frieren.conditioning import cue_features
from frieren.cues import Cues, Motion, SoundCue, Strike
from frieren.evaluation.timing.onset_detector import OnsetDetector, match
from frieren.pipeline import Model
from frieren.sound_recognition import name_sound
from frieren.spectrogram import log_mel

SECONDS = 8.0  # length of every sound
STRIKES = (0.8, 1.7, 2.3, 3.4, 4.6, 5.2, 6.5)  # s; uneven, so that no rhythm stands for another
WINDOW = 0.05  # s that an onset may be off


@dataclass(frozen=True)
class PrecisionLoss:
    """N sounds in float32, in another arithmetic, and in float32 from another seed.

    Attributes:
        names: [N] categories that were asked for.
        mel_distance, seed_distance: [N] mean distance in log10 mel of the second, and of the third, to the first.
        heard: [N] what the classifier of recordings calls the first and the second.
        onsets: F1 of the onsets by the strikes that were asked for, of the first and the second; nan without strikes.
    """

    names: tuple[str, ...]
    mel_distance: tuple[float, ...]
    seed_distance: tuple[float, ...]
    heard: tuple[tuple[str, str], ...]
    onsets: tuple[float, float]

    def rows(self) -> dict[str, str]:
        """What to print of it."""
        same = sum(first == second for first, second in self.heard)
        right = [sum(pair[row] == name for name, pair in zip(self.names, self.heard, strict=True)) for row in (0, 1)]
        return {
            "log10 mel, mean distance": f"{mean(self.mel_distance):.4f} (at most {max(self.mel_distance):.4f})",
            "the same of another seed": f"{mean(self.seed_distance):.4f}",
            "named alike": f"{same} of {len(self.names)}",
            "named as asked": f"{right[0]} in float32, {right[1]}",
            "onset F1": f"{self.onsets[0]:.3f} in float32, {self.onsets[1]:.3f}",
        }


def written_sheets(count: int) -> dict[str, Cues]:
    """Cue sheets of `count` categories from the whole table, by name; what strikes has strikes."""
    found, table = {}, categories()
    for row in range(count):
        category = table[row * len(table) // count]
        strikes = tuple(Strike(time) for time in STRIKES) if category.behaviour == "impact" else ()
        motion = Motion(25.0, (0.3,) * round(25 * SECONDS))
        found[category.name] = Cues((SoundCue(category.name),), strikes, motion, SECONDS)
    return found


def measure(
    exact: Model,
    other: Model,
    sheets: Mapping[str, Cues],
    on_sound: Callable[[int, int], None] = lambda done, total: None,
) -> PrecisionLoss:
    """Compares what two models of the same parameters make of cue sheets, see `written_sheets`."""
    near, far, heard = [], [], []
    counts = np.zeros((2, 3))  # of both: strikes that are heard, onsets that are heard, strikes
    for done, cues in enumerate(sheets.values(), 1):
        waves = sound(exact, cues, done), sound(other, cues, done), sound(exact, cues, len(sheets) + done)
        first, second, third = (log_mel(wave, exact.config.mel) for wave in waves)
        near.append((second - first).abs().mean().item())
        far.append((third - first).abs().mean().item())
        names = [categories()[int(name_sound(wave).argmax())].name for wave in waves[:2]]
        heard.append((names[0], names[1]))
        strikes = np.array([each.time for each in cues.strikes])
        for row, wave in enumerate(waves[: 2 if cues.strikes else 0]):
            onsets = OnsetDetector().detect(wave.numpy(), exact.clock.sample_rate)
            counts[row] += len(match(strikes, onsets, WINDOW)), len(onsets), len(strikes)
        on_sound(done, len(sheets))
    with np.errstate(invalid="ignore"):
        f1 = 2 * counts[:, 0] / (counts[:, 1] + counts[:, 2])
    return PrecisionLoss(tuple(sheets), tuple(near), tuple(far), tuple(heard), (float(f1[0]), float(f1[1])))


def sound(model: Model, cues: Cues, seed: int) -> Tensor:
    """The wave [S] that a model makes of a sheet."""
    features = cue_features(cues, SECONDS, model.clock, model.config.strike_delay)
    mel = model.decode(model.sample(features, seconds=SECONDS, seed=seed))
    return model.vocode(mel)[: model.clock.samples(SECONDS)]
