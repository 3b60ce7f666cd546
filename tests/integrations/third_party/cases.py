"""Files of real cases, a cache, and the one line that changes in a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    LoadImaged,
    RandFlipd,
)

from synthaug import SynthAugment
from synthaug.conditions import Condition
from synthaug.store import Store, StoreInfo
from synthaug.volumes import write_image, write_label
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
CASES = 6
Change = Callable[[Any], Any]


def write_cases(folder: Path, generator: StandInGenerator) -> list[dict[str, str]]:
    """Files as another tool leaves them: axes turned to the left and the back, one file for all channels."""
    files = []
    for number in range(CASES):
        (pair,) = generator.generate([Condition({"ventricles": 15.0 + number})], [1000 + number])
        image, label, affine = pair.image[:, ::-1, ::-1], pair.label[::-1, ::-1], pair.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [31, 31, 0]
        affine[:3, :2] *= -1
        one = {"image": str(folder / f"case_{number}.nii.gz"), "label": str(folder / f"case_{number}_seg.nii.gz")}
        write_image(Path(one["image"]), np.ascontiguousarray(image), affine)
        write_label(Path(one["label"]), np.ascontiguousarray(label), affine)
        files.append(one)
    return files


def make_cache(folder: Path, generator: StandInGenerator) -> str:
    """Cache of six pairs."""
    store = Store.create(folder, StoreInfo.of(generator))
    fill(store, generator, np.linspace(20.0, 120.0, 6).tolist())
    return str(store.folder)


def mixed_into(cache: str, **arguments: Any) -> Change:
    """The one line."""
    options = {"ratio": 0.5, "transform": "dataset", "count_epochs": True, **arguments}
    return lambda dataset: SynthAugment(dataset, cache, **options)


def simple_transforms() -> Compose:
    keys = ["image", "label"]
    return Compose([LoadImaged(keys, ensure_channel_first=True), RandFlipd(keys, prob=0.5, spatial_axis=1)])


def synthetic_in(batches: list[Any]) -> int:
    return sum(int(torch.as_tensor(batch["synthaug"]["synthetic"]).sum()) for batch in batches)
