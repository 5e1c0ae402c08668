"""Random numbers of a run: a seed for every micro-batch, and the states of all generators.

Every draw of a micro-batch is a function of (seed, step, micro-batch, process) alone, so a resumed run
repeats an uninterrupted one bit-exactly (on a CPU) and there is no position in the data to remember.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(*key: int) -> None:
    """Seeds Python's, numpy's and torch's global generators (every device) with a hash of non-negative numbers."""
    first, second = np.random.SeedSequence(key).generate_state(2, np.uint64).tolist()
    random.seed(first)
    np.random.seed(second % 2**32)
    torch.manual_seed(first % 2**63)


def states() -> dict[str, Any]:
    """The states of the global generators, as `torch.load(weights_only=True)` reads them."""
    name, key, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(key).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore(saved: dict[str, Any]) -> None:
    """Puts `states()` back; the GPU's only where there is one."""
    random.setstate(saved["python"])
    name, key, *rest = saved["numpy"]
    np.random.set_state((name, np.array(key, np.uint32), *rest))
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["cuda"])
