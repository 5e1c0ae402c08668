"""frieren: a silent video gets its soundtrack.

    import frieren
    model = frieren.load("mini")
    model.generate("clip.mp4", seed=0).save("clip_with_sound.mp4")

Importing this costs nothing: what needs torch is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frieren.clock import Clock
from frieren.errors import ArrayError, FrierenError, OutputError, VideoError, WeightsError
from frieren.frames import Frames
from frieren.version import __version__ as __version__

if TYPE_CHECKING:
    from frieren.catalogue import load, models
    from frieren.pipeline import Model
    from frieren.remux import write_video
    from frieren.soundtrack import Sound
    from frieren.video import read_frames

__all__ = [
    "ArrayError",
    "Clock",
    "Frames",
    "FrierenError",
    "Model",
    "OutputError",
    "Sound",
    "VideoError",
    "WeightsError",
    "load",
    "models",
    "read_frames",
    "write_video",
]

# Public name -> the module and the name there.
_LAZY = {
    "Model": ("frieren.pipeline", "Model"),
    "Sound": ("frieren.soundtrack", "Sound"),
    "load": ("frieren.catalogue", "load"),
    "models": ("frieren.catalogue", "models"),
    "read_frames": ("frieren.video", "read_frames"),
    "write_video": ("frieren.remux", "write_video"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'frieren' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
