"""Arrays in .npy and .npz files, as the released tools write them: visual features, mel spectrograms."""

from __future__ import annotations

import io
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frieren.errors import ArrayError

LARGEST = 2 << 30  # bytes of an array; features of a day take 0.7 GB
DAMAGED = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
PARSING = threading.Lock()  # numpy parses headers with `ast`, which CPython 3.11 cannot do in two threads at once
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
        if zipfile.is_zipfile(path):
            array = _unpacked(path)
        else:
            with PARSING:
                array = np.load(path, allow_pickle=False, mmap_mode="r")
            if array.nbytes > LARGEST:
                raise ArrayError(f"{path}: {array.nbytes:,} bytes, more than the {LARGEST:,} of any features")
    except OSError as error:
        raise ArrayError(f"{path}: cannot be read ({error.strerror or error}); check the name") from error
    except DAMAGED as error:  # numpy's own words advise to unpickle
        raise ArrayError(f"{path}: cannot be read as .npy or .npz: another kind of file, or one of objects") from error
    if array.dtype.kind not in "fiu":
        raise ArrayError(f"{path}: expected numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        values = torch.from_numpy(array.astype(np.float32))
    if not torch.isfinite(values).all():
        raise ArrayError(f"{path}: holds values that are not finite")
    return values


def _unpacked(path: Path) -> np.ndarray:
    """The array in an .npz file, which is looked at before it is unpacked.

    Raises:
        ArrayError: it holds no array of that name, two of it, an encrypted one, or one too large.
        ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error: it is damaged.
    """
    with zipfile.ZipFile(path) as file:
        arrays = [one for one in file.infolist() if one.filename.endswith(".npy")]
        named = [one for one in arrays if one.filename == f"{FEATURES_KEY}.npy"] or arrays
        if len(named) != 1:
            count = f", but {len(named)} arrays" if named else ""
            raise ArrayError(f"{path}: has no array named {FEATURES_KEY!r}{count}")
        if named[0].flag_bits & 1:
            raise ArrayError(f"{path}: its array is encrypted; save it without a password")
        if named[0].file_size > LARGEST:
            raise ArrayError(
                f"{path}: {named[0].file_size:,} bytes unpacked, more than the {LARGEST:,} of any features"
            )
        data = file.open(named[0]).read(LARGEST + 1)  # whatever its header claims
        if len(data) > LARGEST:
            raise ArrayError(f"{path}: more than {LARGEST:,} bytes unpacked")
        with PARSING:
            array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
        return array
