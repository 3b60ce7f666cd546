"""A picture of a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.errors import StoreError
from synthaug.reports.cache_sheet import draw_cache
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill


def test_the_smallest_and_the_largest_volume_are_shown(tmp_path: Path) -> None:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    small, _, large = fill(store, generator)
    assert draw_cache(tmp_path / "new" / "sheet.png", store, most=2) == [small, large]
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_cache_has_no_picture(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    with pytest.raises(StoreError, match="synthaug precompute"):
        draw_cache(tmp_path / "sheet.png", store)
    assert not (tmp_path / "sheet.png").exists()
