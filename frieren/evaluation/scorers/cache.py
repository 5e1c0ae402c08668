"""Features on disk: an entry's name is a hash of network, settings and content of the file.

audioldm_eval keeps its features beside the sounds under their names alone, so that a second run with another backbone
takes those of the first. Here nothing that changes a feature is missing from the key, and no entry is ever stale.

Files are safetensors and not .npz: files are read in threads, and numpy parses the headers of its own with `ast`, which
CPython 3.11 cannot do in two threads at once (SystemError: AST constructor recursion depth mismatch).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from frieren.files import cache_folder, replacing

Arrays = dict[str, np.ndarray]


class FeatureCache:
    """Arrays by key, one file each.

    Args:
        folder: where they lie, by default `features` in the user's cache folder of frieren; False keeps nothing.
    """

    def __init__(self, folder: Path | bool = True) -> None:
        self.folder = folder if isinstance(folder, Path) else cache_folder() / "features" if folder else None

    @staticmethod
    def key(**parts: Any) -> str:
        """Return a name that depends on everything that the arrays depend on."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def path(folder: Path, key: str) -> Path:
        """Return where an entry lies."""
        return folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> Arrays | None:
        """Return the arrays; None where there are none that can be read: a full disk may have truncated them."""
        if not self.folder:
            return None
        try:
            return load(self.path(self.folder, key).read_bytes())
        except (OSError, SafetensorError):
            return None

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep the arrays.

        Raises:
            OutputError: if the folder cannot be written to.
        """
        if not self.folder:
            return
        path = self.path(self.folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(save(arrays))
