"""The kinds of FoleyWorld: each has a law of motion (write), a drawing (draw) and a voice, declared in its own room."""

from __future__ import annotations

from frieren.world.kinds.ball import BALL
from frieren.world.kinds.drip import DRIP
from frieren.world.kinds.engine import ENGINE
from frieren.world.kinds.kind import FAMILIES, Kind
from frieren.world.kinds.mute import SILENCE
from frieren.world.kinds.piano import PIANO
from frieren.world.kinds.strike import CHOP, DRUM, HAMMER
from frieren.world.kinds.tick import CLOCK
from frieren.world.kinds.weather import RAIN, WIND

__all__ = ["FAMILIES", "GALLERY", "IMPACTS", "KINDS", "SILENCE", "STEADY", "Kind", "named"]

# Those of the splits of version 1, in the order of its cycle.
IMPACTS = ("ball", "drum", "hammer", "drip", "clock", "piano", "chop")
STEADY = ("rain", "engine", "wind")
KINDS = IMPACTS + STEADY
GALLERY: dict[str, Kind] = {
    kind.name: kind for kind in (*(BALL, DRUM, HAMMER, DRIP, CLOCK, PIANO, CHOP, RAIN, ENGINE, WIND),)
}


def named(name: str) -> Kind:
    """The kind of that name, SILENCE included, or a ValueError that names what there is."""
    if name == SILENCE.name:
        return SILENCE
    if name not in GALLERY:
        raise ValueError(f"kind is {name!r}; expected one of {', '.join(GALLERY)}")
    return GALLERY[name]
