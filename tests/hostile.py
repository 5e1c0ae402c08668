"""Readers that do what the reader of a hostile file might do; `frieren.isolation` runs them."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable

from frieren.apps.checks import MissingExtraError
from frieren.errors import OutputError
from frieren.heartbeat import Heartbeat


def double(path: str, number: int, on_frame: Callable[[int, int], None] | None = None) -> dict[str, int]:
    print("libraries print")
    warnings.warn(f"{path} is odd", stacklevel=1)
    if on_frame:
        on_frame(1, 2)
    return {"doubled": 2 * number}


def crash(path: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(path: str) -> None:
    os._exit(3)


def hang(path: str) -> None:
    time.sleep(1000)


def be_slow(path: str) -> str:
    for _ in range(4):
        time.sleep(0.6)
        Heartbeat.beat()
    return "done"


def spin(path: str) -> None:
    while True:
        Heartbeat.beat()


def eat(path: str) -> None:
    held = []
    while True:
        held.append(bytearray(2**26))


def refuse(path: str) -> None:
    raise OutputError(f"{path}: refused")


def lack(path: str) -> None:
    raise MissingExtraError("this needs x")


def fail(path: str) -> None:
    raise KeyError("steps")


def print_nonsense(path: str) -> None:
    os.write(3, b"\\0" * 100)  # the pipe to the parent, which the process has before any other file
    os._exit(0)
