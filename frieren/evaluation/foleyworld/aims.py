"""What is required of a model that ships besides its timing (`timing.aims`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from frieren.evaluation.foleyworld.resynthesis import RIVALS, Resynthesis
from frieren.evaluation.paired import ALL, PairedScore
from frieren.evaluation.timing.aims import Aim

ALIGNMENT = 0.02  # share that the classifier accepts, below that of reference sounds
KIND = 0.95  # share that the tagger names, over that of the reference sounds
NEARER = 1.0  # distance of Griffin-Lim over that of the vocoder, from the same mel


def fitting_aims(of: str, alignment: PairedScore, kinds: Mapping[str, PairedScore]) -> Iterator[Aim]:
    """Yield the aims of a model's alignment and kinds."""
    if alignment.clips:
        yield Aim("alignment: generated - reference", of, alignment.value, -ALIGNMENT)
    if ALL in kinds:
        yield Aim("kind: generated / reference", of, kinds[ALL].value, KIND)


def vocoder_aims(of: str, found: Resynthesis) -> Iterator[Aim]:
    """Yield the aims of a vocoder, on some sounds: how many times further away Griffin-Lim is."""
    for method in RIVALS:
        for measure, times in found.times_nearer(method).items():
            yield Aim(f"{method}, {measure}: ratio", of, times, NEARER)
