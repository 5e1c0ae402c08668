"""Mutated films through decoding and muxing, in a subprocess whose memory and time are limited.

python tests/media/fuzz.py 20000        mutants 0 to 19,999; prints what became of them, and every fault
python tests/media/fuzz.py 1 --first 7  that mutant again

A mutant is a fault if the interpreter crashes, if it takes longer than SECONDS, if memory grows beyond MEMORY, or if it
ends in anything but an output or one line of a FrierenError; or leaves a file behind.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from films import film

SECONDS = 20  # that a mutant may take, on a busy machine too
MEMORY = 2 << 30  # bytes of address space
LONGEST = 6 * 3600  # seconds; `generate` asks about longer films
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def sources(folder: Path) -> list[Path]:
    """The films that are mutated: every common container, with sound where it is usual."""
    sound, plain = [(1.2, 0.0, "mono")], {"bf": "0"}
    made = [
        film(folder / "a.mp4", sounds=sound),
        film(folder / "front.mp4", encoder=plain, sounds=sound, muxer={"movflags": "+faststart"}),
        film(folder / "fragments.mp4", encoder=plain, muxer={"movflags": "frag_keyframe+empty_moov"}),
        film(folder / "a.mov", "libx265", sounds=sound),
        film(folder / "prores.mov", "prores_ks", "yuv422p10le", fixed=25),
        film(folder / "a.mkv", sounds=sound),
        film(folder / "a.webm", "libvpx-vp9", sounds=sound, sound_codec="libopus"),
        film(folder / "a.ts", encoder=plain, sounds=sound),
        film(folder / "a.flv", encoder=plain, sounds=sound),
        film(folder / "a.avi", "mpeg4", fixed=25),
        film(folder / "b.avi", fixed=25, encoder={"x264-params": "bframes=2:b-adapt=0"}),
        film(folder / "a.mpg", "mpeg2video", fixed=25),
        film(folder / "a.wmv", "wmv2", fixed=25, form="asf"),
        film(folder / "a.gif", "gif", "rgb8"),
        film(folder / "a.apng", "apng", "rgb24"),
        film(folder / "a.264", form="h264", encoder=plain),
    ]
    return made


def mutant(films: list[bytes], number: int) -> tuple[int, bytes]:
    """The index of a film, and the film changed in one to four places; the same for a number every time."""
    random = np.random.default_rng(number)
    which = int(random.integers(len(films)))
    data = bytearray(films[which])
    for _ in range(int(random.integers(1, 5))):
        size = len(data)
        # Half of the changes hit the headers and the index, where most of the parsing is.
        edge = min(size, 2000)
        place = int(random.choice([random.integers(edge), size - 1 - random.integers(edge), random.integers(size)]))
        kind, length = int(random.integers(8)), int(random.integers(1, 64))
        if kind == 0:
            data[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[place : place + length] = random.bytes(len(data[place : place + length]))
        elif kind in (2, 3):
            width = int(random.choice([1, 2, 4, 8]))
            value = int(random.choice(EXTREMES)) & (1 << 8 * width) - 1
            data[place : place + width] = value.to_bytes(width, "big" if kind == 2 else "little")
        elif kind == 4:
            del data[place : place + length * 8]
        elif kind == 5:
            data[place:place] = random.bytes(length)
        elif kind == 6:
            data[place:place] = data[place : place + length * 8]
        else:
            del data[max(place, 16) :]
    return which, bytes(data)


def try_one(path: Path, out: Path, number: int) -> str:
    """What becomes of a mutant: "written", "refused" or a fault."""
    from frieren import remux, sounds
    from frieren.errors import FrierenError
    from frieren.openvideo import open_video

    suffix = (".mp4", ".mkv", ".mov")[number % 3]
    try:
        with open_video(path) as video:
            info = video.measure()
        if info.seconds > LONGEST:
            return "refused"
        with open_video(path) as video:
            for _ in islice(video.frames(), 500):
                pass
        sounds.decode(path, until=info.start + min(info.seconds, 60.0))
        wave = np.zeros(round(min(info.seconds, 2.0) * 16_000) + 1, np.float32)
        remux.write_video(path, wave, out / f"b{suffix}", 16_000, as_track=number % 5 == 0)
        (out / f"b{suffix}").unlink()
        return "written"
    except FrierenError as error:
        return "refused" if "\n" not in str(error) else f"two lines: {error}"
    except MemoryError:
        return "refused"  # `generate` says so in one line
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for left in out.iterdir():
            left.unlink()
            print(json.dumps({"number": number, "fault": f"left behind: {left.name}"}), flush=True)


def work(folder: Path, first: int, last: int) -> None:
    """The subprocess: a line of JSON for each mutant."""
    import av

    import frieren.remux  # noqa: F401  before memory is limited

    av.logging.set_level(None)
    warnings.simplefilter("ignore")
    films = sorted((folder / "films").iterdir())
    contents = [path.read_bytes() for path in films]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    (folder / "out").mkdir(exist_ok=True)
    for number in range(first, last):
        which, data = mutant(contents, number)
        path = folder / f"mutant{films[which].suffix}"
        path.write_bytes(data)
        print(json.dumps({"number": number}), flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        begin = time.perf_counter()
        found = try_one(path, folder / "out", number)
        faulthandler.cancel_dump_traceback_later()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = {"number": number, "found": found, "seconds": time.perf_counter() - begin, "memory": memory}
        print(json.dumps(line), flush=True)
        path.unlink()


def run(count: int, first: int = 0) -> tuple[Counter[str], list[str], float, float]:
    """Mutants in a subprocess, which is started again after one that ended it.

    Returns:
        How many were written and refused; the faults; the longest time in seconds; most memory in MB.
    """
    counts, faults, slowest, largest = Counter[str](), [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        sources(folder / "films")
        while count > 0:
            begun = first - 1
            for line in lines(folder, first, first + count):
                begun = line["number"]
                if "fault" in line:
                    faults.append(f"{begun}: {line['fault']}")
                elif "found" in line:
                    counts[line["found"] if line["found"] in ("written", "refused") else "faults"] += 1
                    if line["found"] not in ("written", "refused"):
                        faults.append(f"{begun}: {line['found']}")
                    slowest, largest = max(slowest, line["seconds"]), max(largest, line["memory"] / 1024)
                    count, first = count - 1, first + 1
            if count > 0:
                faults.append(f"{begun}: ended the interpreter: crash, or longer than {SECONDS} s")
                count, first = count - 1, first + 1
    return counts, faults, slowest, largest


def lines(folder: Path, first: int, last: int) -> Iterator[dict]:
    """The lines of one subprocess."""
    command = [sys.executable, __file__, "--worker", str(folder), str(first), str(last)]
    quiet = subprocess.DEVNULL if not os.environ.get("FUZZ_SHOW") else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def report() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts, faults, slowest, largest = run(options.count, options.first)
    print(f"{options.count} mutants: {dict(counts)}, longest {slowest:.1f} s, most memory {largest:.0f} MB")
    print(*faults, sep="\n")
    return bool(faults)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(report())
