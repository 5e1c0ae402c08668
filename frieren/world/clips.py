"""Clips: a pure function from (split, index) to a moving picture and its sound.

from frieren.world import clip, example
first = clip("train", 0, Clock(fps=25.0))
bell = example("bell", 0, Clock(fps=25.0))
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from frieren.clock import Clock
from frieren.world import voices
from frieren.world.camera import Camera, Screen, background, develop, draw_camera, draw_screens
from frieren.world.canvas import Canvas, Pose
from frieren.world.kinds import IMPACTS, KINDS, SILENCE, STEADY, Kind, named
from frieren.world.kinds.matter import Task, placed
from frieren.world.script import Activity, Event, Source

WORLD_VERSION = 1  # any change of a clip's content raises it
SECONDS = 8.0
SPLITS = ("train", "valid", "test")
LEVELS = 4
CYCLE = (*KINDS, SILENCE.name)
# Names in looks of the colours of what moves.
MOVING = ("colour", "tip", "drop", "hand", "bob", "finger", "mark", "leaves", "vapour", "air", "string", "shoe", "foam")
EDGE = 0.02  # screen units within which a contact counts as off screen


@dataclass(frozen=True)
class Clip:
    """One clip of FoleyWorld.

    Attributes:
        split, index: which clip it is; of an example, kind and level stand in place of the split.
        level: difficulty, 0..3.
        kinds: what sounds, main kind first; empty for a silent clip.
        images: [F, 3, H, W] uint8 RGB, or None if it was asked for without a picture.
        times: [F] seconds at which each frame comes on screen.
        wave: [S] float32, or None if it was asked for without sound.
        sample_rate: Hz.
        seconds: length of the clip.
        events: contacts of all sources in order of time, those that cannot be seen included.
        activities: sounds that go on.
    """

    split: str
    index: int
    level: int
    kinds: tuple[str, ...]
    images: np.ndarray | None
    times: np.ndarray
    wave: np.ndarray | None
    sample_rate: int
    seconds: float
    events: tuple[Event, ...]
    activities: tuple[Activity, ...]

    @property
    def timed(self) -> bool:
        """Whether a shift of the sound can be seen.

        Two visible impacts show it, or a visible activity that is at some time twice as loud as at another.
        """
        changing = any(one.visible and one.loudness.max() > 2 * one.loudness.min() for one in self.activities)
        return changing or sum(event.visible for event in self.events) >= 2


@dataclass(frozen=True)
class Scene:
    """The script of a clip and where its sources stand, back to front."""

    kind: str
    level: int
    sources: tuple[Source, ...]
    poses: tuple[Pose, ...]
    camera: Camera
    screens: tuple[Screen, ...]


def generator(split: str, index: int, name: str) -> np.random.Generator:
    """The random numbers of one part of one clip; parts have their own, so that none changes another."""
    digest = hashlib.sha256(f"foleyworld {WORLD_VERSION} {split} {index} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def clip(
    split: str, index: int, clock: Clock, size: int | tuple[int, int] = 64, *, picture: bool = True, sound: bool = True
) -> Clip:
    """Clip number `index` of a split: the same for everybody to within rounding.

    Args:
        split: one of SPLITS.
        index: 0, 1, ...; level and main kind cycle with it, so that all pairs occur equally often.
        clock: gives sample rate and frames per second; the script does not depend on it.
        size: side of the picture in pixels, or (height, width); another shape stretches the same picture.
        picture, sound: leave out what is not wanted.

    Raises:
        ValueError: for an unknown split or a negative index.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index must not be negative, got {index}")
    return _shoot(stage(split, index), split, index, clock, size, picture, sound)


