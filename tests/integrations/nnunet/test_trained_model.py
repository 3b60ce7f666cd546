"""A model folder of nnU-Net is asked in this process, in the voxel order it was trained in; pickles are not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.orientation import from_reader_order, to_reader_order
from synthaug.integrations.nnunet.trained_model import NnunetModel, read_checkpoint
from synthaug.volumes import LabeledVolume, write_image
from tests.integration.tiny_nnunet import LABELS, PLANS
from tests.stand_in_generator import StandInGenerator

CPU = torch.device("cpu")


def pair() -> LabeledVolume:
    generator = StandInGenerator((24, 28, 20), 4.0)
    return generator.generate([Condition({"ventricles": 20.0})], [1])[0]


def write_model(results: Path, *, configuration: str = "3d_fullres", folds: tuple[str, ...] = ("0",)) -> Path:
    """What nnU-Net leaves of a training, with random weights, and with the numbers that it logs."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder = results / "Dataset901_Tiny" / f"nnUNetTrainer__nnUNetPlans__{configuration}"
    folder.mkdir(parents=True)
    plans = json.loads(PLANS.read_text())
    dataset_json = {"channel_names": {"0": "T1"}, "labels": LABELS, "numTraining": 6, "file_ending": ".nii.gz"}
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    manager = PlansManager(plans)
    for number, fold in enumerate(folds):
        torch.manual_seed(number)
        chosen = manager.get_configuration("3d_fullres")
        network = get_network_from_plans(
            chosen.network_arch_class_name,
            chosen.network_arch_init_kwargs,
            chosen.network_arch_init_kwargs_req_import,
            1,
            len(LABELS),
            deep_supervision=False,
        )
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": torch.optim.SGD(network.parameters(), lr=0.01).state_dict(),
            "grad_scaler_state": None,
            "logging": {"train_losses": [np.float64(-0.5), np.float32(0.1)], "mean_fg_dice": [np.float64(0.7)]},
            "_best_ema": np.float64(0.7),
            "current_epoch": 1,
            "init_args": {"plans": plans, "configuration": configuration, "fold": number, "device": CPU},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPI", "SAR", "PIL"])
def test_the_reader_order_is_undone(codes: str) -> None:
    one = pair()
    turned, _ = to_reader_order(one.label[None], one.affine, codes)
    np.testing.assert_array_equal(from_reader_order(turned[0], one.affine, codes), one.label)
    permuted = one.affine[:, [2, 0, 1, 3]]  # a volume whose own axes are z, x, y
    volume = one.label.transpose(2, 0, 1)
    turned, _ = to_reader_order(volume[None], permuted, codes)
    np.testing.assert_array_equal(from_reader_order(turned[0], permuted, codes), volume)


def test_an_image_is_segmented_by_all_folds_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, one = write_model(tmp_path, folds=("0", "1")), pair()
    model = NnunetModel(folder, CPU)
    found = model.segment(one.image, one.label > 0, one.affine)
    assert capsys.readouterr().out == ""
    assert found.shape == one.label.shape
    assert found.dtype == np.int16
    assert set(np.unique(found)) <= set(LABELS.values())
    assert len(np.unique(found)) > 1
    assert (model.facts["folds"], model.facts["voxel_order"], len(model.facts["weights"])) == (["0", "1"], "RAS", 2)
    assert "RAS is assumed" in model.facts["notes"][0]
    assert model.title == "Dataset901_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert (model.channels, model.scheme.names) == (("T1",), tuple(LABELS)[1:])
    alone = [NnunetModel(folder / f"fold_{fold}", CPU) for fold in (0, 1)]
    assert [one.facts["folds"] for one in alone] == [["0"], ["1"]]
    segmented = [model.segment(one.image, one.label > 0, one.affine) for model in alone]
    assert (segmented[0] != segmented[1]).any()


def test_the_network_sees_what_nnunets_reader_would_give_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    folder, one = write_model(tmp_path), pair()
    (folder / "fold_0" / "validation").mkdir()
    for name, array in (("image", one.image[0]), ("label", one.label)):
        as_las = nibabel.Nifti1Image(array, one.affine).as_reoriented([[0, -1], [1, 1], [2, 1]])
        nibabel.save(as_las, tmp_path / f"{name}.nii.gz")
    shutil.copy(tmp_path / "label.nii.gz", folder / "fold_0" / "validation" / "case.nii.gz")
    model = NnunetModel(folder, CPU)
    assert (model.facts["voxel_order"], model.facts["notes"]) == ("LAS", [])
    image, properties = SimpleITKIO().read_images([str(tmp_path / "image.nii.gz")])
    label, _ = SimpleITKIO().read_seg(str(tmp_path / "label.nii.gz"))
    given: list[Any] = []

    def answer(*arguments: Any) -> np.ndarray:
        given.extend(arguments)
        return label[0]

    monkeypatch.setattr(model._predictor, "predict_single_npy_array", answer)
    np.testing.assert_array_equal(model.segment(one.image, one.label > 0, one.affine), one.label)
    np.testing.assert_array_equal(given[0], image)
    assert given[1]["spacing"] == pytest.approx(properties["spacing"])


def test_the_segmentation_is_the_one_that_nnunet_makes_of_the_file(tmp_path: Path) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder, one = write_model(tmp_path), pair()
    write_image(tmp_path / "case_0000.nii.gz", one.image, one.affine)
    predictor = nnUNetPredictor(use_mirroring=False, device=CPU, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,), "checkpoint_final.pth")
    (tmp_path / "out").mkdir()
    predictor.predict_from_files_sequential(
        [[str(tmp_path / "case_0000.nii.gz")]], [str(tmp_path / "out" / "case.nii.gz")], False, True
    )
    expected = np.asarray(nibabel.load(tmp_path / "out" / "case.nii.gz").dataobj)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(NnunetModel(folder, CPU).segment(one.image, one.label > 0, one.affine), expected)


def test_a_checkpoint_with_more_than_data_is_refused_before_nnunet_opens_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path)

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    file = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**read_checkpoint(file), "logging": Hostile()}, file)
    with pytest.raises(ConfigurationError, match="a checkpoint that holds more than data is not opened"):
        NnunetModel(folder, CPU)
    assert not (tmp_path / "touched").exists()


def test_reading_a_checkpoint_leaves_torchs_list_of_safe_classes_as_it_was(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(write_model(tmp_path) / "fold_0" / "checkpoint_final.pth")
    assert set(torch.serialization.get_safe_globals()) == before


def test_incomplete_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    file = folder / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(file)

    def refused(path: Path, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message) as caught:
            NnunetModel(path, CPU)
        assert "\n" not in str(caught.value)

    refused(tmp_path, "dataset.json is not in")
    refused(folder / "fold_3", "no fold_.*checkpoint_final.pth")
    torch.save({**content, "trainer_name": "nnUNetTrainerOfNobody"}, file)
    refused(folder, "nnU-Net cannot open it")
    torch.save({**content, "network_weights": {"encoder": torch.zeros(1)}}, file)
    refused(folder, "nnU-Net cannot open it")
    torch.save({**content, "init_args": {"configuration": "3d_cascade_fullres"}}, file)
    refused(folder, "the second stage of a cascade")
    torch.save({"state_dict": {}}, file)
    refused(folder, "is no checkpoint of nnU-Net")
    file.write_bytes(b"nothing")
    refused(folder, "cannot be read as a checkpoint")
    file.unlink()
    refused(folder, "no fold_.*checkpoint_final.pth in it; finish the training")
