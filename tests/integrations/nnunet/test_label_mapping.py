"""The mapping that a configuration leads to, and how it is shown."""

from __future__ import annotations

import pytest

from synthaug.errors import AmbiguousMappingError, ConfigurationError
from synthaug.integrations.nnunet.label_mapping import describe_mapping, map_labels
from synthaug.labels import LabelScheme

GENERATOR = LabelScheme.load("ventricles-t1")


def dataset(**labels: int) -> LabelScheme:
    return LabelScheme.from_nnunet({"labels": {"background": 0, **labels}}, name="D")


def test_names_that_are_the_same_need_no_question() -> None:
    same = dataset(**{structure.name: structure.id for structure in GENERATOR.structures})
    mapping = map_labels(GENERATOR, same, {}, where="F")
    assert describe_mapping(mapping) == "13 structure(s) keep their names"


def test_all_ventricles_into_one_label() -> None:
    mapping = map_labels(GENERATOR, dataset(ventricles=1), {}, where="F")
    assert {name for name, label in mapping.table.items() if label == "ventricles"} == set(
        GENERATOR.groups["ventricles"]
    )
    assert describe_mapping(mapping).startswith("background <- cerebral_white_matter")


def test_a_question_names_the_file_and_the_keys() -> None:
    with pytest.raises(AmbiguousMappingError, match=r"^F: .*lesion.*allow_missing_labels"):
        map_labels(GENERATOR, dataset(ventricles=1, lesion=2), {}, where="F")
    mapping = map_labels(GENERATOR, dataset(ventricles=1, lesion=2), {}, ["lesion"], where="F")
    assert "lesion" not in mapping.table.values()


@pytest.mark.parametrize("decided", [{"thalamuss": "ventricles"}, {"thalamus": "ventriclse"}])
def test_a_slip_is_named(decided: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"F, mapping: .*did you mean"):
        map_labels(GENERATOR, dataset(ventricles=1), decided, where="F")
