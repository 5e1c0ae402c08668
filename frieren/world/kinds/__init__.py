"""The kinds of FoleyWorld, one file each: how a kind is simulated, how it is rendered and what it sounds like.

To add a kind: write `kinds/NAME.py`, import its `Kind` here, put it into `ALL`, and raise `WORLD_VERSION`, since the
cycle of main kinds gets longer. docs/foleyworld.md, "Add a kind", shows a whole one.
"""

from __future__ import annotations

from typing import Any

from frieren.world.kind import FAMILIES, Kind
from frieren.world.kinds.ball import BALL
from frieren.world.kinds.clap import CLAP
from frieren.world.kinds.clock import CLOCK
from frieren.world.kinds.drill import DRILL
from frieren.world.kinds.drip import DRIP
from frieren.world.kinds.engine import ENGINE
from frieren.world.kinds.fire import FIRE
from frieren.world.kinds.flute import FLUTE
from frieren.world.kinds.kettle import KETTLE
from frieren.world.kinds.kit import KIT
from frieren.world.kinds.knock import KNOCK
from frieren.world.kinds.piano import PIANO
from frieren.world.kinds.pluck import PLUCK
from frieren.world.kinds.punch import PUNCH
from frieren.world.kinds.roll import ROLL
from frieren.world.kinds.row import BELL, CLINK
from frieren.world.kinds.rub import SAW, SCRAPE
from frieren.world.kinds.shatter import SHATTER
from frieren.world.kinds.silence import SILENCE
from frieren.world.kinds.siren import SIREN
from frieren.world.kinds.steps import STEPS
from frieren.world.kinds.strike import CHOP, DRUM, HAMMER
from frieren.world.kinds.typing import TYPING
from frieren.world.kinds.water import STREAM, WAVES
from frieren.world.kinds.weather import RAIN, WIND
from frieren.world.kinds.wheel import WHEEL

__all__ = ["FAMILIES", "GALLERY", "IMPACTS", "SILENCE", "STEADY", "Kind", "named"]

ALL = (
    *(BALL, HAMMER, DRIP, CHOP, CLINK, SHATTER, KNOCK, PUNCH),
    *(RAIN, ENGINE, WIND, FIRE, STREAM, WAVES, ROLL, SCRAPE, SAW, WHEEL, DRILL),
    *(PIANO, BELL, SIREN, KETTLE, PLUCK, FLUTE),
    *(DRUM, CLOCK, STEPS, TYPING, CLAP, KIT),
)
GALLERY: dict[str, Kind[Any]] = {kind.name: kind for kind in ALL}
IMPACTS = tuple(name for name, kind in GALLERY.items() if kind.builds)  # what has contacts
STEADY = tuple(name for name, kind in GALLERY.items() if kind.voices)  # what sounds on


def named(name: str) -> Kind[Any]:
    """The kind of that name, SILENCE included, or a ValueError that names what there is."""
    if name == SILENCE.name:
        return SILENCE
    if name not in GALLERY:
        raise ValueError(f"kind is {name!r}; expected one of {', '.join(GALLERY)}")
    return GALLERY[name]
