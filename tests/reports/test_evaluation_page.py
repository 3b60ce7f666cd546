"""Slices of real cases and of their mirror images, as a page shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthaug.evaluation.real_cases import measure_real_cases
from synthaug.labels import LabelScheme
from synthaug.reports.evaluation_page import real_slices
from synthaug.volumes import write_label
from tests.raw_dataset import write_raw_dataset

SCHEME = LabelScheme.load("ventricles-t1")


def test_a_real_case_is_cut_through_the_structure_and_says_its_volume(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset001_Heads"
    pair = write_raw_dataset(folder, ["head"])["head"]
    (case,) = measure_real_cases([folder], SCHEME, None)
    slices = real_slices(case, "brainstem")
    assert slices.facts == {"brainstem": f"{pair.volumes_ml()['brainstem']:.2f} mL", "folder": "Dataset001_Heads"}
    assert all((view.label == SCHEME.id_of("brainstem")).any() for view in slices.views)
    assert all(view.grey.any() for view in slices.views)


def test_a_mirror_image_has_its_sides_swapped(tmp_path: Path) -> None:
    pair = write_raw_dataset(tmp_path / "raw", ["head"])["head"]
    label = pair.label.copy()
    label[20:, 20:, :] = 0  # a head that differs from its mirror image
    write_label(tmp_path / "maps.nii.gz", label, pair.affine)
    (case,) = measure_real_cases([tmp_path], SCHEME, None)
    plain, mirrored = (real_slices(case, "lateral_ventricles", mirrored=one).views for one in (False, True))
    left, right = SCHEME.id_of("lateral_ventricle_left"), SCHEME.id_of("lateral_ventricle_right")
    swapped = np.where(plain[0].label == left, right, np.where(plain[0].label == right, left, plain[0].label))
    np.testing.assert_array_equal(mirrored[0].label, swapped[:, ::-1])
    assert set(np.unique(swapped)) >= {left, right}
    assert (mirrored[0].label != plain[0].label).any()
    assert not any(view.grey.any() for view in mirrored)  # a label map has no image
