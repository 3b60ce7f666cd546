"""A Lightning module trained on real and synthetic cases; the callback tells SynthAugment its epochs.

python examples/lightning_training.py
python examples/lightning_training.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 500
"""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, LoadImaged, NormalizeIntensityd, Orientationd, RandSpatialCropd, Spacingd

from synthaug import SynthAugment
from synthaug.demo.example_cases import example_cases, example_parser
from synthaug.integrations.training_loops import lightning_callback

KEYS = ("image", "label")


class Segmenter(lightning.LightningModule):
    """A UNet with Dice and cross-entropy."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.network = UNet(3, 1, num_classes, channels=(16, 32, 64), strides=(2, 2), num_res_units=1)
        self.loss_function = DiceCELoss(to_onehot_y=True, softmax=True)

    def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
        """One batch; says how many of it are synthetic."""
        loss: torch.Tensor = self.loss_function(self.network(batch["image"]), batch["label"])
        made = int(batch["synthaug"]["synthetic"].sum())
        print(f"epoch {self.current_epoch}  loss {loss.item():.3f}  synthetic in this batch: {made}", flush=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def main() -> None:
    """Mix and fit."""
    arguments = example_parser(__doc__, steps=10).parse_args()
    torch.manual_seed(0)
    transform = Compose([
        LoadImaged(KEYS, ensure_channel_first=True),
        Orientationd(KEYS, axcodes="RAS", labels=None),
        Spacingd(KEYS, pixdim=(3.0, 3.0, 3.0), mode=("bilinear", "nearest")),
        NormalizeIntensityd("image", nonzero=True),
        RandSpatialCropd(KEYS, roi_size=(40, 40, 40), random_size=False),
    ])  # fmt: skip
    with example_cases(arguments) as cases:
        real = CacheDataset(cases.training, transform, progress=False)
        mixed = SynthAugment(real, cases.cache, "mixed-then-real", transform="dataset", mapping=cases.mapping)
        loader = DataLoader(mixed, batch_size=2, shuffle=True)
        trainer = lightning.Trainer(
            max_epochs=math.ceil(arguments.steps / len(loader)),
            callbacks=[lightning_callback(mixed)],
            accelerator="auto",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Segmenter(cases.scheme.num_classes), loader)


if __name__ == "__main__":
    main()
