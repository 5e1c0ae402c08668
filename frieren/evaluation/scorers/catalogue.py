"""Reference models of sound and video by name: ours, and those of other installed packages.

Another package names a function that loads its network, and `frieren evaluate ... --scores in_time` uses it:

    [project.entry-points."frieren.scorers"]
    in_time = "my_package:load"             # () -> Scorer

A name of ours may be taken: the package's network then replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from frieren.evaluation.scorers.scorer import Scorer

PLUGINS = "frieren.scorers"  # the group of entry points


def world() -> Scorer:
    """Load FoleyWorld's alignment classifier."""
    from frieren.evaluation.scorers.alignment import WorldAlignment

    return WorldAlignment()


def diff_foley() -> Scorer:
    """Load Diff-Foley's alignment classifier."""
    from frieren.evaluation.scorers.alignment import DiffFoleyAlignment

    return DiffFoleyAlignment()


def synchrony() -> Scorer:
    """Load Synchformer, for DeSync."""
    from frieren.evaluation.scorers.synchrony import Synchrony

    return Synchrony()


def imagebind() -> Scorer:
    """Load ImageBind from the user's own package."""
    from frieren.evaluation.scorers.imagebind import load

    return load()


def clap() -> Scorer:
    """Load the user's CLAP model."""
    from frieren.evaluation.scorers.clap import CaptionAgreement

    return CaptionAgreement()


def loaders() -> dict[str, Callable[[], Scorer]]:
    """Return all scorers' loaders by name; one of an installed package goes before one of ours."""

    def loader(plugin: EntryPoint) -> Callable[[], Scorer]:
        return lambda: plugin.load()()

    return SCORERS | {plugin.name: loader(plugin) for plugin in entry_points(group=PLUGINS)}


SCORERS: dict[str, Callable[[], Scorer]] = {
    "alignment_world": world,
    "alignment_diff_foley": diff_foley,
    "desync": synchrony,
    "imagebind": imagebind,
    "clap": clap,
}
