"""The loss of the detail model: 0 for who knows the latent, however far off the coarse one is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.mask_detail import CroppedDetailBatch, MaskDetailBatch, MaskDetailLoss
from synthaug.generators.latent_scale import LatentScale
from synthaug.labels import LabelScheme
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import DETAIL_LEVELS, coarsen, spread
from synthaug.networks.mask_detail import MaskDetailUNet

SCHEME = LabelScheme.load("ventricles-t1")
SIZE = 32


class Oracle(MaskDetailUNet):
    """Knows the only label map that there is."""

    def __init__(self, latent: torch.Tensor) -> None:
        super().__init__(SCHEME.num_classes - 1, channels=(4,))
        self.latent = latent
        self.seen: list[torch.Tensor] = []

    def forward(self, detail: torch.Tensor, time: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        self.seen.append(coarse)
        return (detail - (self.latent - spread(coarse))) / (time / 1000).view(-1, 1, 1, 1, 1)


def two_more(coarse: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A rehearsal whose traces nobody can miss."""
    return coarse + 2


@pytest.fixture
def label() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(0, 3, (SIZE // 2, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return torch.cat([half, half.flip(0)])  # its own mirror image: white matter and cortex have no side


@pytest.mark.parametrize("level", range(DETAIL_LEVELS))
@pytest.mark.parametrize(
    "batch",
    [MaskDetailBatch(rehearsed=0.5), CroppedDetailBatch(rehearsed=0.5, crop=(SIZE,) * 3)],
    ids=["whole", "crop"],
)
def test_who_knows_the_detail_has_no_loss(
    tmp_path: Path, label: torch.Tensor, level: int, batch: MaskDetailBatch
) -> None:
    path = tmp_path / "labels_case_00.safetensors"
    write_tensors(path, {"label": label})
    autoencoder = LabelAutoencoder(SCHEME.num_classes, channels=8, num_res_blocks=1)
    scale = LatentScale((0.1,) * 13, (0.2,) * 13)
    latent = coarsen(scale.scale(autoencoder.encode(label[None].long())), DETAIL_LEVELS - 1 - level)
    loss = MaskDetailLoss(
        [path],
        LabelMirror(SCHEME.mirror_ids()),
        autoencoder,
        scale,
        level,
        batch,
        two_more,
        multiple=8,
        device=torch.device("cpu"),
    )
    oracle, generator = Oracle(latent), torch.Generator().manual_seed(0)
    for _ in range(12):
        value, _ = loss(oracle, generator)
        assert float(value) == pytest.approx(0, abs=1e-6)
    offsets = [float((coarse - coarsen(latent)).mean()) for coarse in oracle.seen]
    assert {round(offset) for offset in offsets} == {0, 2}
    for coarse in oracle.seen:
        assert coarse.shape[2:] == coarsen(latent).shape[2:]
        assert 0 < float((coarse - coarsen(latent)).std()) < 0.3
    torch.manual_seed(0)
    fresh, _ = loss(MaskDetailUNet(13, channels=(4,)), generator)
    assert float(fresh.detach()) > 0.1


@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        (MaskDetailBatch(samples=3), (3, 13, 8, 8, 8)),
        (CroppedDetailBatch(crop=(16, 24, 16)), (2, 13, 4, 6, 4)),
    ],
    ids=["whole", "crop"],
)
def test_what_a_step_sees_is_as_large_as_the_batch_says(
    tmp_path: Path, label: torch.Tensor, batch: MaskDetailBatch, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "labels_case_00.safetensors"
    write_tensors(path, {"label": label})
    autoencoder = LabelAutoencoder(SCHEME.num_classes, channels=8, num_res_blocks=1)
    loss = MaskDetailLoss(
        [path],
        LabelMirror(SCHEME.mirror_ids()),
        autoencoder,
        LatentScale((0.1,) * 13, (0.2,) * 13),
        1,
        batch,
        two_more,
        multiple=4,
        device=torch.device("cpu"),
    )
    oracle = Oracle(torch.zeros(1))
    oracle.latent = torch.zeros(1, 13, *(2 * extent for extent in shape[2:]))
    loss(oracle, torch.Generator().manual_seed(0))
    assert [tuple(coarse.shape) for coarse in oracle.seen] == [shape]
