"""Arrays as blosc2 frames: the same array gives the same bytes, and nothing is unpickled or trusted on the way back."""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any

import numpy as np

from synthaug.errors import StoreError

MAX_VOXELS = 1 << 31
"""Arrays beyond this are refused before anything is allocated (8 GiB of float32)."""

CHUNK_EDGE, BLOCK_EDGE = 64, 16


def encode(array: np.ndarray) -> bytes:
    """Compress an array losslessly.

    The partition and the single thread are fixed on purpose: blosc2 chooses chunks by the processor's caches, and its
    threads append blocks in the order in which they finish, so that digests would differ from run to run.

    Args:
        array: float32 (C, X, Y, Z) or int16 (X, Y, Z).

    Returns:
        A contiguous frame, the content of a ``.b2nd`` file.
    """
    import blosc2

    leading = (1,) * (array.ndim - 3)
    chunks = leading + tuple(min(CHUNK_EDGE, n) for n in array.shape[-3:])
    blocks = leading + tuple(
        min(edge, n) for edge, n in zip((BLOCK_EDGE, BLOCK_EDGE, CHUNK_EDGE), chunks[-3:], strict=True)
    )
    parameters = blosc2.CParams(
        codec=blosc2.Codec.ZSTD,
        clevel=1,
        nthreads=1,
        typesize=array.dtype.itemsize,
        filters=[blosc2.Filter.SHUFFLE],
        filters_meta=[0],
    )
    packed = blosc2.asarray(np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=parameters)
    return bytes(packed.to_cframe())


def open_frame(frame: bytes, where: str) -> Any:
    """A ``blosc2.NDArray`` in a copy of a frame, of which nothing is decompressed yet.

    A frame may also stand for an expression or a function that blosc2 evaluates when it is opened, or for an array
    elsewhere: one with any metadata but that of a plain array is refused.

    Args:
        frame: content of a ``.b2nd`` file.
        where: the file's name for the message.

    Raises:
        StoreError: not a frame, damaged, or something else than a plain array.
    """
    import blosc2

    mend = "remove the case and make it again"
    try:
        packed = blosc2.ndarray_from_cframe(frame, copy=True)
        kinds, further = sorted(packed.schunk.meta), len(packed.schunk.vlmeta)
        np.dtype(packed.dtype)
    except Exception as error:  # blosc2 raises RuntimeError, ValueError and others for a damaged frame
        raise StoreError(f"{where}: cannot be read as a blosc2 array ({error}); {mend}") from None
    if kinds != ["b2nd"] or further:
        raise StoreError(f"{where}: is no plain blosc2 array but has metadata of its own ({', '.join(kinds)}); {mend}")
    return packed


def decode(frame: bytes, shape: tuple[int, ...], dtype: Any, where: str) -> np.ndarray:
    """The array of a frame, if it is the one that is expected.

    Args:
        frame: content of a ``.b2nd`` file.
        shape: expected shape.
        dtype: expected type.
        where: the file's name for the message.

    Raises:
        StoreError: not a frame, damaged, or another shape or type than expected.
    """
    if not 0 < prod(shape) <= MAX_VOXELS:
        raise StoreError(f"{where}: shape {shape} has {prod(shape)} voxels; allowed are 1 to {MAX_VOXELS}")
    packed = open_frame(frame, where)
    found = (tuple(packed.shape), np.dtype(packed.dtype), max(packed.chunks) if packed.chunks else 0)
    if found[:2] != (tuple(shape), np.dtype(dtype)) or found[2] > max(CHUNK_EDGE, *shape):
        raise StoreError(
            f"{where}: holds {found[1]} {found[0]}, its provenance says {np.dtype(dtype)} {tuple(shape)}; "
            "remove the case and make it again"
        )
    try:
        return np.ascontiguousarray(packed[...])
    except Exception as error:
        raise StoreError(f"{where}: cannot be decompressed ({error}); remove the case and make it again") from None


def digest(content: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(content).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """sha256 (hex) of type, shape and values, independent of how they are compressed."""
    head = f"{array.dtype.str} {array.shape}\n".encode()
    hasher = hashlib.sha256(head)
    hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()
