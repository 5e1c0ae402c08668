"""Cases of the media suite, and what becomes of one: `frieren generate` on a film, measured without our own reader.

A stub in place of the model gives a soundtrack that clicks where the film flashes.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from films import EVEN, FLASH, FRAMES, grey_indices

import frieren
from frieren.apps.cli import main
from frieren.formats import CONTAINERS
from frieren.video import probe

RATE = 16_000
TOLERANCE = 0.010  # seconds between flash and click
TICK = 0.0021  # seconds by which times may be rounded: two of Matroska's


@dataclass(frozen=True)
class Case:
    """A film and what is to become of it.

    Attributes:
        name: what is special about the film.
        group: heading in the table.
        make: writes the film into a folder.
        out: name of the output; by default ours.
        options: of `frieren generate`.
        times: seconds at which the frames are displayed in the output but for a shift; None where damage decides.
    """

    name: str
    group: str
    make: Callable[[Path], Path]
    out: str = ""
    options: tuple[str, ...] = ()
    times: Sequence[float] | None = EVEN


@dataclass
class Clicks:
    """A model whose sound is one click, at `second` of the film."""

    second: float

    def takes(self, source: Path, seeds: list[int], **_: object) -> Iterator[frieren.Sound]:
        wave = torch.zeros(max(RATE // 20, round(probe(source).seconds * RATE)))
        at = min(round(self.second * RATE), len(wave) - 16)
        wave[at : at + 16] = torch.tensor([0.9, -0.9] * 8)
        record = {"wave_sha256": "", "options": {}}
        yield from (frieren.Sound(wave, RATE, source, record) for _ in seeds)


def generated(case: Case, source: Path, out: Path) -> tuple[int, str]:
    """Exit code of `frieren generate`, and what it said."""
    flash = 0.0 if case.times is None else case.times[min(FLASH, len(case.times) - 1)] - case.times[0]
    said, before = io.StringIO(), frieren.__dict__.get("load")
    frieren.load = lambda *_, **__: Clicks(flash)  # type: ignore[attr-defined]
    try:
        target = str(out / case.out) if case.out else f"{out}/"
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main(["generate", str(source), "-o", target, "--loudness", "off", *case.options])
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    finally:
        del frieren.load  # type: ignore[attr-defined]
        if before is not None:
            frieren.load = before  # type: ignore[attr-defined]
    return 0, said.getvalue()


def outcome(case: Case, folder: Path) -> str:
    """What became of a film in one line: "mp4, copied, 12 frames", or why it was refused; faults stand in capitals."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    source = case.make(folder / "in")
    code, said = generated(case, source, folder / "out")
    left = sorted(path for path in (folder / "out").iterdir() if path.suffix != ".json")
    if code:
        if code == 2:  # in a box
            said = re.search(r"unknown suffix '\S+'", said)[0]
        message = re.sub(r"^frieren: (warning: )?(.*?: )?", "", said.strip().splitlines()[-1].replace(str(source), "x"))
        return f"exit {code}: {message}" + (f"; LEFT BEHIND {[path.name for path in left]}" if left else "")
    (written,) = left or [None]
    if written is None:
        return "exit 0: NOTHING WRITTEN"
    encoded = "encoded as H.264" in said
    kind = written.suffix[1:] if written.suffix in CONTAINERS else "UNKNOWN"
    words = [kind, "encoded" if encoded else "copied", *measured(case, source, written, encoded)]
    words += re.findall(r"hold its (.*: left out)", said)
    words += ["warned"] * ("warning" in said)
    return ", ".join(words)


def measured(case: Case, source: Path, written: Path, encoded: bool) -> Iterator[str]:
    """The number of frames, and every fault of an output."""
    frames, times, end = decoded(written)
    with av.open(written) as file:
        begin, kept = file.start_time or 0, [packet for packet in file.demux(video=0) if packet.size]
    yield f"{len(kept)} frames"
    if case.times is not None:
        known = np.array(case.times) - case.times[0]
        step = known[-1] - known[-2] if len(known) > 1 else 0.1
        if grey_indices(frames) != [index % FRAMES for index in range(len(known))]:
            yield f"ORDER {grey_indices(frames)}"
        elif np.abs(times - times[0] - known).max() > TICK:
            yield f"TIMES {np.round(times - times[0], 3).tolist()}"
        elif abs(end - times[0] - known[-1] - step) > step + TICK:
            yield f"LENGTH {end - times[0]:.3f}"
        elif abs(click(written) - times[min(FLASH, len(times) - 1)]) > TOLERANCE:
            yield f"CLICK {click(written) - times[min(FLASH, len(times) - 1)]:+.3f}"
    if abs(begin / 1e6) > TICK:
        yield f"BEGINS AT {begin / 1e6:.3f}"
    if not encoded and case.times is not None:
        before, _, _ = decoded(source)
        if len(before) > len(frames) or not np.array_equal(before[-len(frames) :], frames[-len(before) :]):
            yield "PICTURES CHANGED"


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Images [F, h, w, 3] of the video, their times in seconds, and the end of the last one; by PyAV alone."""
    images, times, end = [], [], 0.0
    with av.open(path, metadata_errors="replace") as file:
        stream = max(file.streams.video, key=lambda one: (one.disposition & 0x400 == 0, one.frames != 1))
        for packet in file.demux(stream):
            found = []
            with contextlib.suppress(av.error.FFmpegError):
                found = packet.decode()
            for frame in found:
                image = frame.reformat(format="rgb24", width=min(frame.width, 64), height=min(frame.height, 64))
                images.append(image.to_ndarray())
                stamp = frame.dts if frame.pts is None else frame.pts
                times.append(float((stamp or 0) * frame.time_base))
                end = times[-1] + float((frame.duration or 0) * frame.time_base)
    return np.stack(images), np.array(times), end


def click(path: Path) -> float:
    """Second at which the first sound stream is loudest; by PyAV alone."""
    best, at = 0.0, -1.0
    with av.open(path) as file:
        for frame in file.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(np.float64))
            planar = frame.format.is_planar
            wave = wave.max(axis=0) if planar else wave.reshape(-1, frame.layout.nb_channels).max(axis=1)
            if wave.max() > best:
                best, at = wave.max(), float(frame.pts * frame.time_base) + int(wave.argmax()) / frame.sample_rate
    return at
