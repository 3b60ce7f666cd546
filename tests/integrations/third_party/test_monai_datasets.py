"""MONAI's other data sets and loaders, and its array form, take a SynthAugment by one changed line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import (
    ArrayDataset,
    CacheDataset,
    DataLoader,
    Dataset,
    GridPatchDataset,
    ImageDataset,
    PatchIterd,
    PersistentDataset,
    SmartCacheDataset,
    ThreadDataLoader,
    list_data_collate,
    partition_dataset,
)
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    RandFlip,
    RandRotate90,
    RandSpatialCrop,
    ScaleIntensity,
)
from monai.utils import first

from tests.integrations.third_party.cases import (
    CASES,
    mixed_into,
    simple_transforms,
    synthetic_in,
)


def test_datasets_that_cache_on_disk_and_in_part(tmp_path: Path, files: list[dict[str, str]], cache: str) -> None:
    change = mixed_into(cache)
    persistent = change(PersistentDataset(files, simple_transforms(), cache_dir=tmp_path / "persistent"))
    assert synthetic_in(list(DataLoader(persistent, batch_size=3))) == CASES // 2

    smart = change(
        SmartCacheDataset(files, simple_transforms(), replace_rate=0.5, cache_num=4, progress=False, num_init_workers=1)
    )
    smart.start()
    loader = DataLoader(smart, batch_size=2)
    for _ in range(3):
        assert synthetic_in(list(loader)) == 2
        smart.update_cache()  # of the data set within
    smart.shutdown()
    assert smart.epoch == 3
    with pytest.raises(AttributeError, match="neither SynthAugment nor its SmartCacheDataset"):
        _ = smart.replace_cache


@pytest.mark.parametrize("workers", [0, 2])
def test_patches_of_a_grid(files: list[dict[str, str]], cache: str, workers: int) -> None:
    volume_ds = mixed_into(cache)(Dataset(files, simple_transforms()))
    patches = PatchIterd(keys=["image", "label"], patch_size=(16, 16, 16))
    patch_ds = GridPatchDataset(data=volume_ds, patch_iter=patches, with_coordinates=False)
    loader = DataLoader(patch_ds, batch_size=4, num_workers=workers)
    passes = [list(loader) for _ in range(2)]
    assert [synthetic_in(one) for one in passes] == [8 * CASES // 2] * 2
    names = [sorted(name for batch in one for name in batch["synthaug"]["name"]) for one in passes]
    assert names[0] != names[1]  # another epoch


def test_a_loader_of_threads_and_partitions_of_the_files(files: list[dict[str, str]], cache: str) -> None:
    drawn = []
    for rank, part in enumerate(partition_dataset(data=files, num_partitions=2, shuffle=True, seed=0)):
        train_ds = mixed_into(cache, rank=rank, ratio=1.0)(CacheDataset(part, simple_transforms(), progress=False))
        train_loader = ThreadDataLoader(train_ds, num_workers=0, batch_size=3, shuffle=True)
        check_data = first(train_loader)
        assert check_data["image"].shape == (3, 1, 32, 32, 32)
        drawn.append([[name for batch in train_loader for name in batch["synthaug"]["name"]] for _ in range(3)])
    assert drawn[0] != drawn[1]  # two ranks have different pairs


def array_transforms() -> tuple[Compose, Compose]:
    crop = [RandSpatialCrop((24, 24, 24), random_size=False), RandRotate90(prob=0.5, spatial_axes=(0, 2))]
    image = Compose([LoadImage(image_only=True), ScaleIntensity(), EnsureChannelFirst(), *crop])
    label = Compose([LoadImage(image_only=True), EnsureChannelFirst(), *crop])
    return image, label


def test_two_transforms_of_image_and_label_stay_in_step(files: list[dict[str, str]], cache: str) -> None:
    images, segs = [one["image"] for one in files], [one["label"] for one in files]
    imtrans, segtrans = array_transforms()
    ds = mixed_into(cache)(ArrayDataset(images, imtrans, segs, segtrans))
    loader = torch.utils.data.DataLoader(ds, batch_size=3, num_workers=0, collate_fn=list_data_collate)
    for _ in range(2):
        for im, seg in loader:
            assert im.shape == seg.shape == (3, 1, 24, 24, 24)
            assert im.dtype == seg.dtype == torch.float32
    made = [ds[index] for index in range(CASES) if ds.is_synthetic(index)]
    assert len(made) == CASES // 2
    for image, label in made:
        background = image.min()
        assert bool(((image > background) == (label > 0)).all())  # one crop and one turn for both


def test_a_dataset_that_loads_images_itself(files: list[dict[str, str]], cache: str) -> None:
    turn = [EnsureChannelFirst(), RandFlip(prob=0.5, spatial_axis=0)]
    ds = ImageDataset(
        [one["image"] for one in files], [one["label"] for one in files],
        transform=Compose([*turn, ScaleIntensity()]), seg_transform=Compose(turn),
    )  # fmt: skip
    mixed = mixed_into(cache)(ds)
    image, label = next(mixed[index] for index in range(CASES) if mixed.is_synthetic(index))
    assert image.shape == label.shape == (1, 32, 32, 32)
    assert bool(((image > image.min()) == (label > 0)).all())
