"""FoleyWorld: a procedural world whose every sound has a visible cause at a known instant."""

from frieren.world.clips import LEVELS, SECONDS, SPLITS, WORLD_VERSION, Clip, clip
from frieren.world.kinds import IMPACTS, KINDS

__all__ = ["IMPACTS", "KINDS", "LEVELS", "SECONDS", "SPLITS", "WORLD_VERSION", "Clip", "clip"]
