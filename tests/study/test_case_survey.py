"""What is measured on real cases before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import GeometryError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelScheme, Structure
from synthaug.study.case_survey import CaseFacts, common_scales, plan_grid, survey_cases
from synthaug.volumes import CaseRecord, LabeledVolume
from tests.study.small_study import write_dataset


def facts(extent_mm: tuple[float, float, float], scale: tuple[float, float] = (0.0, 1.0)) -> CaseFacts:
    return CaseFacts(CaseRecord("a", None, None), extent_mm, (scale,), {})


def test_unchanged_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(tmp_path / "d")
    dataset = NnunetDataset("d", folder, folder)
    cases = list(dataset.cases.values())
    first = survey_cases(dataset, cases, tmp_path / "kept.json")
    (folder / "labelsTr" / "train_1.nii.gz").touch()
    read: list[int] = []
    again = survey_cases(dataset, cases, tmp_path / "kept.json", lambda done, _: read.append(done))
    assert again == first
    assert len(read) == 1
    assert first["train_0"].volumes_ml["ventricles"] == pytest.approx(15, abs=0.1)


def test_a_planned_grid_holds_the_largest_case_with_a_margin() -> None:
    grid = plan_grid([facts((100, 20, 30)), facts((50, 60, 30))], (2.0, 2.0, 4.0))
    assert grid.shape == (56, 40, 16)  # 112, 72 and 42 mm, in blocks of 8 voxels


def test_channels_with_a_unit_have_one_scale_for_all_cases() -> None:
    of_cases = [facts((1, 1, 1), (-1000.0, high)) for high in (900.0, 1000.0, 3000.0)]
    (scale,) = common_scales(of_cases, ["CT"])
    assert scale is not None
    assert (scale.zero, scale.one, scale.absolute) == (-1000.0, 1000.0, True)
    assert common_scales(of_cases, ["T1"]) == (None,)


def test_an_empty_image_is_refused() -> None:
    scheme = LabelScheme("s", (Structure("a", 1),))
    pair = LabeledVolume(np.zeros((1, 4, 4, 4), np.float32), np.ones((4, 4, 4), np.int16), np.eye(4), scheme, ("T1",))
    with pytest.raises(GeometryError, match="blank: its image is 0"):
        CaseFacts.of("blank", pair)
