import json
from pathlib import Path

import pytest

from synthaug.errors import LabelError
from synthaug.labels import LabelScheme


def test_plain_labels_keep_names_and_ids() -> None:
    scheme = LabelScheme.from_nnunet({"labels": {"background": 0, "liver": 2, "spleen": 1}}, "organs")
    assert (scheme.name, scheme.names, scheme.ids) == ("organs", ("spleen", "liver"), (1, 2))
    assert scheme.groups == {}
    assert scheme.ignore_id is None


@pytest.mark.parametrize(
    "labels",
    [
        {"background": "0", "liver": "2", "spleen": "1"},
        {"0": "background", "1": "spleen", "2": "liver"},
        {"background": 0, "liver": [2], "spleen": ["1"]},
        {"background": 0.0, "liver": 2.0, "spleen": 1.0},
    ],
)
def test_numbers_as_text_and_the_old_form_mean_the_same(labels) -> None:
    expected = LabelScheme.from_nnunet({"labels": {"background": 0, "spleen": 1, "liver": 2}}, "organs")
    assert LabelScheme.from_nnunet({"labels": labels}, "organs") == expected


def test_regions_become_groups_over_base_structures() -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    scheme = LabelScheme.from_nnunet({"labels": labels, "regions_class_order": [1, 2, 3]}, "tumour")
    assert scheme.names == ("label_1", "label_2", "enhancing")
    assert scheme.resolve("whole") == (1, 2, 3)
    assert scheme.resolve("core") == (2, 3)
    assert scheme.resolve("enhancing") == (3,)
    assert scheme.ignore_id == 4


def test_sides_and_ventricles_are_guessed_from_names() -> None:
    labels = {
        "background": 0,
        "Left-Lateral-Ventricle": 1,
        "Right-Lateral-Ventricle": 2,
        "Left-Inf-Lat-Vent": 3,
        "Right-Inf-Lat-Vent": 4,
        "3rd-Ventricle": 5,
        "Hippocampus_L": 6,
        "Hippocampus_R": 7,
    }
    scheme = LabelScheme.from_nnunet({"labels": labels}, "brain")
    assert scheme.resolve("ventricles") == (1, 2, 3, 4, 5)
    assert scheme.resolve("lateral_ventricles") == (1, 2, 3, 4)
    assert scheme.mirror_ids() == {0: 0, 1: 2, 2: 1, 3: 4, 4: 3, 5: 5, 6: 7, 7: 6}


def test_all_parts_of_a_brain_with_white_and_grey_matter_are_the_brain() -> None:
    labels = {"background": 0, "white matter": 1, "cortex": 2, "ventricles": 3, "liver": 4}
    scheme = LabelScheme.from_nnunet({"labels": labels}, "head")
    assert scheme.resolve("brain") == (1, 2, 3)
    labels.pop("cortex")
    assert "brain" not in LabelScheme.from_nnunet({"labels": labels}, "head").groups


@pytest.mark.parametrize(
    "names", [("kidney", "cortex", "medulla", "lesion"), ("spinal cord", "white matter", "gray matter")]
)
def test_other_organs_are_no_brain(names: tuple[str, ...]) -> None:
    labels = {"background": 0, **{name: number for number, name in enumerate(names, 1)}}
    assert "brain" not in LabelScheme.from_nnunet({"labels": labels}, "other").groups


def test_the_labels_of_the_shipped_scheme_have_its_groups() -> None:
    shipped = LabelScheme.load("ventricles-t1")
    labels = {"background": 0, **{one.name: one.id for one in shipped.structures}}
    assert LabelScheme.from_nnunet({"labels": labels}, "malf").groups == shipped.groups


def test_heart_ventricles_are_no_brain_ventricles() -> None:
    labels = {"background": 0, "left ventricle": 1, "right ventricle": 2, "heart_ventricle_left": 3}
    assert LabelScheme.from_nnunet({"labels": labels}, "heart").groups == {}


def test_a_region_named_ventricles_is_kept_as_it_is() -> None:
    labels = {"background": 0, "ventricles": [1, 2], "third ventricle": 2, "lateral ventricle": 1}
    scheme = LabelScheme.from_nnunet({"labels": labels}, "regions")
    assert scheme.groups["ventricles"] == ("lateral ventricle", "third ventricle")


def test_the_name_comes_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset007_Brain"
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "csf": 1}}))
    assert LabelScheme.from_nnunet(folder / "dataset.json").name == "Dataset007_Brain"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "no 'labels'"),
        ({"labels": {"a": 1, "b": 1}}, "'a' and 'b' are both 1"),
        ({"labels": {"a": -1}}, "'a' is -1; allowed: whole numbers"),
        ({"labels": {"a": 1.5}}, "'a' is 1.5"),
        ({"labels": {"a": []}}, "empty list"),
        ({"labels": {"background": 0}}, "no structures"),
        ({"labels": {"a": 1, "ignore": [2, 3]}}, "'ignore' is"),
    ],
)
def test_labels_that_mean_nothing_are_refused(content, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        LabelScheme.from_nnunet(content, "bad")
