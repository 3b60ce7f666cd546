"""TorchIO's queue and Lightning's data module take a SynthAugment by one changed line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import (
    CacheDataset,
    DataLoader,
)
from monai.losses import DiceLoss

from tests.integrations.third_party.cases import (
    CASES,
    Change,
    mixed_into,
    simple_transforms,
    synthetic_in,
)


def torchio_script(files: list[dict[str, str]], change: Change, num_workers: int) -> list[Any]:
    """SubjectsDataset, Queue of patches, training loop over them."""
    tio: Any = pytest.importorskip("torchio", reason="torchio is not installed")
    subjects = [tio.Subject(t1=tio.ScalarImage(one["image"]), seg=tio.LabelMap(one["label"])) for one in files]
    transform = tio.Compose([tio.ToCanonical(), tio.ZNormalization(), tio.RandomFlip(axes=("LR",)), tio.OneHot(14)])
    subjects_dataset = change(tio.SubjectsDataset(subjects, transform=transform))
    sampler = tio.data.UniformSampler(16)
    patches_queue = tio.Queue(subjects_dataset, max_length=12, samples_per_volume=2, sampler=sampler,
                              num_workers=num_workers)  # fmt: skip
    patches_loader = tio.SubjectsLoader(patches_queue, batch_size=4, num_workers=0)
    model = torch.nn.Conv3d(1, 14, 3, padding=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    batches = []
    for _ in range(2):
        for patches_batch in patches_loader:
            inputs, targets = patches_batch["t1"][tio.DATA], patches_batch["seg"][tio.DATA]
            loss = torch.nn.functional.cross_entropy(model(inputs), targets.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batches.append(patches_batch)
    return batches


@pytest.mark.parametrize("workers", [0, 2])
def test_a_queue_of_subjects(files: list[dict[str, str]], cache: str, workers: int) -> None:
    batches = torchio_script(files, mixed_into(cache, keys=("t1", "seg")), workers)
    assert len(batches) == 2 * CASES * 2 / 4
    assert all(batch["seg"]["data"].shape == (4, 14, 16, 16, 16) for batch in batches)
    assert synthetic_in(batches) == 2 * 2 * CASES // 2


def test_a_data_module(files: list[dict[str, str]], cache: str) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    change, seen = mixed_into(cache), []

    class BrainData(lightning.LightningDataModule):  # type: ignore[name-defined, misc]
        def setup(self, stage: str) -> None:
            self.train_ds = change(CacheDataset(files, simple_transforms(), progress=False))

        def train_dataloader(self) -> Any:
            return DataLoader(self.train_ds, batch_size=3, shuffle=True, num_workers=0)

    class Net(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv3d(1, 14, 1)

        def training_step(self, batch: Any, number: int) -> Any:
            seen.append((self.current_epoch, tuple(batch["synthaug"]["name"])))
            return DiceLoss(to_onehot_y=True, softmax=True)(self.layer(batch["image"]), batch["label"])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 1e-3)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    lightning.Trainer(max_epochs=2, enable_model_summary=False, **quiet).fit(Net(), datamodule=BrainData())
    epochs = [sorted(name for epoch, names in seen if epoch == wanted for name in names) for wanted in (0, 1)]
    assert [sum(map(bool, one)) for one in epochs] == [CASES // 2] * 2
    assert epochs[0] != epochs[1]
