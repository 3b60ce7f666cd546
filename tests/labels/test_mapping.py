import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthaug.errors import LabelError
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import read_label

A = LabelScheme("a", (Structure("x", 1), Structure("y", 5), Structure("z", 300)))
B = LabelScheme("b", (Structure("p", 2), Structure("q", 4)))
SHIPPED = ("freesurfer-to-ventricles-t1", "neuromorphometrics-to-ventricles-t1")


@given(arrays(np.int16, (3, 4, 5), elements=st.sampled_from([0, 1, 5, 300])))
def test_every_voxel_becomes_what_the_table_says(label: np.ndarray) -> None:
    mapped = LabelMapping(A, B, {"x": "q", "y": "background", "z": "q"}).apply(label)
    assert mapped.dtype == np.int16
    assert np.array_equal(mapped == 4, (label == 1) | (label == 300))
    assert np.array_equal(mapped == 0, (label == 0) | (label == 5))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"x": "p", "y": "p"}, "leaves out z"),
        ({"x": "p", "y": "p", "z": "r"}, "'z' goes to 'r'.*allowed: background, p, q"),
        ({"x": "p", "y": "p", "z": "p", "w": "p"}, "'w' is no structure of 'a'"),
    ],
)
def test_a_mapping_that_is_not_total_is_refused(table, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        LabelMapping(A, B, table)


def test_an_unmapped_label_is_an_error_that_lists_it() -> None:
    mapping = LabelMapping(A, B, dict.fromkeys(A.names, "p"))
    with pytest.raises(LabelError, match=r"case_7: labels outside the scheme 'a': 2 \(3 voxels\)"):
        mapping.apply(np.full(3, 2, dtype=np.int16), "case_7")


def test_the_ignore_label_goes_along_or_is_refused() -> None:
    with_ignore = LabelScheme("a", A.structures, ignore_id=9)
    label = np.array([1, 9], dtype=np.int16)
    kept = LabelMapping(with_ignore, LabelScheme("b", B.structures, ignore_id=7), dict.fromkeys(A.names, "p"))
    assert kept.apply(label).tolist() == [2, 7]
    with pytest.raises(LabelError, match="ignore label 9, which 'b' does not have"):
        LabelMapping(with_ignore, B, dict.fromkeys(A.names, "p")).apply(label)


def test_a_mapping_survives_its_dictionary_and_file(tmp_path: Path) -> None:
    mapping = LabelMapping(A, B, {"x": "q", "y": "background", "z": "p"})
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(mapping.to_dict()))
    assert LabelMapping.load(path) == mapping
    with pytest.raises(LabelError, match="did you mean 'freesurfer-to-ventricles-t1'"):
        LabelMapping.load("freesurfer-to-ventricle-t1")
    with pytest.raises(LabelError, match="tabel, table"):
        LabelMapping.from_dict({"source": "freesurfer", "target": "ventricles-t1", "tabel": {}})


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_mappings_reach_every_structure_and_keep_sides_and_ventricles(name: str) -> None:
    mapping = LabelMapping.load(name)
    assert set(mapping.target.names) <= set(mapping.table.values())
    mirror_of = {one.name: one.mirror or one.name for one in mapping.source.structures + mapping.target.structures}
    for source, goal in mapping.table.items():
        if goal != "background":
            assert mapping.table[mirror_of[source]] == mirror_of[goal]
    ventricles = set(mapping.source.groups["ventricles"])
    assert {one for one, goal in mapping.table.items() if goal in mapping.target.groups["ventricles"]} == ventricles


