"""Work that is not finished yet, in a hidden folder beside its output: arrays by name, each written whole.

What is there is not made again: a run that was stopped goes on from its last finished piece, with the same samples.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from frieren.configs import differences
from frieren.errors import OutputError, reason
from frieren.files import replacing, write_json

KEY, LOCK = "key.json", "lock"


class Unfinished:
    """The finished pieces of one output that is not whole yet.

    Attributes:
        folder: where they are.
        resume: whether those of an earlier run are used.
    """

    def __init__(self, target: Path, *, resume: bool = False) -> None:
        """Nothing is written before `begin`."""
        # Not the target's own name, which may leave no room for anything more.
        self._name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
        self.target, self.resume = target, resume
        self.folder = target.with_name(f".{self._name}.unfinished")
        self._lock: IO[bytes] | None = None

    def begin(self, key: Mapping[str, Any]) -> None:
        """Open the folder for work that `key` stands for: with `resume` its pieces stay, otherwise they go.

        Another run that is at work on the same output is left alone: this one gets a folder of its own.

        Args:
            key: everything that decides about the result; JSON types only.

        Raises:
            OutputError: with `resume`, the pieces are of other work, or of a run that is still going on; or the folder
                cannot be written.
        """
        if not self._open():
            if self.resume:
                raise OutputError(f"{self.target}: another run is at work on it; wait for it, or leave out --resume")
            self.folder = self.target.with_name(f".{self._name}.{secrets.token_hex(4)}.unfinished")
            self._open()
        before = self._key()
        if self.resume and before is not None:
            for name, old, new in differences(before, key):
                raise OutputError(
                    f"{self.target}: begun with another {name} ({old}, now {new}); give the same, or leave out --resume"
                )
            return
        for path in self.folder.glob("*.npy"):
            path.unlink()
        write_json(self.folder / KEY, key)

    def _open(self) -> bool:
        """Make and lock the folder; return False if another process has it."""
        try:
            while self._lock is None:
                self.folder.mkdir(exist_ok=True)
                with suppress(FileNotFoundError):  # the run that had it has just ended
                    self._lock = (self.folder / LOCK).open("ab")
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({reason(error)}); choose another place") from error
        if is_locked := not lock(self._lock):
            self._lock.close()
            self._lock = None
        return not is_locked

    def _key(self) -> dict[str, Any] | None:
        """The key of the pieces that are there; None if there is none, or it is damaged."""
        try:
            key = json.loads((self.folder / KEY).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return key if isinstance(key, dict) else None

    def has(self, name: str) -> bool:
        """Return whether there is an array of this name."""
        return (self.folder / f"{name}.npy").exists()

    def get(self, name: str) -> Tensor | None:
        """The array of this name; None if there is none, or it is damaged."""
        try:
            return torch.from_numpy(np.load(self.folder / f"{name}.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError, TypeError):
            return None

    def put(self, name: str, array: Tensor) -> None:
        """Write an array, whole or not at all.

        Raises:
            OutputError: as `files.replacing`.
        """
        with replacing(self.folder / f"{name}.npy") as part, part.open("wb") as file:
            np.save(file, array.detach().cpu().numpy(), allow_pickle=False)

    def drop(self, pattern: str) -> None:
        """Remove the arrays whose names match a pattern."""
        for path in self.folder.glob(f"{pattern}.npy"):
            path.unlink(missing_ok=True)

    def stop(self) -> bool:
        """Leave the pieces for a later run, and return whether there are any; where there are none nothing stays."""
        if self._lock is None or not any(self.folder.glob("*.npy")):
            self.discard()
            return False
        self._lock.close()
        self._lock = None
        return True

    def discard(self) -> None:
        """Remove the folder, if this run has opened it."""
        if self._lock is None:
            return
        with suppress(OSError):  # at once, so that another run does not find half of it
            self.folder.rename(self.target.with_name(f".{self._name}.{secrets.token_hex(4)}.part"))
        for gone in self.target.parent.glob(f".{self._name}.*.part"):  # also of a run that was killed right here
            shutil.rmtree(gone, ignore_errors=True)
        self._lock.close()
        self._lock = None

    def tidy(self) -> None:
        """Remove what a run has left that was killed after its output was whole; one at work is left alone."""
        if any(self.target.parent.glob(f".{self._name}.*")) and self._open():
            self.discard()


def lock(file: IO[bytes]) -> bool:
    """Lock an open file against other processes, until it is closed; return False if another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs on one output are then the user's own lookout
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
