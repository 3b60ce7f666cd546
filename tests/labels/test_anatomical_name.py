import pytest

from synthaug.labels.anatomical_name import parse_anatomical_name
from synthaug.labels.anatomy import concept_of, wholes_of

SPELLINGS = {
    ("left", "lateral_ventricle"): (
        "Left-Lateral-Ventricle",
        "lateral_ventricle_left",
        "lh lateral ventricles",
        "LatVent_L",
    ),
    ("right", "inferior_lateral_ventricle"): ("Right Inf Lat Vent", "inferior_lateral_ventricle_right", "R_InfLatVent"),
    (None, "third_ventricle"): ("3rd-Ventricle", "third ventricle", "ThirdVentricle", "ventricle 3", "Ventricle_III"),
    (None, "fourth_ventricle"): ("4th Ventricle", "fourth_ventricle", "IV ventricle"),
    ("left", "cerebral_white_matter"): ("Left-Cerebral-White-Matter", "cerebral_wm_left", "l cerebral WM"),
    ("right", "cerebral_cortex"): ("rh cortex", "Right-Cerebral-Cortex", "ctx-rh", "cortical gm right"),
    ("left", "thalamus"): ("Left Thalamus Proper", "thalamus_l", "Left-Thalamus"),
    (None, "ventricles"): ("ventricles", "Ventricle", "brain ventricles"),
    (None, "csf"): ("CSF", "cerebrospinal fluid"),
    (None, "white_matter"): ("WM", "white matter", "White-Matter"),
    (None, "gray_matter"): ("GM", "grey matter", "gray_matter"),
    (None, "brainstem"): ("Brain-Stem", "brainstem", "Brain Stem"),
    ("left", "accumbens"): ("Left-Accumbens-area", "nucleus accumbens left"),
    ("right", "ventral_dc"): ("Right-VentralDC", "ventral_dc_right", "VDC R"),
    ("left", "cerebellar_cortex"): ("Left Cerebellum Exterior", "Left-Cerebellum-Cortex", "cerebellar_gm_l"),
}


@pytest.mark.parametrize(
    ("text", "side", "concept"),
    [(text, side, concept) for (side, concept), texts in SPELLINGS.items() for text in texts],
)
def test_usual_spellings_mean_one_structure(text: str, side: str | None, concept: str) -> None:
    parsed = parse_anatomical_name(text)
    assert (parsed.side, concept_of(parsed)) == (side, concept)


def test_names_that_no_table_knows_still_compare() -> None:
    assert parse_anatomical_name("Left_Kidney") == parse_anatomical_name("kidney-left")
    assert concept_of(parse_anatomical_name("kidney left")) == "kidney"
    assert parse_anatomical_name("L").side is None
    assert parse_anatomical_name("vertebrae_L1").side is None


def test_parts_lie_within_their_wholes() -> None:
    assert {"lateral_ventricle", "ventricles", "csf", "brain"} == wholes_of("inferior_lateral_ventricle")
    assert wholes_of("kidney") == frozenset()
