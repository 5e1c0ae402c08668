"""Puppet world: textured parts that move as people and things do, filmed in grey, whose blows are known instants."""

from frieren.world.puppets.clips import Puppets, clip

__all__ = ["Puppets", "clip"]