def example(
    kind: str,
    index: int,
    clock: Clock,
    size: int | tuple[int, int] = 64,
    *,
    level: int = 0,
    picture: bool = True,
    sound: bool = True,
) -> Clip:
    """Example number `index` of one kind, in the splits or not; no clip of a split is among them.

    Args:
        kind: a name of GALLERY, or "silence".
        index, clock, size, picture, sound: as for `clip`.
        level: difficulty, 0..3.

    Raises:
        ValueError: for an unknown kind or level, or a negative index.
    """
    if level not in range(LEVELS):
        raise ValueError(f"level is {level!r}; expected 0 to {LEVELS - 1}")
    if index < 0:
        raise ValueError(f"index must not be negative, got {index}")
    split = f"{named(kind).name} {level}"
    return _shoot(compose(kind, level, split, index), split, index, clock, size, picture, sound)


def _shoot(
    scene: Scene, split: str, index: int, clock: Clock, size: int | tuple[int, int], picture: bool, sound: bool
) -> Clip:
    times = np.array(clock.frame_times(clock.frames(SECONDS)))
    events = sorted((event for source in scene.sources for event in source.events), key=lambda event: event.time)
    activities = tuple(source.activity for source in scene.sources if source.activity is not None)
    kinds = tuple(dict.fromkeys(s.kind for s in _main_first(scene) if s.events or s.activity is not None))
    images = film(scene, split, index, clock, size) if picture else None
    wave = _record(scene, split, index, clock) if sound else None
    return Clip(
        split, index, scene.level, kinds, images, times, wave, clock.sample_rate, SECONDS, tuple(events), activities
    )


def _main_first(scene: Scene) -> list[Source]:
    return sorted(scene.sources, key=lambda source: source.kind != scene.kind)


def _record(scene: Scene, split: str, index: int, clock: Clock) -> np.ndarray:
    rng = generator(split, index, "sound")
    return voices.sound(scene.sources, voices.draw_room(rng, scene.level), SECONDS, clock.sample_rate, rng)


