"""Plants faults in the package, one at a time, and says which of them no test notices.

    make mutate                                   every fault of tests/mutations.toml
    python tests/mutate.py solver flow            those in files whose path has one of these words

Each fault is planted in a copy of the repository, and only the tests that the list names for its file are run there,
each time in a fresh process. The exit code is the number of faults that survived or that no longer fit the code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutations.toml")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "out", "runs", ".*_cache", "*.mp3", "*.webp", "*.png")
LONGEST = 60  # seconds of a processor that tests may take; a fault that makes them hang or crash is noticed as well
# What tests import and faults are not planted in: loaded once, and inherited by every process.
SHARED = ["pytest", "torch", "torch.utils.data", "numpy", "scipy.stats", "scipy.optimize", "scipy.ndimage", "av"]
SHARED += ["safetensors.torch", "soundfile", "soxr", "typer.testing", "requests", "hypothesis"]
NOTICED, HUNG, SURVIVED, UNFIT, BROKEN = (
    "noticed",
    "hung or crashed",
    "SURVIVED",
    "does not fit the code",
    "tests do not run",
)


@dataclass(frozen=True)
class Mutation:
    """One fault: `old`, which stands once in `file`, becomes `new`; `tests` are pytest's arguments."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_list(path: Path) -> Iterator[Mutation]:
    """The faults of a list: [[files]] with a path, tests, and changes: old text, new text and, if need be, tests."""
    for table in tomllib.loads(path.read_text(encoding="utf-8"))["files"]:
        for old, new, *tests in table["changes"]:
            yield Mutation(table["file"], old, new, tuple(tests or table["tests"]))


def run_tests(folder: str, tests: tuple[str, ...]) -> None:
    """Runs tests of a copy in this process, which ends with pytest's exit code."""
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
    os.environ |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True  # a fault of the same size within a second would not be read again
    sys.path.insert(0, folder)
    for descriptor in (1, 2):
        os.dup2(os.open(Path(folder).with_name("log.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    import pytest

    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]))


def outcome(folder: Path, tests: tuple[str, ...]) -> str:
    """What becomes of the tests in a fresh process."""
    process = multiprocessing.get_context("forkserver").Process(target=run_tests, args=(str(folder), tests))
    process.start()
    process.join()
    code = process.exitcode or 0
    if code < 0:  # ended by a signal
        return HUNG
    return {0: SURVIVED, 1: NOTICED, 2: NOTICED}.get(code, BROKEN)  # 2: not even collected


def plant(folder: Path, mutation: Mutation) -> str:
    """The outcome of one fault; the file is as it was afterwards."""
    path = folder / mutation.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.count(mutation.old) != 1:
        return UNFIT
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return outcome(folder, mutation.tests)
    finally:
        path.write_text(text, encoding="utf-8")


def main(words: list[str], root: Path = ROOT, mutations: Path = LIST, check: bool = True) -> int:
    """Plants the faults in files whose path has one of the words, or all of them.

    With `check` the tests are run without any fault first: tests that fail anyhow would notice everything.
    """
    chosen = [one for one in read_list(mutations) if not words or any(word in one.file for word in words)]
    multiprocessing.get_context("forkserver").set_forkserver_preload(SHARED)
    found: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "copy"
        shutil.copytree(root, folder, ignore=LEFT_OUT)
        for tests in dict.fromkeys(one.tests for one in chosen) if check else ():
            if (sound := outcome(folder, tests)) != SURVIVED:
                print(f"{sound} without any fault: {' '.join(tests)}", flush=True)
                print(folder.with_name("log.txt").read_text())
                return 1
        for done, mutation in enumerate(chosen, 1):
            result = plant(folder, mutation)
            found[result] += 1
            fault = f"{mutation.old.strip()!r} -> {mutation.new.strip()!r}"
            print(f"{done}/{len(chosen)} {result}: {mutation.file}: {fault}", flush=True)
    noticed = found[NOTICED] + found[HUNG]
    rest = ", ".join(f"{count} {result}" for result, count in found.items() if result not in (NOTICED, HUNG))
    print(f"{noticed} of {len(chosen)} noticed{', ' + rest if rest else ''}; {time.monotonic() - began:.0f} s")
    return len(chosen) - noticed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Plants faults one at a time: which does no test notice?")
    parser.add_argument("words", nargs="*", help="only faults in files whose path has one of these words")
    parser.add_argument("--no-check", action="store_true", help="believe that the tests pass without any fault")
    given = parser.parse_args()
    sys.exit(min(main(given.words, check=not given.no_check), 100))
