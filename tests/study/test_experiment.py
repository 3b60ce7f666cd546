"""Whole tiny studies: results, resuming, leaks, blends, transfer, and several processes on one folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from synthaug.errors import ConfigurationError, GeometryError, LabelError, LeakageError, SynthAugError
from synthaug.schedules import HistogramMatching
from synthaug.store import Store, StoreInfo
from synthaug.study.experiment import Experiment
from synthaug.study.grid_case import GridCase
from synthaug.study.results import StudyResults
from synthaug.study.segmenter_stage import SegmenterStage
from synthaug.volumes import read_label, write_label
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill
from tests.study.small_study import STAND_IN, small_config, write_dataset

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("raw") / "Dataset900_Small")


def experiment(dataset: Path, folder: Path, **changes: Any) -> Experiment:
    return Experiment(small_config(dataset, **changes), folder, device="cpu", checkpoint_seconds=1e-9)


def results(made: Experiment) -> StudyResults:
    return StudyResults(made.config, tuple(made.runs), made.workspace.results(made.runs))


def outcomes(made: Experiment) -> list[list[dict[str, Any]]]:
    """Figures of every run, without times."""
    found = made.workspace.results(made.runs)
    return [[case.to_dict() for case in found[run].tested] for run in made.runs]


def test_a_study_ends_with_a_result_for_every_run_and_makes_none_twice(dataset: Path, tmp_path: Path) -> None:
    made = experiment(dataset, tmp_path / "out")
    made.check()
    made.work()
    assert results(made).complete == made.runs
    for run in made.runs:
        result = made.workspace.result(run)
        assert result is not None
        assert (result.steps, result.is_short, result.pairs) == (3, False, 0 if run.arm.strategy == "real" else 3)
        assert [one.identifier for one in result.tested] == ["test_0", "test_1"]
        assert result.tested[0].volume_ml == pytest.approx(40, rel=0.15)
        assert len(result.tested[0].dice) == 13
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    again = experiment(dataset, tmp_path / "out")
    again.check()
    again.work()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == times


def test_a_study_that_is_interrupted_again_and_again_has_the_results_of_one_that_is_not(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = experiment(dataset, tmp_path / "whole")
    whole.check()
    whole.work()
    take, steps = SegmenterStage._take, iter(range(1000))

    def interrupted(stage: SegmenterStage, turn: Any) -> dict[str, float]:
        if next(steps) % 3 == 2:
            raise KeyboardInterrupt
        return take(stage, turn)

    monkeypatch.setattr(SegmenterStage, "_take", interrupted)
    interruptions = 0
    stopped = experiment(dataset, tmp_path / "stopped")
    while results(stopped).missing:
        try:
            stopped.check()
            stopped.work()
        except KeyboardInterrupt:
            interruptions += 1
            stopped = experiment(dataset, tmp_path / "stopped")
    assert interruptions >= 4
    assert outcomes(stopped) == outcomes(whole)


def test_the_seed_decides(dataset: Path, tmp_path: Path) -> None:
    made = experiment(dataset, tmp_path / "out", strategies=["real"], generators={}, schedules=[])
    made.check()
    made.work()
    first, second = outcomes(made)
    assert first != second


@pytest.mark.parametrize("name", ["train_0", "test_1"])
def test_a_generator_that_has_seen_a_test_case_is_refused_by_content(dataset: Path, tmp_path: Path, name: str) -> None:
    from synthaug.generators.cases import case_record
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    record = case_record(NnunetDataset("d", dataset, dataset).cases[name])
    renamed = type(record)("another name", record.image_sha256, record.label_sha256)
    generator = StandInGenerator(training_cases=[renamed])
    fill(Store.create(tmp_path / "cache", StoreInfo.of(generator)), generator)
    made = experiment(dataset, tmp_path / "out", generators={"seen": {"cache": str(tmp_path / "cache")}})
    if name.startswith("train"):
        made.check()
        return
    with pytest.raises(LeakageError, match=r"generators\.seen.*test_1 \(same image"):
        made.check()
    assert not (tmp_path / "out" / "study.json").exists()


def test_a_test_case_among_the_training_cases_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    for part, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(folder / part / f"test_0{ending}", folder / part / f"copied{ending}")
    with pytest.raises(LeakageError, match=r"training cases of d.*copied"):
        experiment(folder, tmp_path / "out").check()


def test_a_generator_that_draws_from_cases_is_given_training_cases_alone(dataset: Path, tmp_path: Path) -> None:
    choice = {"generator": "counterfactual", "extrapolate": True}
    made = experiment(
        dataset, tmp_path / "out", generators={"warp": choice}, real_cases=[1, 2], strategies=["real", "synthetic"]
    )
    drawn = {
        tuple(case.identifier for case in cache.cases)
        for run in made.runs
        for _, cache in made.data.caches(run.arm, run.seed)
    }
    assert {len(names) for names in drawn} == {1, 2}
    assert all(name.startswith("train") for names in drawn for name in names)


def test_numbers_of_pairs_are_drawn_from_one_cache(dataset: Path, tmp_path: Path) -> None:
    alone = experiment(dataset, tmp_path / "out", num_pairs=3, seeds=[0])
    alone.check()
    alone.work()
    made = experiment(dataset, tmp_path / "out", num_pairs=[1, 3], seeds=[0])
    made.check()
    assert len(made.workspace.results(made.runs)) == 2  # the arm of three pairs is done
    made.work()
    found = made.workspace.results(made.runs)
    assert [found[run].pairs for run in made.runs] == [0, 1, 3]
    drawn = [
        {lessons.draw(step, 0, 0.5).name for step in range(60)} - {"train_0", "train_1", "train_2"}
        for lessons in (made.data.lessons(run.arm, run.seed) for run in made.runs)
    ]
    assert [len(one) for one in drawn] == [0, 1, 3]
    assert drawn[1] < drawn[2]
    assert len(list((tmp_path / "out" / "caches").glob("*/cache.json"))) == 1


def test_what_is_missing_is_what_the_real_cases_of_the_run_lack(tmp_path: Path) -> None:
    raw = write_dataset(tmp_path / "Dataset900_Two", training_ml=[18.0, 70.0])
    made = experiment(
        raw, tmp_path / "out", schedules=["missing:15:80"], num_pairs=8, strategies=["synthetic", "mixed"],
        real_cases=[1, 2],
    )  # fmt: skip
    made.check()
    made.work()
    assert len(list((tmp_path / "out" / "caches").glob("*/cache.json"))) == 1  # whoever draws from it
    for run in made.runs:
        lessons = made.data.lessons(run.arm, run.seed)
        cases = [lessons.draw(step, 0, 0.5) for step in range(80)]
        real = {ventricles_ml(one) > 47.5 for one in cases if one.name.startswith("train")}
        pairs = {ventricles_ml(one) > 47.5 for one in cases if not one.name.startswith("train")}
        # in two bins; one real case fills its own, and two of different size leave as much of both
        assert pairs == ({not size for size in real} if run.arm.real_cases == 1 else {True, False})


def given_cache(folder: Path, volumes_ml: tuple[float, ...]) -> dict[str, Any]:
    generator = StandInGenerator()
    fill(Store.create(folder, StoreInfo.of(generator)), generator, volumes_ml)
    return {"given": {"cache": str(folder)}}


def test_given_pairs_are_compared_with_what_each_run_draws_of_them(dataset: Path, tmp_path: Path) -> None:
    """The real cases have 15 to 25 mL: what they lack of 14 to 90 mL begins at 52 mL."""
    few = given_cache(tmp_path / "few", (16.0, 20.0, 30.0))
    with pytest.raises(ConfigurationError, match=r"given: schedule missing:14:90 draws no volume of its pairs"):
        experiment(dataset, tmp_path / "out", generators=few, schedules=["missing:14:90", "uniform:15:30"]).check()
    some = given_cache(tmp_path / "some", (20.0, 58.0, 62.0))
    made = experiment(
        dataset, tmp_path / "out", generators=some, schedules=["missing:14:90"], strategies=["mixed"], seeds=[0]
    )
    made.check()
    made.work()
    (note,) = made.workspace.results(made.runs)[made.runs[0]].notes
    assert "3" in note.split("%")[0]  # a third of 52 to 90 mL
    assert "of schedule missing:14:90 lies within the volumes of its pairs" in note


def test_every_schedule_is_checked_where_several_share_their_pairs(tmp_path: Path) -> None:
    raw = write_dataset(tmp_path / "Dataset900_Merged")
    described = json.loads((raw / "dataset.json").read_text())
    described["labels"] = {"background": 0, "tissue": 1, "ventricles": 2}
    (raw / "dataset.json").write_text(json.dumps(described))
    for path in (raw / "labelsTr").iterdir():
        found, affine = read_label(path, StandInGenerator().scheme)
        merged = np.where(np.isin(found, (3, 4, 5, 6, 13)), 2, found > 0).astype(np.int16)
        write_label(path, merged, affine)
    scheme = StandInGenerator().scheme
    inner = (*scheme.groups["ventricles"], "csf")
    table = {name: "ventricles" if name in inner else "tissue" for name in scheme.names}
    generators = {"a": {"generator": STAND_IN, "mapping": table}}
    for schedules in (["missing:20:80", "uniform:20:80"], ["uniform:20:80", "missing:20:80"]):
        with pytest.raises(LabelError, match=r"generators\.a: ventricles cannot be measured .* as are csf"):
            experiment(raw, tmp_path / "out", generators=generators, schedules=schedules).check()


def test_what_is_missing_in_a_transfer_is_of_the_first_data_set_alone(dataset: Path, tmp_path: Path) -> None:
    second = write_dataset(tmp_path / "Dataset901_Second", training_ml=[70.0], test_ml=[50.0], first_seed=300)
    transfer: dict[str, Any] = {"dataset": str(second), "test_cases": ["test_0"]}
    for more in ({}, {"mapping": {"csf": "third_ventricle"}, "allow_missing": ["csf"]}):
        made = experiment(dataset, tmp_path / "out", transfer=transfer | more, schedules=["missing:15:90"])
        drawn = {cache.drawn for run in made.runs for _, cache in made.data.caches(run.arm, run.seed)}
        (schedule,) = drawn
        assert isinstance(schedule, HistogramMatching)
        # whatever the network is to call them
        assert sorted(schedule.real_ml) == pytest.approx([15, 20, 25], rel=0.02)


def ventricles_ml(case: GridCase) -> float:
    """On the grid of 8 mm: labels 3 to 6."""
    return int(((case.label >= 3) & (case.label <= 6)).sum()) * 0.512


def test_given_caches_and_blends_of_them(dataset: Path, tmp_path: Path) -> None:
    for version in (1, 2):
        generator = StandInGenerator(version=version)
        fill(Store.create(tmp_path / f"cache{version}", StoreInfo.of(generator)), generator)
    generators = {
        "one": {"cache": str(tmp_path / "cache1")},
        "two": {"cache": str(tmp_path / "cache2")},
        "both": {"blend": {"one": 1, "two": 1}},
    }
    made = experiment(
        dataset, tmp_path / "out", generators=generators, seeds=[0], schedules=[], strategies=["synthetic"]
    )
    made.check()
    made.work()
    pairs = {run.arm.generator: made.workspace.results(made.runs)[run].pairs for run in made.runs}
    assert pairs == {"one": 3, "two": 3, "both": 6}
    assert not (tmp_path / "out" / "caches").exists()


def test_a_transfer_ends_on_the_second_data_set(dataset: Path, tmp_path: Path) -> None:
    second = write_dataset(tmp_path / "Dataset901_Second", training_ml=[18.0], test_ml=[50.0], first_seed=300)
    transfer = {"dataset": str(second), "test_cases": ["test_0"]}
    made = experiment(
        dataset, tmp_path / "out", transfer=transfer, seeds=[0], strategies=["real", "synthetic", "mixed"]
    )
    made.check()
    made.work()
    found = results(made)
    assert [arm.strategy for arm in found.by_arm] == ["from-scratch", "real", "synthetic", "mixed"]
    for by_seed in found.by_arm.values():
        assert by_seed[0][0].volume_ml == pytest.approx(50, rel=0.15)
    baselines = [found.baseline_of(arm) for arm in found.by_arm]
    assert [one.strategy if one else None for one in baselines] == [None, *["from-scratch"] * 3]


def test_a_transfer_to_the_same_data_set_is_refused(dataset: Path, tmp_path: Path) -> None:
    transfer = {"dataset": str(dataset), "test_cases": ["test_0"]}
    with pytest.raises(ConfigurationError, match="give another data set"):
        experiment(dataset, tmp_path / "out", transfer=transfer).check()


def test_names_that_two_data_sets_share_are_no_leak_but_content_is(dataset: Path, tmp_path: Path) -> None:
    """Both have a case train_0; the second tests on a case of its own, then on a copy of one of the first."""
    second = write_dataset(tmp_path / "Dataset902_Second", training_ml=[18.0, 19.0], test_ml=[50.0], first_seed=400)
    transfer = {"dataset": str(second), "test_cases": ["train_0"]}
    experiment(dataset, tmp_path / "fine", transfer=transfer).check()
    for part, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(dataset / part / f"train_2{ending}", second / part / f"test_0{ending}")
    transfer = {"dataset": str(second), "test_cases": ["test_0"]}
    with pytest.raises(LeakageError, match=r"training cases of Dataset900_Small.*train_2"):
        experiment(dataset, tmp_path / "leak", transfer=transfer).check()


def test_a_run_without_time_for_its_steps_is_short_and_goes_on_with_more(dataset: Path, tmp_path: Path) -> None:
    def make(budget: float | None) -> Experiment:
        made = experiment(
            dataset, tmp_path / "out", strategies=["real"], generators={}, schedules=[], seeds=[0],
            budget_seconds=budget,
        )  # fmt: skip
        made.check()
        made.work()
        return made

    first = make(1e-6)
    assert results(first).short == first.runs
    assert results(first).by_arm == {}
    assert len(results(make(1e-6)).short) == 1
    second = make(None)
    assert results(second).complete == second.runs
    whole = experiment(dataset, tmp_path / "whole", strategies=["real"], generators={}, schedules=[], seeds=[0])
    whole.check()
    whole.work()
    assert outcomes(second) == outcomes(whole)


def test_what_another_process_is_making_is_left_alone_and_waited_for(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment(dataset, tmp_path / "out", seeds=[0])
    made.check()
    claims = made.workspace.claims()
    assert claims.take(made.runs[0].name)
    assert not made.work_on(0)
    there = []

    def lost(waiting: Experiment) -> None:
        """The other process goes away without a result."""
        there.append([waiting.workspace.result(run) is not None for run in waiting.runs])
        claims.release_all()

    monkeypatch.setattr(Experiment, "_wait_for_others", lost)
    made.work()
    assert there == [[False, True]]
    assert not results(made).missing
    assert made.work_on(0)


def test_a_study_may_gain_runs_and_lose_none_that_has_begun(dataset: Path, tmp_path: Path) -> None:
    experiment(dataset, tmp_path / "out", steps=4).check()
    made = experiment(dataset, tmp_path / "out")  # nothing had begun
    made.check()
    assert made.work_on(0)
    with pytest.raises(ConfigurationError, match=r"another study, with 1 run.*dynunet-real"):
        experiment(dataset, tmp_path / "out", steps=4).check()
    with pytest.raises(ConfigurationError, match="another study"):
        experiment(dataset, tmp_path / "out", steps=4).check_begun()
    more = experiment(dataset, tmp_path / "out", budget_seconds=100, bin_edges_ml=[50], seeds=[1, 0, 2])
    more.check()
    more.check_begun()
    assert [run.seed for run in results(more).complete] == [0]
    assert len(results(more).missing) == 5


def test_cases_with_a_mended_header_are_other_cases(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset900_Small")
    made = experiment(folder, tmp_path / "out")
    made.check()
    case = made.data.data.first.test[0]
    before = made.data.real_case(made.data.data.first, case)
    for path in (*case.images, case.label):
        image = nibabel.Nifti1Image.from_filename(path)
        affine = image.affine @ np.diag([1.0, 1.0, 0.5, 1.0])
        nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine), path)
    again = experiment(folder, tmp_path / "out")
    after = again.data.real_case(again.data.data.first, again.data.data.first.test[0])
    assert int((after.label > 0).sum()) == pytest.approx(int((before.label > 0).sum()) / 2, rel=0.1)
    again.check()  # nothing has begun
    assert again.work_on(0)
    with pytest.raises(ConfigurationError, match="begun with other cases"):
        made.check()


def test_test_cases_of_the_same_content_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    for part, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(folder / part / f"test_0{ending}", folder / part / f"test_9{ending}")
    with pytest.raises(ConfigurationError, match="test_0 and test_9 have the same image"):
        experiment(folder, tmp_path / "out", test_cases=["test_0", "test_1", "test_9"]).check()


def test_pairs_that_do_not_fit_are_told_before_any_training_and_a_larger_shape_goes_on(
    dataset: Path, tmp_path: Path
) -> None:
    large = {"large": {"generator": STAND_IN, "options": {"shape": [44, 44, 44]}}}
    made = experiment(dataset, tmp_path / "out", generators=large, seeds=[0])
    made.check()
    with pytest.raises(GeometryError, match=r"generators\.large: pair sa.*give a larger shape"):
        made.work()
    assert not (tmp_path / "out" / "runs").exists()
    mended = experiment(dataset, tmp_path / "out", generators=large, seeds=[0], shape=[24, 24, 24])
    mended.check()
    mended.work()
    assert not results(mended).missing


def test_a_generator_of_another_fold_is_no_leak_by_a_name_that_two_data_sets_share(
    dataset: Path, tmp_path: Path
) -> None:
    """It has seen test_0 of the first data set, and test_0 of the second is another subject."""
    from synthaug.generators.cases import case_record
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    second = write_dataset(tmp_path / "Dataset903_Second", training_ml=[18.0], test_ml=[50.0], first_seed=500)
    transfer = {"dataset": str(second), "test_cases": ["test_0"]}
    for number, (folder, is_leak) in enumerate(((dataset, False), (second, True))):
        record = case_record(NnunetDataset("d", folder, folder).cases["test_0"])
        generator = StandInGenerator(training_cases=[record])
        fill(Store.create(tmp_path / f"cache{number}", StoreInfo.of(generator)), generator)
        seen = {"seen": {"cache": str(tmp_path / f"cache{number}")}}
        made = experiment(dataset, tmp_path / f"out{number}", generators=seen, transfer=transfer, schedules=[])
        if is_leak:
            with pytest.raises(LeakageError, match=r"generators\.seen.*test_0"):
                made.check()
        else:
            made.check()


def test_a_device_that_is_not_there_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="device 'gpu' cannot be used here"):
        Experiment(small_config(dataset), tmp_path / "out", device="gpu").check()
    assert not (tmp_path / "out" / "study.json").exists()


def test_a_folder_with_other_files_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="holds other files"):
        experiment(dataset, tmp_path / "out").check()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"structure": "ventricle"}, "did you mean 'ventricles'"),
        ({"structures": ["thalamus", "putamen"]}, "no structure or group 'putamen'"),
        ({"real_cases": [4]}, "has 3 training cases"),
        ({"generators": {"a": {"generator": "no-such"}}}, "no generator 'no-such'"),
        ({"generators": {"a": {"generator": STAND_IN, "options": {"channels": ["T1", "T2"]}}}}, "channel"),
        ({"generators": {"a": {"cache": "nowhere"}}}, "nowhere"),
        ({"schedules": ["uniform:100:900"]}, 'set "extrapolate": true under generators.stand-in'),
        ({"shape": [16, 16, 8]}, "shape: [16, 16, 8] voxels cut off"),
        ({"segmenters": {"dynunet": {"filters": [4, 8, 1000000]}}}, "segmenters.dynunet: training its weights takes"),
        ({"generators": {"a": {"generator": STAND_IN, "options": {"device": "cpu"}}}}, "generators.a: option 'device'"),
        ({"generators": {"a": {"generator": "counterfactual", "options": {"fil": 1}}}}, "generators.a: "),
        ({"schedules": ["liver=uniform:20:30"]}, "liver"),
        ({"schedules": ["liver=missing:20:30"]}, "liver"),
        ({"schedules": ["missing:20"]}, "missing does not take 1 numbers"),
        ({"generators": {"a": {"generator": STAND_IN, "mapping": {"thalamus": "brain"}}}}, "generators.a.mapping"),
    ],
)
def test_what_cannot_end_well_is_refused_before_any_work(
    dataset: Path, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(SynthAugError) as caught:
        experiment(dataset, tmp_path / "out", **changes).check()
    assert any(part in str(caught.value) for part in what.split("|"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "runs").exists()


def test_a_generator_without_a_structure_of_the_data_set_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"]["pituitary_gland"] = 14
    (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(ConfigurationError, match=r"generators\.stand-in.*pituitary_gland"):
        experiment(folder, tmp_path / "out").check()
    allowing = {"stand-in": {"generator": STAND_IN, "allow_missing": ["pituitary_gland"]}}
    experiment(folder, tmp_path / "out", generators=allowing).check()


def test_steps_that_were_left_out_are_told_in_the_results(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = SegmenterStage._loss

    def broken(stage: SegmenterStage, *given: Any) -> tuple[Any, dict[str, float]]:
        value, figures = loss(stage, *given)
        return value * (float("nan") if stage.step == 1 else 1.0), figures

    monkeypatch.setattr(SegmenterStage, "_loss", broken)
    made = experiment(dataset, tmp_path / "out", strategies=["real"], generators={}, schedules=[], seeds=[0])
    made.check()
    made.work()
    assert results(made).notes == [f"Run {made.runs[0].name}: 1 step(s) had no finite gradient and were left out."]
