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

from synthaug.errors import StoreError

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


_DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, ValueError, TypeError)
"""What a damaged pickle raises."""


class _PropertiesUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a case's properties")
        return super().find_class(module, name)


def read_properties(path: Path) -> dict[str, Any]:
    """Read the properties of a preprocessed case.

    Raises:
        StoreError: The file is damaged, or holds anything but plain data and numpy arrays.
        FileNotFoundError: There is no such file.
    """
    return parse_properties(path.read_bytes(), path)


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