@pytest.mark.parametrize(
    ("name", "ids", "goal"),
    [
        ("freesurfer-to-ventricles-t1", (4, 5, 136, 137), "lateral_ventricle_left"),
        ("freesurfer-to-ventricles-t1", (43, 44, 163, 164), "lateral_ventricle_right"),
        ("freesurfer-to-ventricles-t1", (14, 72), "third_ventricle"),
        ("freesurfer-to-ventricles-t1", (10, 49, 28, 60), "thalamus"),
        ("freesurfer-to-ventricles-t1", (502, 507, 515, 530), "background"),
        ("freesurfer-to-ventricles-t1", (24,), "csf"),
        ("neuromorphometrics-to-ventricles-t1", (50, 52), "lateral_ventricle_left"),
        ("neuromorphometrics-to-ventricles-t1", (49, 51), "lateral_ventricle_right"),
        ("neuromorphometrics-to-ventricles-t1", (4, 15), "third_ventricle"),
        ("neuromorphometrics-to-ventricles-t1", (23, 30, 36, 55, 57, 75, 76), "basal_ganglia"),
        ("neuromorphometrics-to-ventricles-t1", (53, 54, 63, 64, 69, 44), "cerebral_white_matter"),
        ("neuromorphometrics-to-ventricles-t1", (38, 39, 71, 72, 73), "cerebellar_cortex"),
        ("neuromorphometrics-to-ventricles-t1", tuple(range(100, 208)), "cerebral_cortex"),
        ("neuromorphometrics-to-ventricles-t1", (74,), "background"),
    ],
)
def test_shipped_mappings_send_protocol_numbers_where_anatomy_says(name: str, ids: tuple[int, ...], goal: str) -> None:
    mapping = LabelMapping.load(name)
    mapped = mapping.apply(np.array(ids, dtype=np.int16))
    assert set(mapped.tolist()) == {mapping.target.id_of(goal)}


@pytest.mark.parametrize(
    ("mapping_name", "pattern"),
    [
        ("neuromorphometrics-to-ventricles-t1", "malf/10[01]*_labels.nii.gz"),
        ("freesurfer-to-ventricles-t1", "synthseg_label_maps/training_seg_0[1-3].nii.gz"),
    ],
)
def test_real_label_maps_are_mapped_without_a_foreign_label(shared_data: Path, mapping_name: str, pattern: str) -> None:
    mapping = LabelMapping.load(mapping_name)
    files = sorted(shared_data.glob(pattern))[:3]
    assert len(files) == 3
    for file in files:
        label, _ = read_label(file, mapping.source)
        mapped = mapping.apply(label)
        assert set(np.unique(mapped).tolist()) == {0, *mapping.target.ids}
        # RAS+: left is where the first coordinate is small
        left, right = (
            np.argwhere(mapped == number)[:, 0].mean() for number in mapping.target.resolve("lateral_ventricles")
        )
        assert left < right


PARTS = LabelScheme(
    "parts",
    (Structure("left", 1), Structure("right", 2), Structure("third", 3), Structure("tissue", 4)),
    {"ventricles": ("left", "right", "third"), "sides": ("left", "right")},
)
COARSE = LabelScheme("coarse", (Structure("tissue", 1), Structure("lateral", 2), Structure("rest", 5)))
TABLE = {"left": "lateral", "right": "lateral", "third": "rest", "tissue": "tissue"}


@pytest.mark.parametrize(
    ("changed", "structure", "reason"),
    [
        ({}, "left", "it is lateral there, as are right; .*left=uniform:20:120"),
        ({"third": "tissue"}, "ventricles", "as are tissue"),
        ({"third": "background"}, "ventricles", "a part of it is background there"),
        ({}, "fourth", "fourth"),
    ],
)
def test_a_structure_without_labels_of_its_own_is_refused(changed: dict[str, str], structure: str, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        LabelMapping(PARTS, COARSE, {**TABLE, **changed}).own_labels(structure)


def test_a_structure_that_is_another_one_in_the_target_is_refused() -> None:
    more = LabelScheme(
        "coarse", (*COARSE.structures, Structure("fifth", 6)), {"ventricles": ("lateral", "rest", "fifth")}
    )
    with pytest.raises(LabelError, match="there it has fifth, too"):
        LabelMapping(PARTS, more, TABLE).own_labels("ventricles")
    less = LabelScheme("coarse", COARSE.structures, {"ventricles": ("lateral",)})
    with pytest.raises(LabelError, match="there it is without rest"):
        LabelMapping(PARTS, less, TABLE).own_labels("ventricles")
    assert LabelMapping(PARTS, more, TABLE).own_labels("sides") == {2}
