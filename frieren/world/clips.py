"""Clips: a pure function from (split, index) to a video and its sound.

from frieren.world import clip, example
first = clip("train", 0, Clock(fps=25.0))
bell = example("bell", 0, Clock(fps=25.0))
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren.clock import Clock
from frieren.world import voices
from frieren.world.camera import (
    Camera,
    Capture,
    Occluder,
    background,
    degrade,
    draw_camera,
    draw_capture,
    draw_occluders,
)
from frieren.world.canvas import Canvas, Pose
from frieren.world.kind import Task
from frieren.world.kinds import FAMILIES, GALLERY, IMPACTS, SILENCE, STEADY, Kind, named
from frieren.world.matter import placed
from frieren.world.script import Activity, Event, Source, shift_is_visible

WORLD_VERSION = 2  # any change of a clip's content raises it
SECONDS = 8.0
SPLITS = ("train", "valid", "test")
LEVELS = 4
# Pairs of kind and material, a fifth of all, that occur in `test` alone.
UNSEEN = frozenset(
    {
        *(("ball", "glass"), ("hammer", "stone"), ("chop", "plastic"), ("knock", "metal"), ("punch", "bag")),
        *(("roll", "metal"), ("scrape", "stone"), ("drill", "wood"), ("bell", "steel"), ("flute", "metal")),
        *(("steps", "gravel"), ("typing", "metal")),
    }
)


def _cycle() -> tuple[str, ...]:
    """The main kinds in turn: one of each family after the other, and silence three times, about a tenth."""
    families = ([name for name, kind in GALLERY.items() if kind.family == family] for family in FAMILIES)
    names = [name for name in chain(*zip_longest(*families)) if name is not None]
    third = len(names) // 3
    return (*names[:third], SILENCE.name, *names[third : 2 * third], SILENCE.name, *names[2 * third :], SILENCE.name)


CYCLE = _cycle()
COMPANY = ((1, 0, 0, 0), (1, 0, 0, 0), (0, 0.7, 0.3, 0), (0.25, 0.4, 0.2, 0.15))  # shares of 1 to 4 sources per level
# Names in looks of the colours of what moves.
MOVING = ("colour", "tip", "drop", "hand", "bob", "finger", "mark", "leaves", "vapour", "air", "string", "shoe", "foam")
EDGE = 0.02  # share of the screen within which a contact counts as off screen


@dataclass(frozen=True)
class Clip:
    """One clip of FoleyWorld.

    Attributes:
        split, index: which clip it is; of an example, kind and level stand in place of the split.
        level: difficulty, 0..3.
        kinds: what sounds, main kind first; empty for a silent clip.
        images: [F, 3, H, W] uint8 RGB, or None if it was asked for without a picture.
        times: [F] seconds at which each frame is displayed.
        wave: [S] float32, or None if it was asked for without sound.
        sample_rate: Hz.
        seconds: length of the clip.
        capture: the camera's own frame rate, exposure and shape of picture; `images` show its frames stretched to their
            own shape, each as long as it is the last one taken.
        events: contacts of all sources in order of time, those that cannot be seen included.
        activities: sustained sounds.
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
    capture: Capture
    events: tuple[Event, ...]
    activities: tuple[Activity, ...]

    @property
    def unseen(self) -> bool:
        """Whether something sounds whose pair of kind and material occurs in `test` alone."""
        sounding = [
            *((one.kind, one.material) for one in self.events),
            *((one.kind, one.material) for one in self.activities),
        ]
        return any(pair in UNSEEN for pair in sounding)

    @property
    def timed(self) -> bool:
        """Whether a shift of the sound against the video is visible (`script.shift_is_visible`)."""
        return shift_is_visible(self.events, self.activities)


@dataclass(frozen=True)
class Scene:
    """The script of a clip and where its sources stand, back to front."""

    kind: str
    level: int
    sources: tuple[Source[Any], ...]
    poses: tuple[Pose, ...]
    capture: Capture
    camera: Camera
    occluders: tuple[Occluder, ...]


