"""The kinds of FoleyWorld: each has a law of motion (write) and a drawing (draw)."""

from __future__ import annotations

from types import ModuleType

from frieren.world.kinds import ball, drip, engine, mute, piano, strike, tick, weather

SILENCE = "silence"
ROOMS: dict[str, ModuleType] = {
    "ball": ball,
    "drum": strike,
    "hammer": strike,
    "drip": drip,
    "clock": tick,
    "piano": piano,
    "chop": strike,
    "rain": weather,
    "engine": engine,
    "wind": weather,
    SILENCE: mute,
}
IMPACTS = ("ball", "drum", "hammer", "drip", "clock", "piano", "chop")
STEADY = ("rain", "engine", "wind")
KINDS = IMPACTS + STEADY
