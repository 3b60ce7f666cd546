"""Train on MONAI's array form: one chain of transforms for images, one for label maps, which stay in step.

python examples/monai_array.py
python examples/monai_array.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 500
"""

from __future__ import annotations

import torch
from monai.data import ArrayDataset, DataLoader
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    NormalizeIntensity,
    Orientation,
    RandFlip,
    RandRotate90,
    RandSpatialCrop,
    Spacing,
    SpatialPad,
)
from monai.utils import set_determinism

from synthaug import SynthAugment
from synthaug.demo.example_cases import example_cases, example_parser

SPACING_MM = (3.0, 3.0, 3.0)
PATCH = (48, 48, 48)


def chain(*, image: bool) -> Compose:
    """From a file to a patch; the random steps are the same ones, in the same order, for image and label map."""
    steps = [LoadImage(), EnsureChannelFirst(), Orientation("RAS", labels=None)]
    steps.append(Spacing(SPACING_MM, mode="bilinear" if image else "nearest"))
    if image:
        steps.append(NormalizeIntensity(nonzero=True))
    random = [RandSpatialCrop(PATCH, random_size=False), RandFlip(0.5, spatial_axis=0), RandRotate90(0.3)]
    return Compose([*steps, SpatialPad(PATCH), *random])


def main() -> None:
    """Mix and train."""
    arguments = example_parser(__doc__, steps=20).parse_args()
    set_determinism(0)
    with example_cases(arguments) as cases:
        images, labels = ([one[key] for one in cases.training] for key in ("image", "label"))
        real = ArrayDataset(images, chain(image=True), labels, chain(image=False))
        mixed = SynthAugment(
            real, cases.cache, ratio=0.5, transform="dataset", mapping=cases.mapping, held_out=cases.held_out
        )
        network = UNet(3, 1, cases.scheme.num_classes, channels=(16, 32, 64), strides=(2, 2), num_res_units=1)
        loss_function = DiceCELoss(to_onehot_y=True, softmax=True)
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
        loader = DataLoader(mixed, batch_size=2, shuffle=True)
        done = 0
        while done < arguments.steps:
            mixed.set_epoch(mixed.epoch + (done > 0))
            for image, label in loader:
                optimiser.zero_grad()
                loss = loss_function(network(image), label)
                loss.backward()
                optimiser.step()
                done += 1
                if done % 5 == 0 or done == arguments.steps:
                    print(f"step {done}/{arguments.steps}  loss {loss.item():.3f}", flush=True)
                if done == arguments.steps:
                    break


if __name__ == "__main__":
    main()
