"""FoleyWorld: a procedural world whose every sound has a visible cause at a known instant."""

from frieren.world.clips import LEVELS, SECONDS, SPLITS, WORLD_VERSION, Clip, clip, example
from frieren.world.kinds import FAMILIES, GALLERY, IMPACTS, KINDS, Kind

__all__ = ["FAMILIES", "GALLERY", "IMPACTS", "KINDS", "LEVELS", "SECONDS", "SPLITS", "WORLD_VERSION", "Clip", "Kind"]
__all__ += ["clip", "example"]
