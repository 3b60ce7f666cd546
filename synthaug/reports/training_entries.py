"""The lines of a training's metrics, each of which is looked at before anything is drawn of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.files.bounded_reading import read_bounded
from synthaug.files.parsed_json import parse_json

MAX_BYTES = 32 << 20
"""A thousand epochs take about one MB."""

LARGEST = 1e12
"""No count, volume or time of a training is beyond it."""


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The entries of a metrics file; lines that are no JSON are those of a training that runs, or was killed.

    Raises:
        ConfigurationError: a line is of something else, or the file is too large.
    """
    content = read_bounded(path, MAX_BYTES, error=ConfigurationError, mend="name a training's metrics")
    found = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        try:
            entry = parse_json(line)
        except ValueError:
            continue
        if not _is_entry(entry):
            raise ConfigurationError(f"{path}, line {number}: is no entry of a training's metrics; name another file")
        found.append(entry)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_none_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_spread(value: Any) -> bool:
    return isinstance(value, dict) and _is_number(value.get("p50")) and _is_number(value.get("p95"))


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_fallbacks(value: Any) -> bool:
    return _are_counts(value) and set(value) == {"empty", "unreadable"}


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_volumes(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("structure"), str):
        return False
    edges, drawn, shares = (value.get(key) for key in ("edges", "drawn", "scheduled_share"))
    if not (_are_numbers(edges) and _are_numbers(drawn) and _are_numbers(shares)):
        return False
    if not (len(edges) >= 2 and len(drawn) == len(shares) == len(edges) - 1):  # type: ignore[arg-type]
        return False
    known = [key for key in ("min", "max") if key in value]
    return len(known) != 1 and all(_is_number(value[key]) for key in known) and _is_number(value.get("ks_distance", 0))


def _is_live(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(_is_count(value.get(key)) for key in ("inserts", "restarts"))
        and _are_counts(value.get("rejects"))
        and isinstance(value.get("frozen"), bool)
    )


_NEEDED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("epoch", "draws", "synthetic", "real"), _is_count),
    "ratio": _is_number,
    "realised_ratio": _is_none_or(_is_number),
    "fallbacks": _is_fallbacks,
    "reuse": _is_spread,
    "volumes_ml": _is_volumes,
}
_POSSIBLE: dict[str, Callable[[Any], bool]] = {
    "unique_fraction": _is_none_or(_is_number),
    "age": _is_none_or(_is_spread),
    "loader_wait_s": _is_none_or(_is_number),
    "live": _is_live,
}


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(key in entry and check(entry[key]) for key, check in _NEEDED.items())
        and all(check(entry[key]) for key, check in _POSSIBLE.items() if key in entry)
    )
