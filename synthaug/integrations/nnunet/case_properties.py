"""Read nnU-Net's ``.pkl`` of a preprocessed case without letting it run code.

A view of a cache has nnU-Net's own form, in which the properties of a case (spacing, bounding box, class locations) are
pickled. A cache may come from somebody else, and an unrestricted pickle can execute anything: this reader builds
numbers, texts, containers and numpy arrays, and refuses everything else.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import StoreError
from synthaug.store.cache_file import read_bounded

MAX_BYTES = 1 << 30
"""Class locations of a case with a hundred structures take tens of megabytes."""

# Numpy's arrays name their constructors differently in its versions 1 and 2.
ALLOWED = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict")}
    | {
        (module, name)
        for package in ("numpy.core", "numpy._core")
        for module, name in (
            (f"{package}.multiarray", "_reconstruct"),
            (f"{package}.multiarray", "scalar"),
            (f"{package}.numeric", "_frombuffer"),
        )
    }
)


_DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, ValueError, TypeError,
            RuntimeError, ArithmeticError, MemoryError)  # fmt: skip
"""What a damaged pickle raises."""


_ARRAY = object()
"""In place of numpy's class: called by itself it lays an array over any bytes, objects included."""


def _empty_array(kind: object, *_: Any) -> np.ndarray:
    """What an array is filled into, by its own ``__setstate__``."""
    if kind is not _ARRAY:
        raise pickle.UnpicklingError("an array of another class is not part of a case's properties")
    return np.empty(0, np.int8)


def _plain_dtype(*arguments: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(*arguments)
    if found.hasobject:
        raise pickle.UnpicklingError("an array of objects is not part of a case's properties")
    return found


class _PropertiesUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a case's properties")
        stand_ins = {"ndarray": _ARRAY, "_reconstruct": _empty_array, "dtype": _plain_dtype}
        return stand_ins[name] if name in stand_ins else super().find_class(module, name)


def read_properties(path: Path) -> dict[str, Any]:
    """Read the properties of a preprocessed case.

    Raises:
        StoreError: The file is damaged, or holds anything but plain data and numpy arrays.
        FileNotFoundError: There is no such file.
    """
    return parse_properties(read_bounded(path, MAX_BYTES), path)


def parse_properties(content: bytes, path: Path) -> dict[str, Any]:
    """The same of what was read from a path.

    Raises:
        StoreError: It is damaged, or holds anything but plain data and numpy arrays.
    """
    try:
        properties = _PropertiesUnpickler(io.BytesIO(content)).load()
    except _DAMAGED as error:
        raise StoreError(f"{path}: not the properties of a preprocessed case ({error}); delete the view") from None
    if not isinstance(properties, dict) or "class_locations" not in properties:
        raise StoreError(f"{path}: not the properties of a preprocessed case; delete the view")
    return properties
