"""Cases on the grid of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from synthaug.conditions import Condition
from synthaug.errors import GeometryError
from synthaug.fitting.case_form import numbered
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelMapping, LabelScheme, Structure
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


BODY = LabelScheme("body", (Structure("rest", 1), Structure("inner", 2)))
INNER_MM, INNER_AT_MM = (11.0, 15.0, 9.0), (8.0, -6.0, 5.0)


def oblique(spacing_mm: tuple[float, ...], angles: tuple[float, ...], centre_mm: tuple[float, ...]) -> LabeledVolume:
    """An ellipsoid within another, off its middle, on a turned grid of any voxels; both are drawn in mm."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    shape = [int(np.ceil(110 / edge)) for edge in spacing_mm]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing_mm)
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    place = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3] - np.array(centre_mm)
    head = ((place / (38.0, 46.0, 32.0)) ** 2).sum(-1) <= 1
    inner = (((place - INNER_AT_MM) / INNER_MM) ** 2).sum(-1) <= 1
    label = (head.astype(np.int16) + (head & inner)).astype(np.int16)
    return LabeledVolume((label[None] * 50).astype(np.float32), label, affine, BODY, ("T1",))


@settings(max_examples=25, deadline=None)
@given(
    spacing_mm=st.tuples(*[st.floats(1.5, 3.5)] * 3),
    angles=st.tuples(*[st.floats(-25, 25)] * 3),
    centre_mm=st.tuples(*[st.floats(-60, 60)] * 3),
)
def test_volume_and_place_in_mm_survive_any_geometry(
    spacing_mm: tuple[float, ...], angles: tuple[float, ...], centre_mm: tuple[float, ...]
) -> None:
    source = oblique(spacing_mm, angles, centre_mm)
    grid = Grid((52, 40, 60), (2.0, 2.5, 1.5))
    made = GridForm(grid, BODY, (None,)).bring(
        "a", source, LabelMapping(BODY, BODY, {"rest": "rest", "inner": "inner"})
    )
    found = made.label.numpy() == 2
    assert found.sum() * grid.voxel_volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(INNER_MM) / 1000, rel=0.1)
    middle = (np.argwhere(found).mean(0) - (np.array(grid.shape) - 1) / 2) * grid.spacing_mm
    # the grid is centred on the box of the image along the source's own axes, a voxel or so off the ellipsoid's middle
    np.testing.assert_allclose(middle, INNER_AT_MM, atol=2.5)
