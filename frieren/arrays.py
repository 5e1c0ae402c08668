"""Arrays in .npy and .npz files, as the released tools write them: visual features, mel spectrograms."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frieren.errors import ArrayError

FEATURES_KEY = "feat"  # in the .npz files of the released feature extraction


def read_features(path: Path, width: int) -> Tensor:
    """Visual features [F, D] from .npy, or .npz with the key `feat`.

    Args:
        width: D that the model was trained with.

    Raises:
        ArrayError: if the file cannot be read, or holds something else.
    """
    features = read_array(path)
    if features.ndim != 2 or features.shape[1] != width or not len(features):
        raise ArrayError(
            f"{path}: expected features [F, {width}], got {list(features.shape)}; from another encoder, or to be "
            "squeezed or transposed?"
        )
    return features


def read_mel(path: Path, bins: int) -> Tensor:
    """A log10 mel spectrogram [M, T] from .npy.

    Args:
        bins: M that the model was trained with.

    Raises:
        ArrayError: if the file cannot be read, or holds something else.
    """
    mel = read_array(path)
    if mel.ndim != 2 or mel.shape[0] != bins or not mel.shape[1]:
        raise ArrayError(f"{path}: expected a log10 mel spectrogram [{bins}, T], got {list(mel.shape)}")
    return mel


def read_array(path: Path) -> Tensor:
    """The array in a file, as float32; of an .npz file the one named `feat`, or its only one.

    Raises:
        ArrayError: if the file cannot be read, needs unpickling, or holds no finite numbers.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as file:
                key = FEATURES_KEY if FEATURES_KEY in file.files or len(file.files) != 1 else file.files[0]
                array = file[key]
        else:
            array = loaded
    except KeyError as error:
        raise ArrayError(f"{path}: has no array named {FEATURES_KEY!r}") from error
    except OSError as error:
        raise ArrayError(f"{path}: cannot be read ({error.strerror or error}); check the name") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:  # numpy's own words advise to unpickle
        raise ArrayError(f"{path}: cannot be read as .npy or .npz: another kind of file, or one of objects") from error
    if array.dtype.kind not in "fiu":
        raise ArrayError(f"{path}: expected numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        values = torch.from_numpy(array.astype(np.float32))
    if not torch.isfinite(values).all():
        raise ArrayError(f"{path}: holds values that are not finite")
    return values
