"""FoleyWorld: a procedural world whose every sound has a visible cause at a known instant."""

from frieren.world.clips import LEVELS, SECONDS, SPLITS, UNSEEN, WORLD_VERSION, Clip, clip, example
from frieren.world.kinds import FAMILIES, GALLERY, IMPACTS, STEADY, Kind

__all__ = ["FAMILIES", "GALLERY", "IMPACTS", "LEVELS", "SECONDS", "SPLITS", "STEADY", "UNSEEN", "WORLD_VERSION"]
__all__ += ["Clip", "Kind", "clip", "example"]
