import pytest

from synthaug.errors import AmbiguousMappingError, LabelError
from synthaug.labels import LabelScheme, propose_mapping

VENTRICLES = LabelScheme.load("ventricles-t1")
FREESURFER = LabelScheme.load("freesurfer")


def dataset(*names: str) -> LabelScheme:
    return LabelScheme.from_nnunet({"labels": {"background": 0, **{n: i for i, n in enumerate(names, 1)}}}, "dataset")


@pytest.mark.parametrize("name", ["ventricles-t1", "freesurfer", "neuromorphometrics"])
def test_a_scheme_maps_onto_itself(name: str) -> None:
    scheme = LabelScheme.load(name)
    assert propose_mapping(scheme, scheme).table == {one: one for one in scheme.names}


def test_a_target_named_as_a_group_takes_all_its_members() -> None:
    table = propose_mapping(VENTRICLES, dataset("Ventricles")).table
    assert {name for name, goal in table.items() if goal == "Ventricles"} == set(VENTRICLES.groups["ventricles"])
    assert {goal for name, goal in table.items() if name not in VENTRICLES.groups["ventricles"]} == {"background"}


def test_a_group_of_the_source_counts_even_where_anatomy_knows_no_name() -> None:
    organs = LabelScheme.from_dict(
        {
            "name": "organs",
            "structures": [
                {"name": "lung_upper", "id": 1},
                {"name": "lung_lower", "id": 2},
                {"name": "liver", "id": 3},
            ],
            "groups": {"lungs": ["lung_upper", "lung_lower"]},
        }
    )
    table = propose_mapping(organs, dataset("lung", "Liver")).table
    assert table == {"lung_upper": "lung", "lung_lower": "lung", "liver": "Liver"}


def test_sides_are_kept_and_spellings_do_not_matter() -> None:
    target = dataset("LatVent_R", "Lateral Ventricle Left", "3rd-Ventricle", "IV ventricle")
    table = propose_mapping(FREESURFER, target).table
    assert table["inferior_lateral_ventricle_left"] == table["lateral_ventricle_left"] == "Lateral Ventricle Left"
    assert table["lateral_ventricle_right"] == "LatVent_R"
    assert table["fourth_ventricle"] == "IV ventricle"


def test_the_narrowest_target_wins() -> None:
    table = propose_mapping(VENTRICLES, dataset("brain", "ventricles", "thalamus")).table
    assert table["third_ventricle"] == "ventricles"
    assert table["thalamus"] == "thalamus"
    assert table["brainstem"] == "brain"


def test_tissue_classes_take_their_structures() -> None:
    table = propose_mapping(VENTRICLES, dataset("CSF", "GM", "WM")).table
    assert table["lateral_ventricle_left"] == table["csf"] == "CSF"
    assert table["basal_ganglia"] == table["cerebellar_cortex"] == "GM"
    assert table["cerebellar_white_matter"] == "WM"


def test_a_ventricle_that_the_dataset_lacks_is_asked_for_and_not_made_csf() -> None:
    with pytest.raises(AmbiguousMappingError, match="'third_ventricle' could become CSF or background") as caught:
        propose_mapping(VENTRICLES, dataset("CSF", "lateral ventricles"))
    assert "\n" not in str(caught.value)
    decided = {"third_ventricle": "background", "fourth_ventricle": "CSF"}
    table = propose_mapping(VENTRICLES, dataset("CSF", "lateral ventricles"), decided=decided).table
    assert decided.items() <= table.items()
    assert table["lateral_ventricle_right"] == "lateral ventricles"


def test_two_targets_for_one_structure_are_both_listed() -> None:
    with pytest.raises(
        AmbiguousMappingError, match=r"'cerebellar_white_matter' could become (WM or cerebellum|cerebellum or WM)"
    ):
        propose_mapping(VENTRICLES, dataset("WM", "cerebellum"))


def test_a_structure_that_would_have_to_be_split_is_an_error_with_its_parts() -> None:
    with pytest.raises(AmbiguousMappingError, match="'hippocampus_amygdala' could become hippocampus or amygdala"):
        propose_mapping(VENTRICLES, dataset("hippocampus", "amygdala"))
    with pytest.raises(AmbiguousMappingError, match="'thalamus' could become thalamus_left or thalamus_right"):
        propose_mapping(VENTRICLES, dataset("thalamus_left", "thalamus_right"))


def test_a_target_without_a_source_is_an_error_unless_it_may_be_missing() -> None:
    with pytest.raises(AmbiguousMappingError, match=r"'tumour' of 'dataset' gets no source structure.*by hand"):
        propose_mapping(
            VENTRICLES, dataset("csf", "tumour"), decided=dict.fromkeys(VENTRICLES.groups["ventricles"], "csf")
        )
    allowed = propose_mapping(VENTRICLES, dataset("thalamus", "tumour"), allow_missing=["tumour"])
    assert "tumour" not in allowed.table.values()


def test_a_wrong_decision_is_refused() -> None:
    with pytest.raises(LabelError, match=r"no structure 'thalmus' \(did you mean 'thalamus'"):
        propose_mapping(VENTRICLES, dataset("thalamus"), decided={"thalmus": "thalamus"})
    with pytest.raises(LabelError, match=r"scheme 'dataset' has no structure 'thalmus' \(did you mean 'thalamus'"):
        propose_mapping(VENTRICLES, dataset("thalamus"), decided={"thalamus": "thalmus"}, allow_missing=["thalamus"])
