"""The pool of real cases: read, measured, and clear about what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, GeometryError, LabelError, SynthAugError
from synthaug.generators.case_pool import CasePool, foreground_of
from synthaug.generators.cases import CasePaths
from synthaug.volumes import read_image, read_label, write_image, write_label
from tests.generators.real_cases import SCHEME, SPACING_MM, write_case


@pytest.fixture
def case(tmp_path: Path) -> CasePaths:
    return write_case(tmp_path, "one", 4.0)


def test_only_so_many_pairs_stay_in_memory(case: CasePaths, tmp_path: Path) -> None:
    pool = CasePool([case, write_case(tmp_path, "second", 6.0)], SCHEME, ("T1",), kept_in_memory=1)
    first = pool.read(0)
    assert pool.read(0) is first
    pool.read(1)
    again = pool.read(0)
    assert again is not first
    np.testing.assert_array_equal(again.image, first.image)


def test_facts_are_those_of_the_files(case: CasePaths) -> None:
    (facts,) = CasePool([case], SCHEME, ("T1",)).facts
    assert facts.shape == (64, 64, 64)
    assert facts.volumes_ml["ventricles"] == pytest.approx(4.0, abs=0.1)
    assert facts.nonzero_background == 0
    assert facts.head_ml == pytest.approx(float((read_label(case.label)[0] > 0).sum()) * SPACING_MM**3 / 1000)


def test_an_image_without_zero_background_is_all_foreground() -> None:
    image = np.full((1, 10, 10, 10), -1000.0, np.float32)
    image[0, 5, 5, 5] = 0
    assert foreground_of(image).all()
    image[0, :5] = 0
    assert not foreground_of(image)[:5].any()


def test_no_case_and_a_case_given_twice_are_refused(case: CasePaths) -> None:
    with pytest.raises(ConfigurationError, match="none"):
        CasePool([], SCHEME, ("T1",))
    with pytest.raises(ConfigurationError, match="one more than once"):
        CasePool([case, case], SCHEME, ("T1",))


def test_files_that_do_not_fit_are_refused_by_name(case: CasePaths) -> None:
    label, affine = read_label(case.label)
    with pytest.raises(GeometryError, match="channels"):
        CasePool([case], SCHEME, ("T1", "T2"))
    write_label(case.label, np.where(label == 1, 99, label).astype(np.int16), affine)
    with pytest.raises(LabelError, match="99"):
        CasePool([case], SCHEME, ("T1",))
    write_label(case.label, label[:-1], affine)
    with pytest.raises(GeometryError, match="shapes differ"):
        CasePool([case], SCHEME, ("T1",))
    write_label(case.label, label, affine)
    image, _ = read_image(case.images[0])
    image[0, 0, 0, 0] = np.nan
    write_image(case.images[0], image, affine)
    with pytest.raises(GeometryError, match="NaN"):
        CasePool([case], SCHEME, ("T1",))
    case.images[0].unlink()
    with pytest.raises(SynthAugError, match="no such file"):
        CasePool([case], SCHEME, ("T1",))
