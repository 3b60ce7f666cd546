"""What a training is refused for, before it does any work, and in which words."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from synthaug.cli.app import run
from synthaug.errors import ConfigurationError, LeakageError, SynthAugError
from synthaug.generators.cases import CasePaths, case_record
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.schedules import parse_schedule
from synthaug.store import Store
from synthaug.store.merging import merge
from synthaug.volumes import CaseRecord
from tests.integration.tiny_nnunet import TinyDataset, full_table, make_cache, make_trainer, prepare
from tests.leaked_copies import COPIES

pytestmark = pytest.mark.integration


def refusal(dataset: TinyDataset, configuration: str = "3d_fullres", fold: int | str = 0) -> str:
    """The line with which a training is refused."""
    trainer = make_trainer(dataset, configuration=configuration, fold=fold)
    with pytest.raises(SynthAugError) as refused:
        trainer.on_train_start()
    assert isinstance(refused.value, SystemExit)
    assert refused.value.code == 2
    message = str(refused.value)
    assert "\n" not in message
    assert not (dataset.output(configuration, fold=0) / "checkpoint_latest.pth").exists()
    return message


def settings(dataset: TinyDataset, **changed: object) -> None:
    path = dataset.preprocessed / "synthaug.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, **changed}))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ratoi": 0.5}, ["ratoi", "did you mean 'ratio'"]),
        ({"mix": "mixed:1.5"}, ["1.5", "0 (real only) to 1 (synthetic only)"]),
        ({"mix": "mixed", "ratio": 0.5}, ["ratio and mix both", "keep one"]),
        ({"schedule": "uniform:20"}, ["schedule"]),
        ({"automatic_cases": 0, "seed": -1}, ["automatic_cases", "seed"]),
    ],
)
def test_wrong_settings(dataset: TinyDataset, changed: dict[str, object], expected: list[str]) -> None:
    settings(dataset, **changed)
    message = refusal(dataset)
    for text in ["synthaug.json", *expected]:
        assert text in message


def test_a_wrong_variable(dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHAUG_RATIO", "-0.5")
    assert "SYNTHAUG_RATIO" in refusal(dataset)


def test_a_cascade_stage(dataset: TinyDataset) -> None:
    (dataset.preprocessed / "nnUNetPlans_3d_lowres").mkdir()
    message = refusal(dataset, "3d_cascade_fullres")
    assert "a cascade's second stage takes no synthetic cases" in message
    assert "SYNTHAUG_RATIO=0" in message


def test_a_cascade_stage_is_not_prepared(dataset: TinyDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="3d_cascade_fullres: a cascade's second stage"):
        prepare(dataset, make_cache(tmp_path / "cache", num=1), configurations=("3d_cascade_fullres",))
    assert not (dataset.preprocessed / "synthaug.json").exists()


def test_a_cache_that_is_not_there(dataset: TinyDataset, tmp_path: Path) -> None:
    settings(dataset, cache=str(tmp_path / "nowhere"))
    message = refusal(dataset)
    assert f"{tmp_path / 'nowhere'}: there is no cache" in message
    assert "synthaug precompute --dataset Dataset901_Tiny" in message


def test_a_cache_made_with_other_weights_than_prepared(dataset: TinyDataset, tmp_path: Path) -> None:
    prepare(dataset, make_cache(tmp_path / "cache", num=2))
    shutil.rmtree(tmp_path / "cache")
    make_cache(tmp_path / "cache", num=2, version=2)
    message = refusal(dataset)
    assert "but the training was prepared with stand-in" in message
    assert "run synthaug precompute" in message


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(("T1", "T2"), "the dataset has 1 channel(s) (T1) and the generator makes 2"), (("CT",), "channel 'T1'")],
)
def test_channels_that_do_not_fit(
    dataset: TinyDataset, tmp_path: Path, channels: tuple[str, ...], expected: str
) -> None:
    store = make_cache(tmp_path / "cache", num=2, channels=channels)
    settings(dataset, cache=str(store.folder), mapping=full_table(store.info.scheme))
    assert expected in refusal(dataset)


def test_a_mapping_with_choices_lists_them(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    settings(dataset, cache=str(store.folder))
    message = refusal(dataset)
    assert "'third_ventricle' could become brain or background" in message
    assert '"mapping"' in message
    assert not (store.folder / "views").exists()


def test_a_mapping_to_a_label_that_the_dataset_lacks(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    settings(dataset, cache=str(store.folder), mapping={**full_table(store.info.scheme), "thalamus": "thalamuss"})
    message = refusal(dataset)
    assert "thalamuss" in message
    assert "lateral_ventricle_left" in message


def of_its_name(case: CasePaths, folder: Path) -> CaseRecord:
    """The record of which only the name is known."""
    return CaseRecord(case.identifier, None, None)


def of_its_content(copy: Callable[[CasePaths, Path], CasePaths]) -> Callable[[CasePaths, Path], CaseRecord]:
    """The record of a copy."""
    return lambda case, folder: case_record(copy(case, folder))


@pytest.mark.parametrize(
    "seen", [of_its_name, *map(of_its_content, COPIES)], ids=["name", *(copy.__name__ for copy in COPIES)]
)
@pytest.mark.parametrize("with_raw_data", [True, False])
def test_a_generator_that_has_seen_a_validation_case(
    dataset: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: Callable[[CasePaths, Path], CaseRecord],
    with_raw_data: bool,
) -> None:
    training, validation = NnunetDataset.find("901").split(0)
    cases = NnunetDataset.find("901").cases
    leaked = seen(cases[validation[1]], tmp_path / "copy")
    clean = seen(cases[training[0]], tmp_path / "clean")
    store = make_cache(tmp_path / "cache", num=2, training_cases=[clean, leaked])
    with pytest.raises(LeakageError, match=validation[1]):
        prepare(dataset, store)
    assert not (dataset.preprocessed / "synthaug.json").exists()
    # prepared for a fold in whose training set the case is, trained in this one
    other_fold = next(
        fold for fold in range(5) if not {validation[1], training[0]} & set(NnunetDataset.find("901").split(fold)[1])
    )
    prepare(dataset, store, fold=other_fold)
    if not with_raw_data:
        shutil.rmtree(dataset.raw)
    message = refusal(dataset)
    assert validation[1] in message
    assert training[0] not in message
    assert "1 validation case(s) of fold 0" in message
    assert "allow_leakage" in message

    settings(dataset, allow_leakage=True)
    trainer = make_trainer(dataset)
    trainer.initialize()
    trainer.get_tr_and_val_datasets()
    recorded = json.loads((dataset.output() / "synthaug.json").read_text())
    assert recorded["allow_leakage"] is True
    (told,) = recorded["run"]["leakage"]
    assert validation[1] in told
    assert "allow_leakage" in "".join(path.read_text() for path in dataset.output().glob("training_log_*.txt"))


def test_a_fold_that_trains_on_a_validation_case(dataset: TinyDataset, tmp_path: Path) -> None:
    prepare(dataset, make_cache(tmp_path / "cache", num=2))
    path = dataset.preprocessed / "splits_final.json"
    training, validation = NnunetDataset.find("901").split(0)
    path.write_text(json.dumps([{"train": [*training, validation[0]], "val": validation}]))
    message = refusal(dataset)
    assert f"trains on 1 of its validation cases: {validation[0]}" in message

    settings(dataset, allow_leakage=True)
    trainer = make_trainer(dataset)
    trainer.initialize()
    trainer.get_tr_and_val_datasets()
    recorded = json.loads((dataset.output() / "synthaug.json").read_text())
    assert recorded["run"]["leakage"] == [validation[0]]


def test_fold_all_holds_nothing_out(dataset: TinyDataset, tmp_path: Path) -> None:
    seen = [CaseRecord(name, None, None) for name in NnunetDataset.find("901").cases]
    prepare(dataset, make_cache(tmp_path / "cache", num=2, training_cases=seen), fold="all")
    trainer = make_trainer(dataset, fold="all")
    trainer.initialize()
    training, _ = trainer.get_tr_and_val_datasets()
    assert set(NnunetDataset.find("901").cases) <= set(training.identifiers)


def test_preparing_leaves_an_existing_configuration_alone_when_it_fails(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    prepare(dataset, store)
    before = (dataset.preprocessed / "synthaug.json").read_bytes()
    for arguments in ({"fold": 7}, {"configurations": ("3d_fulres",)}, {"mapping": {"thalamuss": "brain"}}):
        with pytest.raises(ConfigurationError):
            prepare(dataset, store, **arguments)
    with pytest.raises(SynthAugError, match="ratio"):
        prepare(dataset, store, mix=1.5)
    assert (dataset.preprocessed / "synthaug.json").read_bytes() == before


def test_preparing_keeps_settings_that_it_does_not_decide(dataset: TinyDataset, tmp_path: Path) -> None:
    settings(dataset, epochs=7, mix="real")
    prepare(dataset, make_cache(tmp_path / "cache", num=2), mix=0.25)
    content = json.loads((dataset.preprocessed / "synthaug.json").read_text())
    assert content["epochs"] == 7
    assert content["mix"] == "mixed:0.25"


def test_a_merged_cache_is_refused_before_a_case_is_added(
    dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, validation = NnunetDataset.find("901").split(0)
    clean = make_cache(tmp_path / "clean", num=1)
    leaking = make_cache(tmp_path / "leaking", num=1, training_cases=[CaseRecord(validation[0], None, None)], version=2)
    merge(clean, [leaking])
    before = Store.open(clean.folder).names()
    table = tmp_path / "mapping.json"
    table.write_text(json.dumps(full_table(clean.info.scheme)))
    maker = [
        "--generator",
        "python:tests.stand_in_generator:make",
        "--option",
        "shape=48x48x48",
        "--option",
        "spacing_mm=2.5",
    ]
    where = ["--dataset", "901", "--fold", "0", "--out", str(clean.folder), "--mapping", str(table), "--device", "cpu"]
    assert run(["precompute", *maker, "--num", "3", "--schedule", "constant:60", *where]) == 2
    told = capsys.readouterr().err
    assert "generator stand-in was fitted on 1 validation case(s)" in told
    assert validation[0] in told
    assert Store.open(clean.folder).names() == before


def test_a_gpu_that_is_not_there(dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    prepared = prepare(dataset, make_cache(tmp_path / "cache", num=2))
    assert str(prepared).endswith("# without a GPU, as here: -device cpu")
    trainer = make_trainer(dataset)
    trainer.device = torch.device("cuda", 0)
    with pytest.raises(SystemExit, match="torch finds no GPU here; add -device cpu"):
        trainer.initialize()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert str(prepared).endswith("-tr nnUNetTrainerSynthAug")


def test_a_schedule_that_the_cases_hardly_reach_is_told_in_one_line(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=3)
    highest = max(entry.realised_ml["ventricles"] for entry in store.entries())
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(
            dataset,
            store,
            schedule=parse_schedule(f"uniform:{0.9 * highest:.0f}:{2 * highest:.0f}"),
            announce=told.append,
        )
    assert sum("of what the schedule (uniform) asks for" in line for line in told) == 1
