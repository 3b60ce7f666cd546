"""Training scripts that know nothing of synthaug take a SynthAugment by one changed line.

Each script below is written the way its tutorial writes it, around files; ``change`` stands at the line that changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import (
    CacheDataset,
    DataLoader,
    Dataset,
    MetaTensor,
    decollate_batch,
)
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.transforms import (
    AsDiscrete,
    Compose,
    ConvertToMultiChannelBasedOnBratsClassesd,
    CropForegroundd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    ScaleIntensityRanged,
    Spacingd,
)

from synthaug import SynthAugment
from synthaug.errors import ConfigurationError
from synthaug.store import Store
from synthaug.volumes import write_image, write_label
from tests.integrations.third_party.cases import (
    CASES,
    CHANNELS,
    Change,
    make_cache,
    mixed_into,
    simple_transforms,
    write_cases,
)
from tests.stand_in_generator import StandInGenerator

# ---------------------------------------------------------------- organ segmentation with crops around the label


def spleen_transforms() -> Compose:
    keys = ["image", "label"]
    return Compose([
        LoadImaged(keys=keys),
        EnsureChannelFirstd(keys=keys),
        ScaleIntensityRanged(keys=["image"], a_min=0, a_max=150, b_min=0.0, b_max=1.0, clip=True),
        CropForegroundd(keys=keys, source_key="image", allow_smaller=True),
        Orientationd(keys=keys, axcodes="RAS", labels=None),
        Spacingd(keys=keys, pixdim=(4.5, 4.5, 4.0), mode=("bilinear", "nearest")),
        RandCropByPosNegLabeld(
            keys=keys, label_key="label", spatial_size=(16, 16, 16), pos=1, neg=1, num_samples=2,
            image_key="image", image_threshold=0,
        ),
    ])  # fmt: skip


def spleen_script(files: list[dict[str, str]], change: Change, epochs: int, num_workers: int) -> tuple[Any, list[Any]]:
    """CacheDataset, several crops of a case, DataLoader with workers, DiceLoss, validation by sliding window."""
    train_files, val_files = files[:-1], files[-1:]
    train_ds = change(CacheDataset(data=train_files, transform=spleen_transforms(), cache_rate=1.0, progress=False))
    train_loader = DataLoader(train_ds, batch_size=2, shuffle=True, num_workers=num_workers)
    val_transforms = Compose(spleen_transforms().transforms[:-1])
    val_ds = CacheDataset(data=val_files, transform=val_transforms, cache_rate=1.0, progress=False)
    val_loader = DataLoader(val_ds, batch_size=1)

    classes = 14
    model = UNet(spatial_dims=3, in_channels=1, out_channels=classes, channels=(8, 16), strides=(2,), norm="batch")
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    dice_metric = DiceMetric(include_background=False, reduction="mean")
    post_pred = Compose([AsDiscrete(argmax=True, to_onehot=classes)])
    post_label = Compose([AsDiscrete(to_onehot=classes)])
    history, batches = [], []
    for _ in range(epochs):
        model.train()
        epoch_loss = 0.0
        for batch_data in train_loader:
            inputs, labels = batch_data["image"], batch_data["label"]
            optimizer.zero_grad()
            loss = loss_function(model(inputs), labels)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
            batches.append(batch_data)
        history.append(epoch_loss / len(train_loader))
    model.eval()
    with torch.no_grad():
        for val_data in val_loader:
            val_outputs = sliding_window_inference(val_data["image"], (16, 16, 16), 4, model)
            val_outputs = [post_pred(i) for i in decollate_batch(val_outputs)]
            val_labels = [post_label(i) for i in decollate_batch(val_data["label"])]
            dice_metric(y_pred=val_outputs, y=val_labels)
    return {"loss": history, "dice": dice_metric.aggregate().item()}, batches


def test_the_loop_of_organ_segmentation_learns_from_both(files: list[dict[str, str]], cache: str) -> None:
    figures, batches = spleen_script(files, mixed_into(cache), epochs=8, num_workers=0)
    assert figures["loss"][-1] < figures["loss"][0] - 0.02
    assert 0 <= figures["dice"] <= 1
    whole = batches[0]
    assert isinstance(whole["image"], MetaTensor)
    assert whole["image"].shape[1:] == whole["label"].shape[1:] == (1, 16, 16, 16)
    made = torch.cat([batch["synthaug"]["synthetic"] for batch in batches])
    assert 0.3 < made.double().mean() < 0.7  # of five cases two or three
    by_epoch = made.reshape(8, -1)
    assert len({tuple(one.tolist()) for one in by_epoch}) > 1  # epochs are told apart though nobody tells them


def test_each_pass_of_a_loader_is_an_epoch_whatever_its_workers(files: list[dict[str, str]], cache: str) -> None:
    seen = []
    for workers, kept in ((0, False), (2, False), (2, True)):
        change = mixed_into(cache, schedule="uniform:20:120")
        train_ds = change(Dataset(files, spleen_transforms()))
        loader = DataLoader(train_ds, batch_size=2, num_workers=workers, persistent_workers=kept)
        crops = [one for _ in range(3) for batch in loader for one in decollate_batch(batch)]
        assert len(crops) == 3 * CASES * 2
        assert train_ds.epoch == 3
        names = [one["synthaug"]["name"] for one in crops]
        pixels = [float(one["image"].sum()) for one in crops if one["synthaug"]["synthetic"]]
        seen.append((names, pixels))
    assert seen[0] == seen[1] == seen[2]
    names = seen[0][0]
    epochs = [names[number * CASES * 2 : (number + 1) * CASES * 2] for number in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    real = {index for one in epochs for index, name in enumerate(one) if not name}
    assert len(real) > CASES  # more real cases than one epoch has room for


def test_a_synthetic_sample_is_as_the_same_pair_loaded_from_files(
    tmp_path: Path, files: list[dict[str, str]], cache: str
) -> None:
    """Values, affine, type and metadata: the pair enters where the files would have been loaded."""
    transform = Compose(spleen_transforms().transforms[:-1])
    data = SynthAugment(Dataset(files, transform), cache, ratio=1.0, transform="dataset")
    sample = data[0]
    pair = Store.open(cache).read(sample["synthaug"]["name"])
    write_image(tmp_path / "image.nii.gz", pair.image, pair.affine)
    write_label(tmp_path / "label.nii.gz", pair.label, pair.affine)
    loaded = transform({"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")})
    for key in ("image", "label"):
        assert sample[key].dtype == loaded[key].dtype
        torch.testing.assert_close(sample[key].as_tensor(), loaded[key].as_tensor())
        torch.testing.assert_close(sample[key].affine, loaded[key].affine)
        assert set(sample[key].meta) <= set(loaded[key].meta)


# ---------------------------------------------------------------- several channels, classes that overlap


def brain_script(files: list[dict[str, str]], change: Change) -> list[Any]:
    """Dataset, labels without a channel until they become three, four modalities in one file."""
    keys = ["image", "label"]
    train_transform = Compose([
        LoadImaged(keys=keys),
        EnsureChannelFirstd(keys="image"),
        EnsureTyped(keys=keys),
        ConvertToMultiChannelBasedOnBratsClassesd(keys="label"),
        Orientationd(keys=keys, axcodes="RAS", labels=None),
        Spacingd(keys=keys, pixdim=(4.0, 4.0, 4.0), mode=("bilinear", "nearest")),
        RandSpatialCropd(keys=keys, roi_size=[16, 16, 16], random_size=False),
        RandFlipd(keys=keys, prob=0.5, spatial_axis=0),
        NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
        RandScaleIntensityd(keys="image", factors=0.1, prob=1.0),
        RandShiftIntensityd(keys="image", offsets=0.1, prob=1.0),
    ])  # fmt: skip
    train_ds = change(Dataset(data=files, transform=train_transform))
    train_loader = DataLoader(train_ds, batch_size=1, shuffle=True, num_workers=0)
    model = UNet(spatial_dims=3, in_channels=4, out_channels=3, channels=(8, 16), strides=(2,))
    loss_function = DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batches = []
    for _ in range(2):
        for batch_data in train_loader:
            optimizer.zero_grad()
            loss = loss_function(model(batch_data["image"]), batch_data["label"])
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)
            batches.append(batch_data)
    return batches


def test_the_loop_of_several_channels_and_overlapping_classes_runs(tmp_path: Path) -> None:
    generator = StandInGenerator(channels=CHANNELS)
    files = write_cases(tmp_path, generator)
    batches = brain_script(files, mixed_into(make_cache(tmp_path / "cache", generator)))
    for one in batches:  # real and synthetic alike
        assert (one["image"].dtype, tuple(one["image"].shape)) == (torch.float32, (1, 4, 16, 16, 16))
        assert (one["label"].dtype, tuple(one["label"].shape)) == (torch.float32, (1, 3, 16, 16, 16))
    assert sum(int(one["synthaug"]["synthetic"]) for one in batches) == CASES


def test_augmentation_hits_synthetic_samples(files: list[dict[str, str]], cache: str) -> None:
    transform = Compose([
        LoadImaged(["image", "label"], ensure_channel_first=True),
        RandShiftIntensityd("image", offsets=(5.0, 50.0), prob=1.0),
    ])  # fmt: skip
    data = SynthAugment(Dataset(files, transform), cache, ratio=1.0, transform="dataset", count_epochs=True)
    (one,), (other,) = data.__getitems__([2]), data.__getitems__([2])
    shifts = []
    for sample in (one, other):
        pair = Store.open(cache).read(sample["synthaug"]["name"])
        shifts.append(float(sample["image"].mean()) - float(pair.image.mean()))
    assert all(5.0 <= shift <= 50.0 for shift in shifts)
    assert shifts[0] != shifts[1]


# ---------------------------------------------------------------- what one line cannot do is told


def test_a_second_pass_without_epochs_is_warned_of(files: list[dict[str, str]], cache: str) -> None:
    data = SynthAugment(Dataset(files, simple_transforms()), cache, ratio=0.5, transform="dataset")
    loader = DataLoader(data, batch_size=3)
    list(loader)
    with pytest.warns(UserWarning, match="count_epochs=True") as told:
        list(loader)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"transform": "datasets"}, "'datasets'"),
        ({"transform": (print, 3)}, "two: of image and of label"),
        ({"count_epochs": True, "ratio": "synthetic-then-real"}, "give epochs= too"),
    ],
)
def test_mistakes_are_told(files: list[dict[str, str]], cache: str, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        SynthAugment(Dataset(files, simple_transforms()), cache, **arguments)


def test_a_dataset_without_a_transform_has_none_to_take(cache: str) -> None:
    real = [{"image": np.zeros((1, 32, 32, 32), np.float32), "label": np.zeros((1, 32, 32, 32), np.int16)}]
    with pytest.raises(ConfigurationError, match="a list has no transform of its own"):
        SynthAugment(real, cache, transform="dataset")
