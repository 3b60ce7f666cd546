"""Each study that the documentation names, in short: its own arms, on small cases, with few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.configuration import load_config
from synthaug.schedules import HistogramMatching, parse_schedule
from synthaug.study.arms import plan_runs
from synthaug.study.configuration import StudyConfig
from synthaug.study.experiment import Experiment
from synthaug.study.report import write_report
from synthaug.study.results import StudyResults
from tests.study.small_study import STAND_IN, write_dataset

STUDIES = sorted((Path(__file__).parents[2] / "examples/study").glob("*.json"))
SMALL_NETWORKS = {
    "dynunet": {"filters": [4, 8, 8]},
    "unet3d": {"channels": [4, 8, 8]},
    "unet2d": {"channels": [4, 8, 8]},
}
SHORT = {"spacing_mm": 8, "shape": [16, 16, 16], "num_pairs": 2, "seeds": [0], "steps": 2, "batch": 1}

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def content(study: Path) -> dict[str, Any]:
    return dict(json.loads(study.read_text()))


def stand_in(choice: dict[str, Any]) -> dict[str, Any]:
    """In place of what has weights; the rest as it is."""
    needs_none = choice.get("generator") in ("counterfactual", "domain-randomization") and "options" not in choice
    return choice if needs_none or "generator" not in choice else {"generator": STAND_IN}


def shortened(study: Path, dataset: Path) -> StudyConfig:
    found = content(study)
    found.pop("fold", None)
    return load_config(
        StudyConfig,
        {
            **found,
            "dataset": str(dataset),
            "test_cases": ["test_0", "test_1"],
            "segmenters": {name: SMALL_NETWORKS[name] for name in found["segmenters"]},
            "generators": {name: stand_in(one) for name, one in found["generators"].items()},
            **({"real_cases": [1, 3]} if "real_cases" in found else {}),
            **SHORT,
            **({"num_pairs": [1, 2]} if isinstance(found["num_pairs"], list) else {}),
        },
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("raw") / "Dataset900_Small")


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_made_in_short(study: Path, dataset: Path, tmp_path: Path) -> None:
    config = shortened(study, dataset)
    made = Experiment(config, tmp_path / "out", device="cpu")
    made.check()
    made.work()
    results = StudyResults(config, tuple(made.runs), made.workspace.results(made.runs))
    assert results.complete == made.runs
    written = {path.name for path in write_report(tmp_path / "report", results)}
    for axis, picture in (("ratios", "ratio"), ("real_cases", "real_cases"), ("num_pairs", "num_pairs")):
        values = content(study).get(axis)
        assert f"utility_by_{picture}.png" in written or not isinstance(values, list) or len(values) < 2
    arms = (tmp_path / "report" / "arms.csv").read_text()
    assert all(name in arms for name in (*config.generators, *config.strategies, *config.segmenters))


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_has_several_seeds_and_compares_with_real_cases_alone(study: Path) -> None:
    config = load_config(StudyConfig, content(study))
    assert len(config.seeds) >= 2
    arms = {run.arm for run in plan_runs(config)}
    assert {arm.segmenter for arm in arms if arm.strategy == "real"} == set(config.segmenters)
    assert any(arm.strategy != "real" for arm in arms)


def test_what_is_missing_is_drawn_for_the_real_cases_and_the_ratio_of_its_study() -> None:
    found = content(next(path for path in STUDIES if path.stem == "volume_schedules"))
    schedule = parse_schedule(found["schedules"]["what-is-missing"])
    assert isinstance(schedule, HistogramMatching)
    assert [schedule.fraction] == found["ratios"]
    assert list(schedule.real_ml) == found["schedules"]["as-real"]["volumes_ml"]
