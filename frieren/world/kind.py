"""What a kind of source is: how it is simulated and rendered, its voice, and how it may be placed in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np

from frieren.world.canvas import Array, Canvas, Pose
from frieren.world.modal import Body, Build
from frieren.world.script import Look, Source

FAMILIES = ("impacts", "continuous", "tonal", "rhythmic")


@dataclass(frozen=True)
class Task:
    """What a source has to fit into.

    Attributes:
        kind: the kind to simulate.
        seconds: length of the clip.
        taken: contact times of the sources before it.
        mute: move, but touch nothing and make no sound.
        materials: what it may be made of; all of its kind's by default.
    """

    kind: Kind[Any]
    seconds: float
    taken: tuple[float, ...] = ()
    mute: bool = False
    materials: tuple[str, ...] = ()


Simulate = Callable[[Task, np.random.Generator, np.random.Generator], Source[Look]]
Render = Callable[[Canvas, Pose, Source[Look], Array], None]
Hit = Callable[[Body, float, int, int, np.random.Generator], Array]
Voice = Callable[[Array, Array, int, np.random.Generator], Array]


@dataclass(frozen=True)
class Kind(Generic[Look]):
    """One kind of source; each is declared at the end of its own room.

    Attributes:
        name: such as "ball".
        family: one of FAMILIES; "silent" of what never sounds.
        simulate: (Task, script generator, look generator) -> Source: what it does, and what it looks like.
        render: (Canvas, Pose, Source, times [F]): paints it.
        pitches: (low, high) Hz from the largest to the smallest; of a sustained source, what its voice makes of it.
        builds: material -> Build, if it has contacts.
        hit: (Body, strength, number of the hit, sample_rate, generator) -> [N] float32, if a contact is more than
            one hit of a body.
        voices: material -> (rate [S], loudness [S], sample_rate, generator) -> [S] float32 of RMS about 1, if it
            is a sustained source.
        keep: share of a ring that survives the next contact with the same body.
        near: may be seen so near that it leaves the picture.
        tilts: may lie on its side.
        mirrors: may be flipped left and right.
        fills: covers the whole picture, wherever its pose is.
    """

    name: str
    family: str
    simulate: Simulate[Look]
    render: Render[Look]
    pitches: tuple[float, float]
    builds: dict[str, Build] = field(default_factory=dict)
    hit: Hit | None = None
    voices: dict[str, Voice] = field(default_factory=dict)
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