def stage(split: str, index: int) -> Scene:
    """The script of a clip of a split; level and main kind cycle with the index."""
    return compose(CYCLE[(index // LEVELS) % len(CYCLE)], index % LEVELS, split, index)


def compose(kind: str, level: int, split: str, index: int) -> Scene:
    """Write a script: who is there, what they do, and what the camera sees of it; random by split and index."""
    script, look, lens = (generator(split, index, name) for name in ("script", "look", "camera"))
    cast = _cast(script, kind, level)
    sources, taken = [], []
    for name, mute in cast:
        source = named(name).write(Task(named(name), SECONDS, tuple(taken), mute), script, look)
        taken += [event.time for event in source.events]
        sources.append(source)
    poses = _poses(look, [named(name) for name, _ in cast], level, script.random() < 0.3)
    camera = draw_camera(lens, level, SECONDS)
    screens = draw_screens(lens, level, SECONDS, poses[0].x, poses[0].y)
    if level < 2:
        poses = [_in_view(source, pose, camera) for source, pose in zip(sources, poses, strict=True)]
    sources = [_seen(source, pose, camera, screens) for source, pose in zip(sources, poses, strict=True)]
    back_first = list(range(len(sources)))[::-1]
    return Scene(
        kind, level, tuple(sources[i] for i in back_first), tuple(poses[i] for i in back_first), camera, screens
    )


def _cast(rng: np.random.Generator, kind: str, level: int) -> list[tuple[str, bool]]:
    """(kind, mute) of each source, main first: company and silent movers from level 2 on; rain and wind stay behind."""
    if kind == SILENCE.name:
        other = str(rng.choice(IMPACTS + ("engine",)))
        count = 1 + (level >= 2)
        return [(other, True) if rng.random() < 0.6 else (SILENCE.name, True) for _ in range(count)]
    cast = [(kind, False)]
    if level < 2:
        return cast
    if not named(kind).builds:  # what has no contacts
        if rng.random() < 0.5:
            cast.insert(0, (str(rng.choice(IMPACTS)), False))
    else:
        if rng.random() < 0.3:
            cast.append((str(rng.choice(IMPACTS)), False))
        if rng.random() < 0.33:
            cast.append((str(rng.choice(STEADY)), False))
    if len(cast) == 1 or rng.random() < 0.4:
        cast.append((SILENCE.name, True) if rng.random() < 0.6 else (str(rng.choice(IMPACTS)), True))
    return cast[:3]


def _poses(rng: np.random.Generator, kinds: list[Kind], level: int, off_screen: bool) -> list[Pose]:
    """One pose per source: large when alone, side by side in company; at level 3 one may be off screen."""
    poses, many = [], len(kinds) > 1
    places = rng.permutation([0.26, 0.74, 0.5])[: len(kinds)] if len(kinds) > 2 else rng.permutation([0.28, 0.72])
    for number, kind in enumerate(kinds):
        x, y = (
            (places[number] + rng.uniform(-0.06, 0.06), rng.uniform(0.42, 0.58)) if many else rng.uniform(0.38, 0.62, 2)
        )
        scale = rng.uniform(0.25, 0.33) if many else rng.uniform(0.3, 0.48)
        if not many:  # nearer to the middle the larger it is
            x, y = np.clip((x, y), min(scale, 0.47), 1 - min(scale, 0.47))
            if kind.near and rng.random() < 0.25:
                scale *= 1.35
        if level == 3 and many and number == len(kinds) - 1 and off_screen and not kind.fills:
            x = float(rng.choice([-0.7, 1.7]))
        tilt = rng.normal(0, 0.12)
        if kind.tilts and rng.random() < 0.15:
            tilt += rng.choice([-0.5, 0.5]) * np.pi * rng.uniform(0.5, 1.0)
        poses.append(Pose(float(x), float(y), float(scale), float(tilt), bool(kind.mirrors and rng.random() < 0.5)))
    return poses


def _in_view(source: Source, pose: Pose, camera: Camera) -> Pose:
    """The pose, smaller and nearer to the middle if otherwise a contact would fall off the picture."""
    while not all(event.visible for event in _seen(source, pose, camera, ()).events):
        pose = replace(pose, x=(pose.x + 0.5) / 2, y=(pose.y + 0.5) / 2, scale=0.85 * pose.scale)
    return pose


def _seen(source: Source, pose: Pose, camera: Camera, screens: tuple[Screen, ...]) -> Source:
    """The source with its events at their places on screen, and visible only where they are."""
    outside = not (-0.2 < pose.x < 1.2)
    if source.activity is not None and outside:
        source = replace(source, activity=replace(source.activity, visible=False))
    if not source.events:
        return source
    view = camera.at(np.array([event.time for event in source.events]))
    x, y = pose.apply([event.x for event in source.events], [event.y for event in source.events])
    x, y = view.apply(x, y)
    events = []
    for event, u, v in zip(source.events, x, y, strict=True):
        inside = EDGE < u < 1 - EDGE and EDGE < v < 1 - EDGE
        hidden = any(screen.hides(u, v, event.time) for screen in screens)
        events.append(placed(event, u, v, inside and not hidden))
    return replace(source, events=tuple(events))


def _colours(scene: Scene) -> np.ndarray:
    """[N, 3] the colours of the main source that its background should not have."""
    look = _main_first(scene)[0].look
    return np.array([look[name] for name in MOVING if name in look]).reshape(-1, 3)


def film(scene: Scene, split: str, index: int, clock: Clock, size: int | tuple[int, int]) -> np.ndarray:
    """The picture [F, 3, H, W] uint8 of a scene."""
    height, width = (size, size) if isinstance(size, int) else size
    times = np.array(clock.frame_times(clock.frames(SECONDS)))
    view = scene.camera.at(times)
    shape = (len(times), height, width)
    pixels = background(generator(split, index, "ground"), scene.level, view, shape, _colours(scene))
    canvas = Canvas(pixels, view)
    for source, pose in zip(scene.sources, scene.poses, strict=True):
        named(source.kind).draw(canvas, pose, source, times)
    # A passer-by is close to the lens: the camera's own motion does not move it.
    front = Canvas(pixels, Camera(0).at(times))
    for screen in scene.screens:
        screen.draw(front, times)
    return develop(pixels, generator(split, index, "film"), generator(split, index, "grain"), scene.level, clock.fps)
