"""A function in a process of its own, with limits: a reader of strangers' files may crash, hang or eat memory there.

Nothing is unpickled: arguments and results are JSON, pictures are bytes. On the other side of the pipe nothing is
believed but that.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from typing import IO, Any

from frieren import errors
from frieren.errors import ConfigError, FrierenError, VideoError, reason
from frieren.heartbeat import Heartbeat

HEADER = 64 * 2**20  # bytes of a message but its pictures, at most: a cue sheet
SIZES = struct.Struct(">QQ")  # before each message: lengths of its JSON and of its bytes
TICK = 0.5  # seconds between two signs of life
CODE = "from frieren.isolation import serve; serve()"


@dataclass(frozen=True)
class Limits:
    """What a process may take.

    Attributes:
        memory: bytes of address space; torch alone takes 1 to 3 GB of it.
        seconds: of processor time.
        silence: seconds without a packet read.
    """

    memory: int = 6 * 2**30
    seconds: int = 7200
    silence: float = 120.0


def limits_of(isolate: bool | Limits) -> Limits:
    """The limits that an `isolate` asks for: True is the usual ones."""
    return isolate if isinstance(isolate, Limits) else Limits()


def call(
    function: str,
    *arguments: Any,
    limits: Limits,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Any:
    """The result of a function in a process of its own, as JSON; a dataclass as a table.

    Args:
        function: "module:name"; its first argument is the file that it reads.
        arguments, options: JSON types.
        on_progress: called as the function calls its `on_frame`, but at most twice a second.

    Raises:
        FrierenError: what the function raises.
        VideoError: it crashed, or took more than the limits.
        ConfigError: this system has no such limits.
    """
    if on_progress is not None:
        options["progress"] = True
    for message, _ in converse(function, *arguments, limits=limits, **options):
        if "progress" in message and on_progress is not None:
            done, total = message["progress"]
            on_progress(int(done), int(total))
        if "value" in message:
            return message["value"]
    raise VideoError(f"{arguments[0]}: its reader ended without a result; convert it to .mp4")


def converse(function: str, *arguments: Any, limits: Limits, **options: Any) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The messages of a function in a process of its own, and the bytes that come with each; see `call`."""
    if os.name != "posix":
        raise ConfigError("isolate: this system has no limits for processes; leave it out")
    request = {"function": function, "arguments": arguments, "options": options, "limits": asdict(limits)}
    command, path = [sys.executable, "-c", CODE, json.dumps(request)], arguments[0]
    # A session of its own: Ctrl-C is for the parent, which ends it.
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            while sizes := _read(process, SIZES.size, limits):
                header, data = SIZES.unpack(sizes)
                if header > HEADER or data > limits.memory:
                    raise ValueError
                message = json.loads(_read(process, header, limits))
                yield _heard(message, path), _read(process, data, limits)
            process.wait(limits.silence)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise VideoError(f"{path}: nothing was read for {limits.silence:g} s; convert it to .mp4") from None
        except (ValueError, RecursionError, struct.error):
            raise VideoError(f"{path}: its reader sent nonsense; convert it to .mp4") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
    if process.returncode:
        raise VideoError(f"{path}: {_why(process.returncode, limits)}; convert it to .mp4")


def _read(process: subprocess.Popen[bytes], size: int, limits: Limits) -> bytes:
    """As many bytes as `size` says; fewer at the end.

    Raises:
        TimeoutError: nothing came for as long as the limits say.
    """
    assert process.stdout is not None
    found = bytearray()
    while len(found) < size:
        if not select.select([process.stdout], [], [], limits.silence)[0]:
            raise TimeoutError
        piece = os.read(process.stdout.fileno(), min(size - len(found), 2**20))
        if not piece:
            break
        found += piece
    return bytes(found)


def _heard(message: Any, path: Any) -> dict[str, Any]:
    """A message; a warning in it is passed on, an error raised."""
    if not isinstance(message, dict):
        raise ValueError
    if "warning" in message:
        warnings.warn(str(message["warning"]), stacklevel=4)
    if "error" in message:
        kind, text = message["error"]
        named = getattr(errors, str(kind), None)
        if isinstance(named, type) and issubclass(named, FrierenError) and named is not errors.DamagedFileError:
            raise named(str(text))
        if kind == "MemoryError":
            raise VideoError(f"{path}: reading it takes more memory than it is allowed; convert it to .mp4")
        raise RuntimeError(f"{kind}: {text}")
    return message


def _why(code: int, limits: Limits) -> str:
    """Why a process ended that gave no reason."""
    if code == -signal.SIGXCPU:
        return f"reading it takes more than {limits.seconds} s of processor time"
    name = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"its reader crashed ({name})"


# -- in the process --


def serve() -> None:
    """Do what the first argument of this process asks for, and answer on its output."""
    request = json.loads(sys.argv[1])
    limits = Limits(**request["limits"])
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what libraries print must not get between the answers
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                _answer(request, limits, output, caught)
        except Exception as error:
            kind = type(error).__name__
            if isinstance(error, FrierenError) and not hasattr(errors, kind):
                kind = next(base.__name__ for base in type(error).__mro__ if hasattr(errors, base.__name__))
            _send(output, {"error": [kind, reason(error) if not isinstance(error, FrierenError) else str(error)]})


def _answer(request: dict[str, Any], limits: Limits, output: IO[bytes], caught: list[warnings.WarningMessage]) -> None:
    """Call the function; pictures are sent one block after another."""
    import resource

    module, _, name = request["function"].partition(":")
    function, last = getattr(import_module(module), name), 0.0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 5),  # the second one kills unheard
        (resource.RLIMIT_AS, limits.memory, limits.memory),
    ):
        most = resource.getrlimit(kind)[1]  # of this system, and may be less
        known = (hard,) if most == resource.RLIM_INFINITY else (hard, most)
        resource.setrlimit(kind, (min(soft, *known), min(known)))

    def tick(message: dict[str, Any] | None = None) -> None:
        nonlocal last
        if time.monotonic() - last > TICK:
            _send(output, message or {})
            last = time.monotonic()

    Heartbeat.beat = tick
    options = request["options"]
    if options.pop("progress", False):
        options["on_frame"] = lambda done, total: tick({"progress": [done, total]})
    result = function(*request["arguments"], **options)
    pictures = isinstance(result, Iterator)
    for block in result if pictures else ():
        data = (block.images * 255).round().byte().numpy()
        _send(output, {"shape": data.shape, "times": block.times.tolist(), "seconds": block.seconds}, data.tobytes())
    for warning in caught:
        _send(output, {"warning": str(warning.message)})
    if not pictures:
        _send(output, {"value": result.to_json() if hasattr(result, "to_json") else result})


def _send(output: IO[bytes], message: dict[str, Any], data: bytes = b"") -> None:
    """A message and its bytes; dataclasses in it become tables, paths names."""
    header = json.dumps(message, default=_as_json).encode()
    output.write(SIZES.pack(len(header), len(data)) + header + data)
    output.flush()


def _as_json(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
