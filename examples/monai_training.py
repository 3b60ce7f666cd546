"""Train a MONAI UNet on real cases mixed with synthetic ones: the dictionary form.

    python examples/monai_training.py                                     stand-ins for real cases, shipped generator
    python examples/monai_training.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 500

All of synthaug is the ``SynthAugment`` around the training data set, and ``set_epoch``.
"""

from __future__ import annotations

from typing import Any

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
from synthaug.demo.example_cases import example_cases, example_parser

KEYS = ("image", "label")
PATCH = (48, 48, 48)

PREPARATION: list[Any] = [
    LoadImaged(KEYS),
    EnsureChannelFirstd(KEYS),
    Orientationd(KEYS, axcodes="RAS", labels=None),
    Spacingd(KEYS, pixdim=(3.0, 3.0, 3.0), mode=("bilinear", "nearest")),
    NormalizeIntensityd("image", nonzero=True),
    SpatialPadd(KEYS, spatial_size=PATCH),
]
AUGMENTATION: list[Any] = [
    RandSpatialCropd(KEYS, roi_size=PATCH, random_size=False),
    RandAdjustContrastd("image", prob=0.3, gamma=(0.8, 1.25), retain_stats=True),
    RandGaussianNoised("image", prob=0.3, std=0.05),
]


def train(mixed: SynthAugment, num_classes: int, steps: int) -> torch.nn.Module:
    """A plain loop."""
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


def validate(network: torch.nn.Module, files: list[dict[str, Any]], num_classes: int) -> float:
    """Mean Dice over structures of real cases."""
    metric = DiceMetric(include_background=False, num_classes=num_classes)
    network.eval()
    with torch.inference_mode():
        for batch in DataLoader(Dataset(files, Compose(PREPARATION)), batch_size=1):
            logits = sliding_window_inference(batch["image"], PATCH, 2, network)
            prediction = logits.argmax(dim=1, keepdim=True)
            metric(decollate_batch(prediction), decollate_batch(batch["label"]))
    return float(metric.aggregate("mean").nanmean())


def main() -> None:
    """Mix, train, validate."""
    arguments = example_parser(__doc__).parse_args()
    set_determinism(0)
    with example_cases(arguments) as cases:
        real = Dataset(cases.training, Compose([*PREPARATION, *AUGMENTATION]))
        mixed = SynthAugment(
            real,
            cases.cache,
            ratio=0.5,
            schedule="uniform:20:120",  # ventricular volumes in mL
            transform="dataset",  # what real cases go through; a pair stands where their files are loaded
            mapping=cases.mapping,
            held_out=cases.held_out,  # a generator that was fitted on one of them is refused
        )
        stats = mixed.stats()
        print(f"{stats['synthetic']} of {stats['items']} items of the first epoch are synthetic")
        num_classes = cases.scheme.num_classes
        network = train(mixed, num_classes, arguments.steps)
        dice = validate(network, cases.held_out, num_classes)
        print(f"mean Dice of {len(cases.held_out)} held-out case(s): {dice:.3f}")


if __name__ == "__main__":
    main()
