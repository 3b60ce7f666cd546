"""Anatomy of label maps: faults that are put in are found, and sound ones have none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.evaluation.anatomy import Anatomy
from synthaug.evaluation.anatomy_report import AnatomyReport, RealRange
from synthaug.labels import LabelScheme
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")
LEFT, RIGHT = SCHEME.id_of("lateral_ventricle_left"), SCHEME.id_of("lateral_ventricle_right")


def head(volume_ml: float, seed: int = 0) -> np.ndarray:
    (pair,) = StandInGenerator((48, 48, 48), 128 / 48).generate([Condition({"ventricles": volume_ml})], [seed])
    return pair.label.copy()


def look(label: np.ndarray, name: str = "case") -> Anatomy:
    return Anatomy.of(name, label, SCHEME, (128 / 48) ** 3 / 1000)


@pytest.fixture(scope="module")
def real() -> tuple[Anatomy, ...]:
    return tuple(
        look(head(volume, seed), f"real {volume}") for seed, volume in enumerate((12.0, 20.0, 35.0, 60.0, 90.0))
    )


def test_a_sound_head_has_no_faults_and_its_volumes() -> None:
    label = head(40.0)
    anatomy = look(label)
    assert anatomy.faults == ()
    assert anatomy.measures.volumes_ml["lateral_ventricle_left"] == pytest.approx(
        (label == LEFT).sum() * (128 / 48) ** 3 / 1000
    )
    shares = [share for (one, _), share in anatomy.measures.contacts.items() if one == "lateral_ventricle_left"]
    assert sum(shares) == pytest.approx(1)


def test_what_is_put_in_is_found() -> None:
    label = head(40.0)
    label[label == SCHEME.id_of("thalamus")] = SCHEME.id_of("cerebral_white_matter")
    x = int(np.nonzero(label == LEFT)[0].mean())
    label[x - 1 : x + 2][label[x - 1 : x + 2] == LEFT] = SCHEME.id_of("csf")  # cut in two
    label[1:6, 1:6, 1:6] = RIGHT  # a piece in the air
    anatomy = look(label)
    assert anatomy.measures.missing == ("thalamus",)
    assert anatomy.main_shares["lateral_ventricle_left"] < 0.98
    assert anatomy.exposed_voxels >= 125
    assert len(anatomy.faults) == 4  # the piece in the air also belongs to no main component


def test_a_cleft_without_labels_is_no_fault_and_a_ventricle_at_the_surface_is() -> None:
    label = head(40.0)
    x, y, z = (int(axis.mean()) for axis in np.nonzero(label == LEFT))
    cleft = label.copy()
    cleft[x : x + 2, y : y + 2, z:] = 0
    assert look(cleft).exposed_voxels == 0
    bare = label.copy()
    bare[:, :, z:] = 0
    assert look(bare).exposed_voxels > 40


def test_real_brains_are_in_their_own_range_and_others_are_not(real: tuple[Anatomy, ...]) -> None:
    known = RealRange.of(real, SCHEME)
    assert all(known.beyond(one, SCHEME) == {} for one in real)
    assert known.beyond(look(head(45.0, 9)), SCHEME) == {}
    label = head(45.0)
    label[np.isin(label, [SCHEME.id_of(name) for name in ("brainstem", "thalamus", "basal_ganglia")])] = LEFT
    found = known.beyond(look(label), SCHEME)
    assert "volume of lateral_ventricle_left" in found
    assert any(what.startswith("contact of lateral_ventricle_left with") for what in found)


def test_the_report_puts_the_worst_first_and_measures_real_brains_too(real: tuple[Anatomy, ...]) -> None:
    broken = head(30.0)
    broken[broken == SCHEME.id_of("brainstem")] = 0
    report = AnatomyReport(SCHEME, (look(head(30.0, 3), "sound"), look(broken, "broken")), real)
    facts = json.loads(json.dumps(report.to_dict()))
    assert facts["shares"]["every_structure_present"] == 0.5
    assert facts["shares"]["all"] == 0.5
    assert facts["real_shares"]["every_structure_present"] == 1
    assert [case["name"] for case in facts["label_maps"]] == ["broken", "sound"]
    assert report.worst(1) == ["broken"]
    assert set(facts["asymmetry"]["lateral_ventricle_left"]) == {"generated", "real", "ks_distance", "ks_p"}
    assert "brainstem is missing" in facts["label_maps"][0]["faults"]


def test_without_real_brains_only_faults_count() -> None:
    report = AnatomyReport(SCHEME, (look(head(30.0)),))
    assert report.to_dict()["shares"] == {
        "every_structure_present": 1.0,
        "lateral_ventricles_whole": 1.0,
        "no_ventricle_outside_brain": 1.0,
        "all": 1.0,
    }
