"""Whether a sound fits its picture, by the alignment classifier, and what it is taken for, by the tagger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frieren.evaluation.foleyworld.beside import ALL, Beside, difference, groups, ratio
from frieren.evaluation.foleyworld.observed import Observed


def alignment(observed: Sequence[Observed], name: str) -> Beside:
    """Shares that the classifier accepts of a model's sounds and of true pairs, and their difference."""
    there = [one for one in observed if one.true.fits is not None]
    return difference([one.made[name].fits for one in there], [one.true.fits for one in there])


def kinds(observed: Sequence[Observed], name: str) -> dict[str, Beside]:
    """Shares in which the tagger names the one kind of a clip, of a model's and of true sounds, and their ratio.

    For all clips with one source, and by kind.
    """
    there = [one for one in observed if one.true.kind is not None]
    made, true = (
        np.array([float(said.kind == one.clip.kinds[0]) for said, one in zip(opinions, there, strict=True)])
        for opinions in ([one.made[name] for one in there], [one.true for one in there])
    )
    of = groups([one.clip for one in there])
    every = np.ones(len(there))
    return {group: ratio(made[k], every[k], true[k], every[k]) for by in (ALL, "kind") for group, k in of[by].items()}
