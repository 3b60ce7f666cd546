"""Every configuration that nnU-Net has, by its own command line: what was drawn, what was validated, what is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from synthaug.integrations.nnunet.view import PlansView
from synthaug.labels import LabelScheme
from tests.integration.conftest import use
from tests.integration.tiny_nnunet import (
    LABELS,
    TinyDataset,
    copy_of_raw,
    full_table,
    make_cache,
    make_trainer,
    metrics,
    prepare,
    validated,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHORT = {
    "SYNTHAUG_EPOCHS": "1",
    "SYNTHAUG_ITERATIONS": "3",
    "SYNTHAUG_VALIDATION_ITERATIONS": "1",
    "nnUNet_n_proc_DA": "0",
}
DRAWS = 8
"""Three iterations of two cases; nnU-Net draws one more batch before the first epoch."""

REGIONS: dict[str, Any] = {"background": 0, "whole": [1, 2, 3], "ventricles": [2, 3]}
REGION_LABELS = {"brain": "label_1", "lateral_ventricle_left": "label_2", "lateral_ventricle_right": "label_3"}
IGNORED = 4
CHANNELS = ("T1", "FLAIR")


def command(dataset: TinyDataset, configuration: str = "3d_fullres", fold: str = "0") -> list[str]:
    """What a user types."""
    return ["nnUNetv2_train", dataset.name[7:10], configuration, fold, "-tr", "nnUNetTrainerSynthAug", "-device", "cpu"]


def assert_trained(dataset: TinyDataset, configuration: str = "3d_fullres", synthetic: int = DRAWS // 2) -> None:
    """So many draws were synthetic, what was validated is real, and stock nnU-Net opens what is left."""
    import torch

    output = dataset.output(configuration)
    (epoch,) = metrics(output)
    assert (epoch["draws"], epoch["synthetic"]) == (DRAWS, synthetic)
    assert epoch["fallbacks"] == {"empty": 0, "unreadable": 0}
    held_out = json.loads((dataset.preprocessed / "splits_final.json").read_text())[0]["val"]
    assert validated(output) == sorted(held_out)

    stock = make_trainer(dataset, "nnUNetTrainer", configuration)
    stock.load_checkpoint(str(output / "checkpoint_final.pth"))
    trained = torch.load(output / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    assert trained["trainer_name"] == "nnUNetTrainer"
    loaded = stock.network.state_dict()
    assert loaded.keys() == trained["network_weights"].keys()
    assert all(torch.equal(loaded[name], weights) for name, weights in trained["network_weights"].items())


def plain(base: TinyDataset, root: Path) -> TinyDataset:
    return copy_of_raw(base, root, "Dataset902_Other")


def with_regions(base: TinyDataset, root: Path) -> TinyDataset:
    return copy_of_raw(base, root, "Dataset903_Regions", labels=REGIONS, more={"regions_class_order": [1, 2]})


def with_ignored_voxels(base: TinyDataset, root: Path) -> TinyDataset:
    return _ignore_slices(copy_of_raw(base, root, "Dataset904_Ignore", labels={**LABELS, "ignore": IGNORED}))


def with_regions_and_ignored_voxels(base: TinyDataset, root: Path) -> TinyDataset:
    labels = {**REGIONS, "ignore": IGNORED}
    more = {"regions_class_order": [1, 2]}
    return _ignore_slices(copy_of_raw(base, root, "Dataset905_Both", labels=labels, more=more))


def _ignore_slices(dataset: TinyDataset) -> TinyDataset:
    """Sparse annotation: two of three slices of every real case are not labelled."""
    for path in (dataset.raw / "labelsTr").iterdir():
        image: Any = nibabel.load(path)
        label = np.asarray(image.dataobj).copy()
        label[:, :, np.arange(label.shape[2]) % 3 > 0] = IGNORED
        nibabel.save(nibabel.Nifti1Image(label, image.affine), path)
    return dataset


@pytest.mark.parametrize(
    ("make", "configuration"),
    [
        (plain, "2d"),
        (with_regions, "3d_fullres"),
        (with_ignored_voxels, "3d_fullres"),
        (with_regions_and_ignored_voxels, "2d"),
    ],
)
def test_a_configuration_trains_and_leaves_what_stock_nnunet_opens(
    base: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[TinyDataset, Path], TinyDataset],
    configuration: str,
) -> None:
    dataset = make(base, tmp_path / "nnunet").preprocess(configuration)
    use(dataset, monkeypatch)
    table = full_table(LabelScheme.load("ventricles-t1"))
    if "whole" in dataset.labels:
        table = {name: REGION_LABELS.get(label, label) for name, label in table.items()}
    store = make_cache(tmp_path / "cache", num=3)
    prepare(dataset, store, mix=0.5, mapping=table, configurations=(configuration,))
    dataset.run(command(dataset, configuration), **SHORT)
    assert_trained(dataset, configuration)


def test_a_low_resolution_stage_trains_and_the_stage_after_it_on_real_cases_alone(
    base: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = plain(base, tmp_path / "nnunet").preprocess("3d_lowres", "3d_fullres")
    use(dataset, monkeypatch)
    prepare(dataset, make_cache(tmp_path / "cache", num=3), mix=0.5, configurations=("3d_lowres",))
    # every case is validated in fold all, which is what gives each of them a prediction for the next stage
    dataset.run(command(dataset, "3d_lowres", "all"), **SHORT)
    (epoch,) = metrics(dataset.output("3d_lowres", fold="all"))
    assert (epoch["draws"], epoch["synthetic"]) == (DRAWS, DRAWS // 2)

    refused = dataset.try_run(command(dataset, "3d_cascade_fullres"), **SHORT)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "SYNTHAUG_RATIO=0" in refused.stdout
    assert not (dataset.output("3d_cascade_fullres") / "synthaug_metrics.jsonl").exists()

    dataset.run(command(dataset, "3d_cascade_fullres"), **SHORT, SYNTHAUG_RATIO="0")
    assert_trained(dataset, "3d_cascade_fullres", synthetic=0)


def test_several_channels_train_in_the_datasets_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TinyDataset(tmp_path / "nnunet", "Dataset906_Channels", channels=CHANNELS).write_raw().preprocess()
    use(dataset, monkeypatch)
    store = make_cache(tmp_path / "cache", num=2, channels=CHANNELS[::-1])
    prepared = prepare(dataset, store, mix=0.5)
    view = PlansView(prepared.views["3d_fullres"])
    for name in store.names():
        image = np.asarray(view.load_case(name)[0][:])
        made = store.read(name)
        for channel, contrast in zip(image, CHANNELS, strict=True):
            own = made.image[made.channels.index(contrast)]
            # normalised by mean and deviation of the head, and turned; the rest is noise of its own in each contrast
            expected = (own[own > 0] - own[own > 0].mean()) / own[own > 0].std()
            np.testing.assert_allclose(np.sort(channel[channel != 0]), np.sort(expected), atol=1e-4)
    dataset.run(command(dataset), **SHORT)
    assert_trained(dataset)
