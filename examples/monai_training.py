"""Train a MONAI UNet on real cases mixed with synthetic ones.

    python examples/monai_training.py                                     stand-ins for real cases, shipped generator
    python examples/monai_training.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 500

Everything of synthaug is in ``mixed_dataset``: one line around the data set that a MONAI training has anyway.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandAdjustContrastd,
    RandGaussianNoised,
    RandSpatialCropd,
    Spacingd,
    SpatialPadd,
)
from monai.utils import set_determinism

from synthaug import SynthAugment
from synthaug.demo.stand_ins import make_stand_ins
from synthaug.labels import LabelScheme, propose_mapping
from synthaug.precomputing import load_named_generator, precompute
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo

KEYS = ("image", "label")
SPACING_MM = (3.0, 3.0, 3.0)
PATCH = (48, 48, 48)


def preparation(*, train: bool) -> list[Any]:
    """What real and synthetic samples go through alike, once they are loaded."""
    steps: list[Any] = [
        Orientationd(KEYS, axcodes="RAS", labels=None),
        Spacingd(KEYS, pixdim=SPACING_MM, mode=("bilinear", "nearest")),
        NormalizeIntensityd("image", nonzero=True),
        SpatialPadd(KEYS, spatial_size=PATCH),
    ]
    if train:
        steps += [
            RandSpatialCropd(KEYS, roi_size=PATCH, random_size=False),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.8, 1.25), retain_stats=True),
            RandGaussianNoised("image", prob=0.3, std=0.05),
        ]
    return steps


def real_files(folder: Path) -> list[dict[str, str]]:
    """Image and label files of a raw nnU-Net data set with one channel."""
    labels = sorted((folder / "labelsTr").glob("*.nii.gz"))
    images = [folder / "imagesTr" / label.name.replace(".nii.gz", "_0000.nii.gz") for label in labels]
    return [{"image": str(image), "label": str(label)} for image, label in zip(images, labels, strict=True)]


def mixed_dataset(
    files: list[dict[str, str]], held_out: list[dict[str, str]], scheme: LabelScheme, cache: Path, ratio: float
) -> SynthAugment:
    """The real training set, of whose items a share of ``ratio`` is synthetic, with ventricles of 20 to 120 mL."""
    load = [LoadImaged(KEYS), EnsureChannelFirstd(KEYS)]
    real = Dataset(files, Compose([*load, *preparation(train=True)]))
    return SynthAugment(
        real,
        cache,
        ratio=ratio,
        schedule="uniform:20:120",
        transform=Compose(preparation(train=True)),  # synthetic pairs enter behind the loading
        mapping=propose_mapping(Store.open(cache).info.scheme, scheme),
        held_out=held_out,  # a generator that was fitted on one of them is refused
    )


def train(mixed: SynthAugment, num_classes: int, steps: int) -> torch.nn.Module:
    """A plain loop; the only call that knows of synthaug is ``set_epoch``."""
    network = UNet(3, 1, num_classes, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2)
    loss_function = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    loader = DataLoader(mixed, batch_size=2, shuffle=True, num_workers=0)
    done, epoch = 0, 0
    while done < steps:
        mixed.set_epoch(epoch, progress=done / steps)
        for batch in loader:
            optimiser.zero_grad()
            loss = loss_function(network(batch["image"]), batch["label"])
            loss.backward()
            optimiser.step()
            done += 1
            if done % 5 == 0 or done == steps:
                synthetic = int(batch["synthaug"]["synthetic"].sum())
                print(f"step {done}/{steps}  loss {loss.item():.3f}  synthetic in this batch: {synthetic}", flush=True)
            if done == steps:
                break
        epoch += 1
    return network


def validate(network: torch.nn.Module, files: list[dict[str, str]], num_classes: int) -> float:
    """Mean Dice over structures of real cases."""
    load = [LoadImaged(KEYS), EnsureChannelFirstd(KEYS)]
    loader = DataLoader(Dataset(files, Compose([*load, *preparation(train=False)])), batch_size=1)
    metric = DiceMetric(include_background=False, num_classes=num_classes)
    network.eval()
    with torch.inference_mode():
        for batch in loader:
            logits = sliding_window_inference(batch["image"], PATCH, 2, network)
            prediction = logits.argmax(dim=1, keepdim=True)
            metric(decollate_batch(prediction), decollate_batch(batch["label"]))
    return float(np.nanmean(metric.aggregate().numpy()))


def main() -> None:
    """Prepare what is missing, train, validate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="raw nnU-Net data set folder; default: stand-ins are made")
    parser.add_argument("--cache", type=Path, help="cache of synthaug precompute; default: a small one is made")
    parser.add_argument("--generator", default="ventricles-t1-1mm")
    parser.add_argument("--num", type=int, default=4, help="pairs in the small cache")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    set_determinism(0)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data, cache = arguments.data, arguments.cache
        if data is None or cache is None:
            generator = load_named_generator(arguments.generator)
            if data is None:
                print("no --data: making stand-ins for real cases; no figure below says anything about patients")
                data = make_stand_ins(generator, work, num=4)
            if cache is None:
                cache = work / "cache"
                store = Store.create(cache, StoreInfo.of(generator))
                precompute(generator, store, num=arguments.num, schedule=parse_schedule("uniform:20:120"))
        scheme = LabelScheme.from_nnunet(json.loads((data / "dataset.json").read_text()))
        files = real_files(data)
        number = max(1, len(files) // 5)
        held_out, training = files[:number], files[number:]
        mixed = mixed_dataset(training, held_out, scheme, cache, arguments.ratio)
        stats = mixed.stats()
        print(f"{stats['synthetic']} of {stats['items']} items of the first epoch are synthetic")
        num_classes = scheme.num_classes
        network = train(mixed, num_classes, arguments.steps)
        print(f"mean Dice of {number} held-out case(s): {validate(network, held_out, num_classes):.3f}")


if __name__ == "__main__":
    main()
