"""What a kind of source is: its law of motion, its drawing, its voice, and how it may be placed in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from frieren.world.modal import Build

FAMILIES = ("impacts", "continuous", "tonal", "rhythmic")


@dataclass(frozen=True)
class Kind:
    """One kind of source; each is declared at the end of its own room.

    Attributes:
        name: such as "ball".
        family: one of FAMILIES; "silent" of what never sounds.
        write: (Task, script generator, look generator) -> Source, the law of motion.
        draw: (Canvas, Pose, Source, times [F]), the drawing.
        pitches: (low, high) Hz from the largest to the smallest; for a kind that sounds on, what its voice makes of it.
        builds: material -> Build, if it has contacts.
        hit: (Body, strength, number of the hit, sample_rate, generator) -> [N] float32, if a contact is more than
            one hit of a body.
        voices: material -> (rate [S], loudness [S], sample_rate, generator) -> [S] float32 of RMS about 1, if it
            sounds on.
        keep: share of a ring that survives the next contact with the same body.
        near: may be seen so near that it leaves the picture.
        tilts: may lie on its side.
        mirrors: may be flipped left and right.
        fills: covers the whole picture, wherever its pose is.
    """

    name: str
    family: str
    write: Callable
    draw: Callable
    pitches: tuple[float, float]
    builds: dict[str, Build] = field(default_factory=dict)
    hit: Callable[..., np.ndarray] | None = None
    voices: dict[str, Callable[..., np.ndarray]] = field(default_factory=dict)
    keep: float = 0.35
    near: bool = False
    tilts: bool = False
    mirrors: bool = True
    fills: bool = False

    @property
    def materials(self) -> tuple[str, ...]:
        """All that it may be made of."""
        return tuple(self.builds or self.voices)

    def pitch(self, size: float) -> float:
        """Fundamental in Hz at size 0..1: small is high, on a logarithmic scale."""
        low, high = self.pitches
        return float(high * (low / high) ** size)