def generator(split: str, index: int, name: str) -> np.random.Generator:
    """The random numbers of one part of one clip; parts have their own, so that none changes another."""
    digest = hashlib.sha256(f"foleyworld {WORLD_VERSION} {split} {index} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def clip(
    split: str,
    index: int,
    clock: Clock,
    size: int | tuple[int, int] = 64,
    *,
    square: bool = True,
    picture: bool = True,
    sound: bool = True,
    device: torch.device | str = "cpu",
) -> Clip:
    """Clip number `index` of a split: the same for everybody to within rounding.

    Args:
        split: one of SPLITS.
        index: 0, 1, ...; level and main kind cycle with it, so that all pairs occur equally often.
        clock: gives sample rate and frames per second; the script does not depend on it.
        size: pixels: side of a square, to which the picture is stretched as models do; or (height, width).
        square: False: a `size` of one number is the shorter side of the capture's own shape.
        picture, sound: leave out what is not wanted.
        device: draws the picture; the sound is the processor's.

    Raises:
        ValueError: for an unknown split or a negative index.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index must not be negative, got {index}")
    scene = stage(split, index)
    shape = _shape(scene.capture, size, square) if picture else None
    return _shoot(scene, split, index, clock, shape, sound, device)


def example(
    kind: str,
    index: int,
    clock: Clock,
    size: int | tuple[int, int] = 64,
    *,
    level: int = 0,
    square: bool = True,
    picture: bool = True,
    sound: bool = True,
    device: torch.device | str = "cpu",
) -> Clip:
    """Example number `index` of one kind, of all of its materials; no clip of a split is among them.

    Args:
        kind: a name of GALLERY, or "silence".
        index, clock, size, square, picture, sound, device: as for `clip`.
        level: difficulty, 0..3.

    Raises:
        ValueError: for an unknown kind or level, or a negative index.
    """
    if level not in range(LEVELS):
        raise ValueError(f"level is {level!r}; expected 0 to {LEVELS - 1}")
    if index < 0:
        raise ValueError(f"index must not be negative, got {index}")
    split = f"{named(kind).name} {level}"
    scene = compose(kind, level, split, index)
    shape = _shape(scene.capture, size, square) if picture else None
    return _shoot(scene, split, index, clock, shape, sound, device)


def _shape(capture: Capture, size: int | tuple[int, int], square: bool) -> tuple[int, int]:
    if not isinstance(size, int):
        return size
    return (size, size) if square else capture.shape(size)


def _shoot(
    scene: Scene,
    split: str,
    index: int,
    clock: Clock,
    shape: tuple[int, int] | None,
    sound: bool,
    device: torch.device | str,
) -> Clip:
    times = np.array(clock.frame_times(clock.frames(SECONDS)))
    events = sorted((event for source in scene.sources for event in source.events), key=lambda event: event.time)
    activities = tuple(source.activity for source in scene.sources if source.activity is not None)
    kinds = tuple(dict.fromkeys(s.kind for s in _main_first(scene) if s.events or s.activity is not None))
    images = render_images(scene, split, index, clock, shape, device).cpu().numpy() if shape else None
    wave = _record(scene, split, index, clock) if sound else None
    return Clip(
        split=split,
        index=index,
        level=scene.level,
        kinds=kinds,
        images=images,
        times=times,
        wave=wave,
        sample_rate=clock.sample_rate,
        seconds=SECONDS,
        capture=scene.capture,
        events=tuple(events),
        activities=activities,
    )


def _main_first(scene: Scene) -> list[Source[Any]]:
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
    sources, taken = list[Source[Any]](), list[float]()
    for name, mute in cast:
        task = Task(named(name), SECONDS, tuple(taken), mute, _materials(named(name), split))
        source = task.kind.simulate(task, script, look)
        taken += [event.time for event in source.events]
        sources.append(source)
    capture, camera = draw_capture(lens, level), draw_camera(lens, level, SECONDS)
    wide, tall = (1 / part for part in capture.aspect_scale)
    poses = _poses(look, [named(name) for name, _ in cast], wide, tall)
    if level == 3 and len(cast) > 1 and not named(cast[-1][0]).fills and script.random() < 0.3:  # off screen
        poses[-1] = replace(poses[-1], x=0.5 + 1.2 * wide * float(script.choice([-1, 1])))
    occluders = draw_occluders(lens, level, SECONDS, poses[0].x, poses[0].y, wide)
    if level < 2:
        poses = [_in_view(source, pose, capture, camera) for source, pose in zip(sources, poses, strict=True)]
    sources = [_seen(source, pose, capture, camera, occluders) for source, pose in zip(sources, poses, strict=True)]
    return Scene(kind, level, tuple(sources[::-1]), tuple(poses[::-1]), capture, camera, occluders)


def _materials(kind: Kind[Any], split: str) -> tuple[str, ...]:
    """What a source may be made of: in `train` and `valid`, pairs that `test` keeps for itself do not occur."""
    return tuple(name for name in kind.materials if (kind.name, name) not in UNSEEN or split not in ("train", "valid"))


def _cast(rng: np.random.Generator, kind: str, level: int) -> list[tuple[str, bool]]:
    """(kind, mute) of each source, main first unless it fills the picture: then it is the last, behind all others.

    One source below level 2, two or three at level 2, one to four at level 3: more that sound, or move silently. Only
    what has contacts may be mute: there the picture tells, as it stops short of them.
    """
    count = int(rng.choice([1, 2, 3, 4], p=COMPANY[level]))
    silent = kind == SILENCE.name
    cast = [_mover(rng, IMPACTS) if silent else (kind, False)]
    while len(cast) < count:
        sort = rng.choice(["impact", "steady", "silent"], p=[0, 0, 1] if silent else [0.4, 0.25, 0.35])
        if sort == "silent":
            cast.append(_mover(rng, IMPACTS))
            continue
        there = {name for name, _ in cast}
        kinds = [named(name) for name in (IMPACTS if sort == "impact" else STEADY) if name not in there]
        if any(named(name).fills for name in there):
            kinds = [kind for kind in kinds if not kind.fills]
        cast.append((str(rng.choice([kind.name for kind in kinds])), False))
    return sorted(cast, key=lambda one: named(one[0]).fills)


def _mover(rng: np.random.Generator, kinds: tuple[str, ...]) -> tuple[str, bool]:
    """What moves without a sound: a silent thing, or one of `kinds` that never touches."""
    return (SILENCE.name, True) if rng.random() < 0.5 else (str(rng.choice(kinds)), True)


def _poses(rng: np.random.Generator, kinds: list[Kind[Any]], wide: float, tall: float) -> list[Pose]:
    """One pose per source: large when alone, else side by side along the longer side of the frame, or in a square.

    Args:
        wide, tall: how much of the scene the frame shows, at least 1.
    """
    count, poses = len(kinds), []
    along = rng.permutation({1: [0.0], 2: [-0.23, 0.23], 3: [-0.29, 0.0, 0.29], 4: [-0.24, 0.24, -0.24, 0.24]}[count])
    scales = {1: (0.3, 0.48), 2: (0.24, 0.33), 3: (0.19, 0.27), 4: (0.19, 0.25)}[count]
    for number, kind in enumerate(kinds):
        scale, x, y = rng.uniform(*scales), along[number], 0.0
        if count == 4:  # two rows
            x, y = (-0.24, 0.24, -0.24, 0.24)[number], (-0.24, -0.24, 0.24, 0.24)[number]
        elif tall > wide or (tall == wide and rng.random() < 0.2):
            x, y = y, x
        free = 0.12 if count == 1 else 0.06
        x, y = wide * (x + rng.uniform(-free, free)), tall * (y + rng.uniform(-free, free))
        if count == 1:  # nearer to the middle the larger it is
            x, y = (np.clip(v, min(scale, s / 2) - s / 2, s / 2 - min(scale, s / 2)) for v, s in ((x, wide), (y, tall)))
            if kind.near and rng.random() < 0.25:
                scale *= 1.35
        tilt = rng.normal(0, 0.12)
        if kind.tilts and rng.random() < 0.15:
            tilt += rng.choice([-0.5, 0.5]) * np.pi * rng.uniform(0.5, 1.0)
        mirror = bool(kind.mirrors and rng.random() < 0.5)
        poses.append(Pose(0.5 + float(x), 0.5 + float(y), float(scale), float(tilt), mirror))
    return poses


def _in_view(source: Source[Any], pose: Pose, capture: Capture, camera: Camera) -> Pose:
    """The pose, smaller and nearer to the middle if otherwise a contact would fall off the picture."""
    while not all(event.visible for event in _seen(source, pose, capture, camera, ()).events):
        pose = replace(pose, x=(pose.x + 0.5) / 2, y=(pose.y + 0.5) / 2, scale=0.85 * pose.scale)
    return pose


def _seen(
    source: Source[Any], pose: Pose, capture: Capture, camera: Camera, occluders: tuple[Occluder, ...]
) -> Source[Any]:
    """The source with its events at their places on screen, and visible only where they are."""
    across, down = capture.aspect_scale
    if source.activity is not None and abs(pose.x - 0.5) * across > 0.7:
        source = replace(source, activity=replace(source.activity, visible=False))
    if not source.events:
        return source
    view = camera.at(np.array([event.time for event in source.events]))
    places = view.apply(*pose.apply([event.x for event in source.events], [event.y for event in source.events]))
    events = []
    for event, x, y in zip(source.events, *places, strict=True):
        u, v = 0.5 + across * (x - 0.5), 0.5 + down * (y - 0.5)
        inside = EDGE < u < 1 - EDGE and EDGE < v < 1 - EDGE
        hidden = any(occluder.hides(x, y, event.time) for occluder in occluders)
        events.append(placed(event, u, v, inside and not hidden))
    return replace(source, events=tuple(events))


def _colours(scene: Scene) -> np.ndarray:
    """[N, 3] the colours of the main source that its background should not have."""
    look = _main_first(scene)[0].look
    return np.array([getattr(look, name) for name in MOVING if hasattr(look, name)]).reshape(-1, 3)


def render_images(
    scene: Scene, split: str, index: int, clock: Clock, shape: tuple[int, int], device: torch.device | str
) -> Tensor:
    """The picture [T, 3, *shape] uint8 of a scene, drawn on `device`; the same on each to within rounding."""
    moments, which = scene.capture.shown(np.array(clock.frame_times(clock.frames(SECONDS))))
    times = scene.capture.instants(moments)
    view, aspect_scale = scene.camera.at(times), scene.capture.aspect_scale
    ground = generator(split, index, "ground")
    pixels = background(
        ground, scene.level, scene.camera.behind(times), (len(times), *shape), aspect_scale, _colours(scene), device
    )
    for source, pose in zip(scene.sources, scene.poses, strict=True):
        kind = named(source.kind)
        kind.render(Canvas(pixels, view, (1.0, 1.0) if kind.fills else aspect_scale), pose, source, times)
    # A passer-by is close to the lens: the camera's own motion does not move it.
    front = Canvas(pixels, Camera(0).at(times), aspect_scale)
    for occluder in scene.occluders:
        occluder.render(front, times)
    pixels = pixels.unflatten(1, (len(moments), -1)).mean(2)
    images = degrade(pixels, generator(split, index, "film"), generator(split, index, "grain"), scene.level, moments)
    return images[torch.from_numpy(which).to(images.device)]
