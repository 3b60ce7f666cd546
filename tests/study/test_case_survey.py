"""What is measured on real cases before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import GeometryError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelScheme, Structure
from synthaug.study.case_survey import CaseFacts, common_scales, plan_grid, refuse_cut, survey_cases
from synthaug.volumes import CaseRecord, LabeledVolume
from synthaug.volumes.grid import Grid
from tests.study.small_study import write_dataset


def facts(
    extent_mm: tuple[float, float, float],
    scale: tuple[float, float] = (0.0, 1.0),
    labelled_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> CaseFacts:
    affine = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))
    return CaseFacts(CaseRecord("a", None, None), extent_mm, labelled_mm, (scale,), (4, 4, 4), affine)


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
    assert first["train_0"].shape == (32, 32, 32)
    assert first["train_0"].labelled_mm == pytest.approx((90, 100, 90), abs=10)


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


def test_an_empty_channel_is_refused_by_case_and_name() -> None:
    scheme = LabelScheme("s", (Structure("a", 1),))
    image = np.zeros((2, 4, 4, 4), np.float32)
    image[0] = np.arange(64).reshape(4, 4, 4)
    pair = LabeledVolume(image, np.ones((4, 4, 4), np.int16), np.eye(4), scheme, ("T1", "T2"))
    with pytest.raises(GeometryError, match="half: channel T2 is 0"):
        CaseFacts.of("half", pair)


def test_a_mended_header_is_another_content() -> None:
    scheme = LabelScheme("s", (Structure("a", 1),))
    image = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
    label = np.ones((4, 4, 4), np.int16)
    one, other = (
        CaseFacts.of("a", LabeledVolume(image, label, np.diag([edge, 1.0, 1.0, 1.0]), scheme, ("T1",)))
        for edge in (1.0, 2.0)
    )
    assert one.record == other.record
    assert one.content != other.content


@pytest.mark.parametrize("content", ["", "[]", '{"train_0": 3}', '{"train_0": {"stamp": 1}}', "\x00"])
def test_damaged_bookkeeping_is_made_anew(tmp_path: Path, content: str) -> None:
    folder = write_dataset(tmp_path / "d", training_ml=[15.0], test_ml=[])
    dataset = NnunetDataset("d", folder, folder)
    kept = tmp_path / "kept.json"
    first = survey_cases(dataset, list(dataset.cases.values()), kept)
    kept.write_text(content)
    assert survey_cases(dataset, list(dataset.cases.values()), kept) == first


def test_a_shape_that_cuts_labels_off_is_refused_with_one_that_does_not() -> None:
    found = {"small": facts((1, 1, 1), labelled_mm=(10, 20, 30)), "large": facts((1, 1, 1), labelled_mm=(50, 20, 30))}
    refuse_cut(found, Grid((25, 10, 8), (2.0, 2.0, 4.0)))
    with pytest.raises(GeometryError, match=r"1 case.*most in large.*at least \[25, 10, 8\]"):
        refuse_cut(found, Grid((24, 10, 8), (2.0, 2.0, 4.0)))
