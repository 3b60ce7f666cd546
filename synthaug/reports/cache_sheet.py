"""A picture of a cache: a few of its pairs, spread over the volumes that they have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.errors import StoreError
from synthaug.reports.preview import preview_pairs

if TYPE_CHECKING:
    from synthaug.store import CaseEntry, Store

MOST_SHOWN = 8


def draw_cache(path: Path, store: Store, most: int = MOST_SHOWN) -> list[str]:
    """Draw pairs of a cache from the smallest to the largest volume of what was asked for.

    Args:
        path: PNG file to write.
        store: the cache.
        most: so many pairs at most.

    Returns:
        Names of the pairs that are shown.

    Raises:
        StoreError: the cache holds no case, or a case is damaged.
    """
    entries = sorted(store.entries(), key=_asked_ml)
    if not entries:
        raise StoreError(f"{store.folder}: holds no case to draw; run synthaug precompute")
    count = min(most, len(entries))
    shown = [entries[round(i * (len(entries) - 1) / max(1, count - 1))] for i in range(count)]
    pairs = [store.read(entry.name) for entry in shown]
    title = f"{store.info.generator}, {count} of {len(entries)} cases"
    path.parent.mkdir(parents=True, exist_ok=True)
    preview_pairs(path, pairs, [entry.name for entry in shown], title=title)
    return [entry.name for entry in shown]


def _asked_ml(entry: CaseEntry) -> tuple[float, str]:
    return sum(entry.requested_ml.values()), entry.name
