"""Cases on the grid of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import GeometryError
from synthaug.fitting.case_form import numbered
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelMapping
from synthaug.study.grid_case import GridForm, Shelf
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid
from tests.stand_in_generator import StandInGenerator

GENERATOR = StandInGenerator()
GRID = Grid((20, 20, 20), (8.0, 8.0, 8.0))


def pair(volume_ml: float = 60.0) -> LabeledVolume:
    return GENERATOR.generate([Condition({"ventricles": volume_ml})], [0])[0]


def form(scale: IntensityScale | None = None) -> GridForm:
    return GridForm(GRID, numbered(GENERATOR.scheme), (scale,))


def mapping(of: GridForm) -> LabelMapping:
    return LabelMapping(GENERATOR.scheme, of.scheme, {name: name for name in GENERATOR.scheme.names})


def test_volumes_and_intensities_survive() -> None:
    made = form().bring("a", pair(), mapping(form()))
    assert made.image.shape == (1, *GRID.shape)
    ids = form().scheme.resolve("ventricles")
    assert np.isin(made.label.numpy(), ids).sum() * GRID.voxel_volume_ml == pytest.approx(60, rel=0.1)
    assert 0.9 < float(made.image.max()) <= 1.1
    assert float(made.image[0, 0, 0, 0]) == 0


def test_neither_place_nor_intensities_depend_on_the_labels() -> None:
    whole = pair()
    blind = replace(whole, label=np.where(np.isin(whole.label, whole.scheme.resolve("ventricles")), whole.label, 0))
    one, other = (form().bring("a", each, mapping(form())) for each in (whole, blind))
    assert np.array_equal(one.image.numpy(), other.image.numpy())
    assert int((other.label > 0).sum()) < int((one.label > 0).sum())


def test_a_common_scale_is_taken_as_it_is() -> None:
    bright = form(IntensityScale(0.0, 55.0, absolute=True)).bring("a", pair(), mapping(form()))
    assert float(bright.image.max()) > 1.5


def test_a_grid_that_is_too_small_is_refused() -> None:
    small = replace(form(), grid=Grid((8, 8, 8), (8.0, 8.0, 8.0)))
    with pytest.raises(GeometryError, match="outside the field of view"):
        small.bring("a", pair(), mapping(small))


def test_a_shelf_makes_a_case_once_and_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    reads = []

    def read() -> LabeledVolume:
        reads.append(1)
        return pair()

    shelf = Shelf(tmp_path / "prepared", form())
    first = shelf.get("a", "content", mapping(form()), read)
    again = Shelf(tmp_path / "prepared", form()).get("a", "content", mapping(form()), read)
    assert np.array_equal(first.image.numpy(), again.image.numpy())
    assert len(reads) == 1
    (file,) = (tmp_path / "prepared").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    shelf.get("a", "content", mapping(form()), read)
    shelf.get("a", "other content", mapping(form()), read)
    assert len(reads) == 3
    assert len(list((tmp_path / "prepared").iterdir())) == 2


def test_a_pair_with_an_empty_channel_is_refused() -> None:
    whole = pair()
    lacking = replace(whole, image=np.concatenate([whole.image, 0 * whole.image]), channels=("T1", "T2"))
    with pytest.raises(GeometryError, match="a: channel T2 is 0"):
        replace(form(), scales=(None, None)).bring("a", lacking, mapping(form()))


def test_intensities_that_are_no_numbers_on_the_grid_are_refused() -> None:
    nowhere = form(IntensityScale(0.0, 0.0, absolute=True))
    with np.errstate(all="ignore"), pytest.raises(GeometryError, match="a: an intensity is NaN or infinite"):
        nowhere.bring("a", pair(), mapping(nowhere))
