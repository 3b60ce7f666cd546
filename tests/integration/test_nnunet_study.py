"""A study whose segmenter is nnU-Net itself, by its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug.configuration import load_config
from synthaug.errors import ConfigurationError
from synthaug.study.configuration import StudyConfig
from synthaug.study.experiment import Experiment
from tests.integration.tiny_nnunet import TinyDataset, full_table, make_cache, metrics
from tests.study.small_study import small_config

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("fresh_accelerator")]


def config(dataset: TinyDataset, cache: Path, **changes: Any) -> StudyConfig:
    from synthaug.labels import LabelScheme

    plan = {
        "dataset": dataset.name,
        "test_cases": ["tiny_4", "tiny_5"],
        "spacing_mm": 5,
        "structure": "lateral_ventricle_left",
        "segmenters": {"nnunet": {"iterations": 2}},
        "generators": {"made": {"cache": str(cache), "mapping": full_table(LabelScheme.load("ventricles-t1"))}},
        "steps": 4,
        **changes,
    }
    return load_config(StudyConfig, plan)


@pytest.mark.slow
def test_both_arms_are_trained_by_the_command_and_tested_on_the_cases_of_the_study(
    dataset: TinyDataset, tmp_path: Path
) -> None:
    make_cache(tmp_path / "cache")
    before = sorted(path.name for path in dataset.preprocessed.iterdir())
    made = Experiment(config(dataset, tmp_path / "cache"), tmp_path / "out", device="cpu")
    made.check()
    made.work()
    assert all(made.workspace.result(run) for run in made.runs)
    drawn = {}
    for run in made.runs:
        result = made.workspace.result(run)
        assert result is not None
        assert [one.identifier for one in result.tested] == ["tiny_4", "tiny_5"]
        assert all(one.volume_ml > 0 for one in result.tested)
        (output,) = (made.workspace.run_folder(run) / "nnunet" / "results").rglob("fold_0")
        lines = metrics(output)
        assert len(lines) == 2  # epochs of two iterations: four steps
        drawn[run.arm.strategy] = sum(line["synthetic"] for line in lines)
    assert drawn["real"] == 0
    assert drawn["mixed"] > 0
    assert sorted(path.name for path in dataset.preprocessed.iterdir()) == before


def test_a_data_set_that_is_not_preprocessed_is_refused_at_the_start(dataset: TinyDataset, tmp_path: Path) -> None:
    make_cache(tmp_path / "cache")
    wrong = config(dataset, tmp_path / "cache", segmenters={"nnunet": {"iterations": 2, "configuration": "3d_huge"}})
    with pytest.raises(ConfigurationError, match=r"segmenters\.nnunet\.configuration.*3d_huge.*3d_fullres"):
        Experiment(wrong, tmp_path / "out", device="cpu").check()


def test_steps_are_whole_epochs() -> None:
    with pytest.raises(ConfigurationError, match="no multiple of the 250 iterations"):
        small_config(Path("x"), segmenters=["nnunet"], steps=251)
    with pytest.raises(ConfigurationError, match="needs a generator"):
        small_config(Path("x"), segmenters=["nnunet"], steps=250, strategies=["real"], generators={})
