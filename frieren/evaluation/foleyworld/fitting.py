"""How well sounds fit their videos, by the alignment classifier, and their kinds, by the tagger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frieren.evaluation.foleyworld.observed import ObservedClip
from frieren.evaluation.paired import ALL, PairedScore, groups, paired_difference, paired_ratio


def alignment(observed: Sequence[ObservedClip], name: str) -> PairedScore:
    """Return the shares that the classifier accepts of a model's and of reference sounds, and their difference."""
    pairs = [(one.generated[name].accepted, one.reference.accepted) for one in observed]
    known = [(float(ours), float(theirs)) for ours, theirs in pairs if ours is not None and theirs is not None]
    return paired_difference([generated for generated, _ in known], [reference for _, reference in known])


def kinds(observed: Sequence[ObservedClip], name: str) -> dict[str, PairedScore]:
    """Return the shares of clips whose one kind the tagger names, of a model's and of reference sounds; their ratio.

    For all clips with one source, and by kind.
    """
    known = [one for one in observed if one.reference.kind is not None]
    generated = np.array([float(one.generated[name].kind == one.clip.kinds[0]) for one in known])
    reference = np.array([float(one.reference.kind == one.clip.kinds[0]) for one in known])
    ones, grouped = np.ones(len(known)), groups([one.clip for one in known])
    return {
        group: paired_ratio(generated[k], ones[k], reference[k], ones[k])
        for by in (ALL, "kind")
        for group, k in grouped[by].items()
    }
