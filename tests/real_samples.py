"""A data set of real samples in the forms that MONAI and plain torch users have, and a cache to mix with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

AFFINE = torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0], dtype=torch.float64))
SIZE = 32


class RealCases:
    """Image values tell the case: i + 1 inside, 0 outside."""

    def __init__(self, kind: str = "Tensor", length: int = 20, size: int = SIZE) -> None:
        self.kind, self.length, self.size = kind, length, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.zeros(1, self.size, self.size, self.size)
        image[:, 4:-4, 4:-4, 4:-4] = index + 1
        label = (image > 0).to(torch.int64)
        if self.kind == "ndarray":
            return {"image": image.numpy(), "label": label.numpy(), "subject": f"real{index}"}
        if self.kind == "MetaTensor":
            return {
                "image": MetaTensor(image, affine=AFFINE),
                "label": MetaTensor(label, affine=AFFINE),
                "subject": f"real{index}",
            }
        return {"image": image, "label": label, "subject": f"real{index}"}


class RealPairs(RealCases):
    def __getitem__(self, index: int) -> Any:
        sample = super().__getitem__(index)
        return sample["image"], sample["label"]


def make_mixed_cache(folder: Path) -> Path:
    """Cache of 13 pairs of 10 to 130 mL."""
    generator = StandInGenerator()
    store = Store.create(folder, StoreInfo.of(generator))
    fill(store, generator, np.linspace(10.0, 130.0, 13).tolist())
    return store.folder
