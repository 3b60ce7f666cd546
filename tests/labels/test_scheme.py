import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import LabelError, SynthAugError
from synthaug.labels import LabelScheme, Structure, count_labels

SHIPPED = ("freesurfer", "neuromorphometrics", "ventricles-t1")


@pytest.fixture
def scheme() -> LabelScheme:
    return LabelScheme(
        "small",
        (Structure("left", 3, "right"), Structure("right", 1, "left"), Structure("middle", 7)),
        {"sides": ("left", "right")},
        ignore_id=9,
    )


def test_names_ids_and_classes_are_in_scheme_order(scheme: LabelScheme) -> None:
    assert scheme.names == ("left", "right", "middle")
    assert scheme.ids == (3, 1, 7)
    assert scheme.num_classes == 4
    assert scheme.id_of("middle") == 7
    assert scheme.id_of("background") == 0
    assert scheme.resolve("sides") == (3, 1)
    assert scheme.resolve("left") == (3,)


def test_structures_and_groups_are_named_with_what_they_hold(scheme: LabelScheme) -> None:
    assert scheme.structures_and_groups() == {
        "structures": {"left": 3, "right": 1, "middle": 7},
        "groups": {"sides": ["left", "right"]},
    }


def test_an_unknown_name_lists_all_names_and_the_nearest(scheme: LabelScheme) -> None:
    with pytest.raises(LabelError, match=r"'midle' \(did you mean 'middle'\?\).*left, right, middle.*sides"):
        scheme.resolve("midle")
    with pytest.raises(LabelError, match="did you mean 'right'"):
        scheme.id_of("rigth")


def test_foreign_labels_are_listed_with_place_and_counts(scheme: LabelScheme) -> None:
    label = np.array([[0, 3, 5], [5, 42, 9]], dtype=np.int16)
    with pytest.raises(LabelError, match=r"^case.nii: .*5 \(2 voxels\), 42 \(1 voxels\); allowed: 0, 1, 3, 7, 9"):
        scheme.check(label, "case.nii")
    scheme.check(label[:, :2] * (label[:, :2] == 3))


@pytest.mark.parametrize("name", SHIPPED)
def test_mirroring_twice_changes_nothing(name: str) -> None:
    scheme = LabelScheme.load(name)
    mirrored = scheme.mirror_ids()
    assert set(mirrored) == {0, *scheme.ids}
    assert all(mirrored[mirrored[number]] == number for number in mirrored)
    assert any(mirrored[number] != number for number in mirrored)


def test_the_ignore_label_mirrors_onto_itself(scheme: LabelScheme) -> None:
    assert scheme.mirror_ids() == {0: 0, 3: 1, 1: 3, 7: 7, 9: 9}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_schemes_survive_the_dictionary_json_and_pickle(name: str) -> None:
    scheme = LabelScheme.load(name)
    assert LabelScheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme
    assert pickle.loads(pickle.dumps(scheme)) == scheme
    assert hash(LabelScheme.from_dict(scheme.to_dict())) == hash(scheme)


def test_the_ventricle_scheme_has_the_documented_ids() -> None:
    scheme = LabelScheme.load("ventricles-t1")
    assert scheme.ids == tuple(range(1, 14))
    assert scheme.resolve("ventricles") == (3, 4, 5, 6)
    assert scheme.resolve("lateral_ventricles") == (3, 4)
    assert scheme.resolve("brain") == scheme.ids
    assert scheme.id_of("csf") == 13


@pytest.mark.parametrize(
    ("structures", "groups", "ignore", "reason"),
    [
        ((), {}, None, "no structures"),
        ((Structure("a", 1), Structure("b", 1)), {}, None, "id 1 occurs more than once"),
        ((Structure("a", 1), Structure("a", 2)), {}, None, "name 'a' occurs more than once"),
        ((Structure("a", 0),), {}, None, "whole number from 1"),
        ((Structure("a", True),), {}, None, "whole number from 1"),
        ((Structure("a", 40000),), {}, None, "whole number from 1 to 32767"),
        ((Structure("background", 1),), {}, None, "structure name 'background'"),
        ((Structure("a", 1, "b"), Structure("b", 2)), {}, None, "each other's mirror"),
        ((Structure("a", 1),), {"g": ("b",)}, None, "'b'; allowed: one or more of a"),
        ((Structure("a", 1),), {"g": ()}, None, "no members"),
        ((Structure("a", 1),), {"a": ("a",)}, None, "name of a structure"),
        ((Structure("a", 1),), {}, 1, "occurs more than once"),
    ],
)
def test_an_impossible_scheme_is_refused(structures, groups, ignore, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        LabelScheme("bad", structures, groups, ignore)


def test_a_scheme_loads_from_its_file_and_from_a_dataset_json(scheme: LabelScheme, tmp_path: Path) -> None:
    own = tmp_path / "scheme.json"
    own.write_text(json.dumps(scheme.to_dict()))
    assert LabelScheme.load(own) == scheme
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"labels": {"background": 0, "spleen": 1}, "file_ending": ".nii.gz"}))
    assert LabelScheme.load(str(dataset)).names == ("spleen",)


def test_loading_what_is_no_scheme_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no label scheme 'freesurfr' \\(did you mean 'freesurfer'"):
        LabelScheme.load("freesurfr")
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text("[1]")
    (tmp_path / "c.json").write_text('{"name": "x", "structurs": []}')
    for name, reason in (("a.json", "not JSON"), ("b.json", "holds list"), ("c.json", "structurs, structures")):
        with pytest.raises(SynthAugError, match=reason) as caught:
            LabelScheme.load(tmp_path / name)
        assert "\n" not in str(caught.value)


@given(st.lists(st.integers(0, 70000), max_size=40))
def test_counts_are_those_of_the_sorted_labels(numbers: list[int]) -> None:
    label = np.array(numbers, dtype=np.int64)
    values, counts = np.unique(label, return_counts=True)
    assert count_labels(label) == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_counting_takes_strided_and_unsigned_arrays() -> None:
    label = np.zeros((4, 6, 8), dtype=np.uint16)
    label[::2, 1:3] = 5
    assert count_labels(label.transpose(2, 0, 1)[::-1]) == {0: 192 - 32, 5: 32}
    with pytest.raises(TypeError, match="float32"):
        count_labels(label.astype(np.float32))
