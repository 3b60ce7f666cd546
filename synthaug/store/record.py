"""The record of a case as it lies in the cache: complete, and of the right kinds, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from synthaug.errors import StoreError
from synthaug.files.parsed_json import parse_json
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, CaseEntry

_DIMENSIONS = {IMAGE_FILE: 4, LABEL_FILE: 3}
_TYPES = {IMAGE_FILE: "float32", LABEL_FILE: "int16"}


def parse_record(content: bytes, where: str) -> dict[str, Any]:
    """The content of ``provenance.json``.

    Args:
        content: of the file.
        where: the case, for errors.

    Raises:
        StoreError: it is no record of a case; a digest that fits says nothing about who wrote it.
    """
    try:
        described = parse_json(content)
    except ValueError as error:
        raise StoreError(f"{where}: its provenance is not JSON ({error}); remove the case and make it again") from None
    wrong = _wrong(described)
    if wrong:
        raise StoreError(f"{where}: its provenance {wrong}; remove the case and make it again")
    CaseEntry.from_dict(described)
    return dict(described)


def _wrong(described: Any) -> str:
    """What is wrong with a record; empty where nothing is."""
    if not isinstance(described, dict):
        return f"holds {type(described).__name__}, no object"
    channels = described.get("channels")
    if not _is_list(channels, str) or not channels:
        return "names no channels"
    affine = described.get("affine")
    if not _is_list(affine, list) or len(affine) != 4 or not all(len(row) == 4 and _is_finite(row) for row in affine):
        return "has no affine of 4 x 4 finite numbers"
    if not isinstance(described.get("pair"), dict):
        return "lacks that of the pair"
    files = described.get("files")
    for name, dimensions in _DIMENSIONS.items():
        file = files.get(name) if isinstance(files, dict) else None
        if not isinstance(file, dict) or not all(isinstance(file.get(key), str) for key in ("sha256", "array_sha256")):
            return f"has no digests of {name}"
        shape = file.get("shape")
        if not _is_list(shape, int) or len(shape) != dimensions or min(shape) < 1 or file.get("dtype") != _TYPES[name]:
            return f"has no shape or type of {name}"
        if type(file.get("bytes")) is not int or file["bytes"] < 0:
            return f"has no size of {name}"
    return ""


def _is_list(value: Any, kind: type | tuple[type, ...]) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)


def _is_finite(row: Sequence[Any]) -> bool:
    # compared, since a whole number may be too large to be made a float
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) and -1e300 < one < 1e300 for one in row)


def check_head(described: Mapping[str, Any]) -> None:
    """Refuse a head whose texts are none.

    Raises:
        ValueError: says which.
    """
    if not _is_list(described["channels"], str) or not described["channels"]:
        raise ValueError("channels are no texts")
    for case in described["training_cases"]:
        texts = [case["identifier"], *(case[key] for key in ("image_sha256", "label_sha256") if case[key] is not None)]
        if not _is_list(texts, str):
            raise ValueError("training_cases hold something else than texts")
    for name, limits in described["bounds_ml"].items():
        if not _is_list(limits, (int, float)) or len(limits) != 2 or not _is_finite(limits):
            raise ValueError(f"bounds_ml of {name!r} are no two numbers")
