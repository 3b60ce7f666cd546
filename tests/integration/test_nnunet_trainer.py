"""The trainers, in this process: what they draw, write and leave to nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import ConfigurationError
from tests.integration.tiny_nnunet import TinyDataset, full_table, make_cache, make_trainer, metrics, prepare

pytestmark = pytest.mark.integration


def checkpoint(path: Path) -> dict[str, Any]:
    import torch

    return dict(torch.load(path, map_location="cpu", weights_only=False))


def test_training_mixes_and_says_what_it_drew(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache")
    prepare(dataset, store, mix=0.5)
    trainer = make_trainer(dataset)
    trainer.run_training()

    lines = metrics(dataset.output())
    assert [line["epoch"] for line in lines] == [0, 1]
    assert [line["progress"] for line in lines] == [0.25, 0.75]
    # 3 iterations of 2 cases; nnU-Net draws one more batch before the first epoch
    assert [line["draws"] for line in lines] == [8, 6]
    assert [line["synthetic"] for line in lines] == [4, pytest.approx(3, abs=2)]
    for line in lines:
        assert line["synthetic"] + line["real"] == line["draws"]
        assert sum(line["volumes_ml"]["drawn"]) == line["synthetic"]
        assert line["fallbacks"] == {"empty": 0, "unreadable": 0}
    resolved = json.loads((dataset.output() / "synthaug.json").read_text())
    assert resolved["run"]["generator_sha256"] == store.info.fingerprint
    assert resolved["mix"] == "mixed:0.5"
    assert resolved["epochs"] == 2

    written = checkpoint(dataset.output() / "checkpoint_final.pth")
    assert written["trainer_name"] == "nnUNetTrainer"
    assert written["synthaug"]["trainer"] == "nnUNetTrainerSynthAug"
    assert written["synthaug"]["generator_sha256"] == store.info.fingerprint


def test_only_the_training_dataset_is_mixed(dataset: TinyDataset, tmp_path: Path) -> None:
    from synthaug.integrations.nnunet.mixed_dataset import MixedDataset

    prepare(dataset, make_cache(tmp_path / "cache"), mix="synthetic")
    trainer = make_trainer(dataset)
    trainer.initialize()
    training, validation = trainer.get_tr_and_val_datasets()
    real, held_out = trainer.do_split()
    assert isinstance(training, MixedDataset)
    assert type(validation) is trainer.dataset_class
    assert sorted(training.identifiers) == sorted(real)
    assert sorted(validation.identifiers) == sorted(held_out)


@pytest.mark.parametrize(("trainer", "expected"), [("Only", [1.0, 1.0]), ("Pretrain", [1.0, 0.0])])
def test_variants_follow_their_strategy(
    dataset: TinyDataset, tmp_path: Path, trainer: str, expected: list[float]
) -> None:
    prepare(dataset, make_cache(tmp_path / "cache"), mix=0.25)
    name = f"nnUNetTrainerSynthAug{trainer}"
    make_trainer(dataset, name).run_training()
    assert [line["realised_ratio"] for line in metrics(dataset.output(trainer=name))] == expected


def test_continued_training_goes_on_in_the_schedule(
    dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(dataset, make_cache(tmp_path / "cache"), mix="synthetic-then-real:0.5")
    monkeypatch.setenv("SYNTHAUG_EPOCHS", "4")

    class Interrupted(Exception):
        pass

    def interrupt() -> None:
        if first.current_epoch == 3:
            raise Interrupted  # in the fourth epoch, after the checkpoint of the third

    first = make_trainer(dataset)
    first.save_every = 1
    monkeypatch.setattr(first, "on_validation_epoch_start", interrupt)
    with pytest.raises(Interrupted):
        first.run_training()
    assert [line["epoch"] for line in metrics(dataset.output())] == [0, 1, 2, 3]

    second = make_trainer(dataset, continued=True)
    assert second.current_epoch == 3
    second.run_training()
    lines = metrics(dataset.output())
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["realised_ratio"] for line in lines] == [1.0, 1.0, 0.0, 0.0]


def test_draws_follow_the_volume_schedule(dataset: TinyDataset, tmp_path: Path) -> None:
    from synthaug.schedules import parse_schedule

    store = make_cache(tmp_path / "cache", num=8)
    volumes = sorted(entry.realised_ml["ventricles"] for entry in store.entries())
    wanted = parse_schedule(f"uniform:{volumes[4] - 0.1}:{volumes[-1] + 0.1}")
    prepare(dataset, store, mix="synthetic", schedule=wanted)
    make_trainer(dataset).run_training()
    for line in metrics(dataset.output()):
        assert line["volumes_ml"]["min"] >= volumes[3]


def test_other_plans_than_the_usual_ones_train(dataset: TinyDataset, tmp_path: Path) -> None:
    usual = dataset.preprocessed / "nnUNetPlans.json"
    other = {**json.loads(usual.read_text()), "plans_name": "nnUNetOtherPlans"}
    usual.unlink()
    (dataset.preprocessed / "nnUNetOtherPlans.json").write_text(json.dumps(other))
    store = make_cache(tmp_path / "cache", num=3)
    with pytest.raises(ConfigurationError, match=r"nnUNetPlans\.json: not found; name one of nnUNetOtherPlans"):
        prepare(dataset, store)
    prepared = prepare(dataset, store, mix="synthetic", plans="nnUNetOtherPlans")
    assert "-tr nnUNetTrainerSynthAug -p nnUNetOtherPlans" in str(prepared)
    make_trainer(dataset, plans="nnUNetOtherPlans").run_training()
    assert [line["realised_ratio"] for line in metrics(dataset.output(plans="nnUNetOtherPlans"))] == [1.0, 1.0]


def test_a_mixin_on_a_trainer_that_builds_its_own_network_keeps_that_trainers_name() -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_trainers.trainers import nnUNetTrainerSynthAugPretrain
    from synthaug.integrations.nnunet.checkpoints import network_trainer_name
    from synthaug.integrations.nnunet.mixin import SynthAugMixin

    class OwnNetwork(nnUNetTrainer):
        @staticmethod
        def build_network_architecture(*_: Any, **__: Any) -> Any:
            raise NotImplementedError

    class OwnLoss(nnUNetTrainer):
        pass

    class Mixed(SynthAugMixin, OwnNetwork):
        pass

    class MixedLoss(SynthAugMixin, OwnLoss):
        pass

    class BuildsBelow(Mixed):
        @staticmethod
        def build_network_architecture(*_: Any, **__: Any) -> Any:
            raise NotImplementedError

    assert network_trainer_name(nnUNetTrainerSynthAugPretrain, SynthAugMixin) == "nnUNetTrainer"
    assert network_trainer_name(Mixed, SynthAugMixin) == "OwnNetwork"
    # its loss plays no part in prediction, its network is the stock one
    assert network_trainer_name(MixedLoss, SynthAugMixin) == "nnUNetTrainer"
    assert network_trainer_name(BuildsBelow, SynthAugMixin) == "BuildsBelow"


def test_a_damaged_case_gives_way_to_a_real_one_and_is_counted(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=3)
    prepare(dataset, store, mix="synthetic")
    trainer = make_trainer(dataset)
    trainer.initialize()
    mixed, _ = trainer.get_tr_and_val_datasets()
    for path in mixed.view.cases.glob("*.pkl"):
        path.write_bytes(b"\x80")
    for identifier in mixed.identifiers:
        assert mixed.load_case(identifier)[1].shape == mixed.real.load_case(identifier)[1].shape
    counts = mixed.state.counts()
    assert (counts.unreadable, counts.real, counts.synthetic) == (4, 4, 0)


def test_a_damaged_view_is_mended_when_the_training_starts(
    dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_cache(tmp_path / "cache", num=3)
    prepared = prepare(dataset, store, mix="synthetic")
    name = store.names()[1]
    path = prepared.views["3d_fullres"] / "cases" / f"{name}.b2nd"
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2])
    trainer = make_trainer(dataset)
    trainer.initialize()
    mixed, _ = trainer.get_tr_and_val_datasets()
    assert f"1 damaged case(s) of {prepared.views['3d_fullres']} are made anew: {name}" in capsys.readouterr().out
    assert mixed.view.damaged() == []
    assert sorted(mixed.view.names()) == store.names()


def test_without_preparation_a_default_cache_is_made(
    dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use_stand_in_by_default(monkeypatch, quality_passes=True)
    monkeypatch.setenv("SYNTHAUG_AUTOMATIC_CASES", "3")
    monkeypatch.setenv("SYNTHAUG_MAPPING", json.dumps(full_table(_scheme())))
    trainer = make_trainer(dataset)
    trainer.run_training()
    printed = capsys.readouterr().out
    assert "3 cases are made with stand-in" in printed
    assert len(metrics(dataset.output())) == 2


def test_without_preparation_and_without_a_fit_one_line_says_what_to_run(
    dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use_stand_in_by_default(monkeypatch, channels=("CT",))
    with pytest.raises(SystemExit) as refused:
        make_trainer(dataset).run_training()
    assert refused.value.code == 2
    message = str(refused.value)
    assert "synthaug precompute --dataset Dataset901_Tiny" in message
    assert "'T1'" in message
    assert f"training refused: {message}" in capsys.readouterr().out
    assert not (dataset.preprocessed / "synthaug").exists()


def _use_stand_in_by_default(monkeypatch: pytest.MonkeyPatch, quality_passes: bool = False, **options: Any) -> None:
    import synthaug.generators
    import synthaug.precomputing
    from synthaug.quality import QualityConfig
    from tests.integration.tiny_nnunet import SHAPE, SPACING_MM
    from tests.stand_in_generator import StandInGenerator

    def load(name: str, **_: Any) -> StandInGenerator:
        assert name == "ventricles-t1-1mm"
        return StandInGenerator(SHAPE, SPACING_MM, **options)

    monkeypatch.setattr(synthaug.generators, "load_generator", load)
    if quality_passes:
        precompute = synthaug.precomputing.precompute

        def lenient(*arguments: Any, **more: Any) -> Any:
            return precompute(*arguments, quality=QualityConfig(min_component_fraction=0.1), **more)

        monkeypatch.setattr(synthaug.precomputing, "precompute", lenient)


def _scheme() -> Any:
    from synthaug.labels import LabelScheme

    return LabelScheme.load("ventricles-t1")
