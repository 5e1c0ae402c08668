"""What is required of a model that ships besides its timing (`timing.aims`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from frieren.evaluation.foleyworld.quality import AIMS, QualityReport
from frieren.evaluation.foleyworld.resynthesis import RIVALS, Resynthesis
from frieren.evaluation.paired import PairedScore, capped
from frieren.evaluation.timing.aims import WORST_KIND, Aim

ALIGNMENT = 0.02  # share that the classifier accepts, below that of reference sounds
KIND = 0.95  # share that the tagger names, over that of the reference sounds: mean over kinds, each of them 1 at most
NEARER = 1.0  # distance of Griffin-Lim over that of the vocoder, from the same mel


def fitting_aims(of: str, alignment: PairedScore, kinds: Mapping[str, PairedScore]) -> Iterator[Aim]:
    """Yield the aims of a model's alignment and kinds."""
    if alignment.clips:
        yield Aim("alignment: generated - reference", of, alignment.value, -ALIGNMENT)
    if found := capped(kinds):
        yield Aim("kind: mean of capped ratios", of, found.mean, KIND)
        yield Aim(f"kind: worst kind ({found.worst})", of, found.value, WORST_KIND)


def scorer_aims(found: QualityReport) -> Iterator[Aim]:
    """Yield the aims of the scorers themselves: shares that they accept of reference sounds and of wrong pairs."""
    for name, one in found.decisions.items():
        if bound := AIMS[name]:
            yield Aim(f"{name}: accepted", "scorers", one.share, *bound)


def vocoder_aims(of: str, found: Resynthesis) -> Iterator[Aim]:
    """Yield the aims of a vocoder, on some sounds: how many times further away Griffin-Lim is."""
    for method in RIVALS:
        for measure, times in found.times_nearer(method).items():
            yield Aim(f"{method}, {measure}: ratio", of, times, NEARER)
