"""Latents of the bank, with the statistics that scale them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional

from synthaug.files.tensors import write_tensors
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror
from synthaug.generators.latent_scale import LatentScale
from synthaug.labels import LabelScheme
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS, coarsen, detail_of
from synthaug.networks.precision import autocast

LEAST_DEVIATION = 0.02
"""Of scaled latents at a place that all training label maps fill alike: others may not."""


@dataclass(frozen=True)
class MaskSurvey:
    """What the training label maps and their mirror images have in common, and the volumes in which they differ.

    Attributes:
        volumes_ml: ``(N, 2, controls)`` float32: of each label map, and of its mirror image.
        occupancy: ``(x, y, z)`` float32, share of the label maps' voxels under a voxel of the coarsest latent that the
            first control holds.
        mean: ``(C, x, y, z)`` float32, mean of the unscaled coarsest latents.
        square: ``(C, x, y, z)`` float32, mean of their squares.
        detail_square: ``(levels, C)`` float32, mean of the squares of what each finer level adds.
        given_scale: the scale of a generator that is trained on; None: that of these label maps.
    """

    volumes_ml: torch.Tensor
    occupancy: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    detail_square: torch.Tensor
    given_scale: LatentScale | None = None

    def scale(self) -> LatentScale:
        """Mean by channel, and one deviation, of the level above the coarsest: codes stay as far from each other."""
        if self.given_scale is not None:
            return self.given_scale
        axes = (1, 2, 3)
        mean = self.mean.mean(axes)
        deviation = float((self.square.mean(axes) + self.detail_square[0] - mean**2).mean().sqrt())
        return LatentScale(tuple(mean.tolist()), (deviation,) * len(mean))

    def detail_deviation(self, level: int) -> torch.Tensor:
        """Deviation ``()`` of what a level, 0 to ``DETAIL_LEVELS - 1``, adds to scaled latents."""
        return self.detail_square[level].mean().sqrt() / self.scale().std[0]

    def prior(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean ``(1, C, x, y, z)`` and deviation ``(1, 1, x, y, z)`` of the scaled coarsest latents."""
        statistics = self.scale()
        variance = (self.square - self.mean**2).clamp(min=0).mean(0)
        deviation = variance[None, None].sqrt() / statistics.std[0]
        return statistics.scale(self.mean.unsqueeze(0)), deviation.clamp(min=LEAST_DEVIATION)


@dataclass(frozen=True)
class ImageLatents:
    """Latents of images with the label maps that condition them.

    Attributes:
        latents: ``(N, C, x, y, z)`` float16, unscaled.
        labels: ``(N, X, Y, Z)`` uint8.
    """

    latents: torch.Tensor
    labels: torch.Tensor


@torch.inference_mode()
def survey_labels(
    network: LabelAutoencoder,
    paths: Sequence[Path],
    mirror: LabelMirror,
    scheme: LabelScheme,
    controls: Sequence[str],
    voxel_volume_ml: float,
    *,
    cache: Path,
    device: torch.device,
) -> MaskSurvey:
    """Survey every label map of the bank and its mirror image; ``cache`` keeps the result."""
    if not cache.exists():
        first_control = torch.tensor(scheme.resolve(controls[0]))
        mean, square, detail_square, occupancy = (torch.zeros(1) for _ in range(4))
        volumes = []
        for path in paths:
            label = Bank.read(path).label
            both = torch.stack([label, mirror(label)])
            latents = network.encode(both.long().to(device)).cpu()
            coarse = coarsen(latents, DETAIL_LEVELS)
            details = [detail_of(coarsen(latents, DETAIL_LEVELS - 1 - level)) for level in range(DETAIL_LEVELS)]
            mean = mean + coarse.mean(0) / len(paths)
            square = square + coarse.square().mean(0) / len(paths)
            detail_squares = torch.stack([one.square().mean((0, 2, 3, 4)) for one in details])
            detail_square = detail_square + detail_squares / len(paths)
            inside = torch.isin(both, first_control).float()
            voxel = network.downsampling * BLOCK**DETAIL_LEVELS
            occupancy = occupancy + functional.avg_pool3d(inside, voxel).mean(0) / len(paths)
            counts = torch.bincount(label.flatten(), minlength=scheme.num_classes)
            volumes.append(
                [
                    [float(one[list(scheme.resolve(name))].sum()) * voxel_volume_ml for name in controls]
                    for one in (counts, mirror.swap(counts))
                ]
            )
        found = {"occupancy": occupancy, "mean": mean, "square": square, "detail_square": detail_square}
        write_tensors(cache, {"volumes_ml": torch.tensor(volumes), **found})
    kept = load_file(cache)
    return MaskSurvey(
        kept["volumes_ml"], kept["occupancy"], kept["mean"], kept["square"], detail_square=kept["detail_square"]
    )


@torch.inference_mode()
def encode_images(
    network: ImageAutoencoder,
    paths: Sequence[Path],
    mirror: LabelMirror,
    *,
    cache: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> ImageLatents:
    """Encode every image of the bank and its mirror image; ``cache`` keeps the result."""
    if not cache.exists():
        latents, labels = [], []
        for path in paths:
            item = Bank.read(path)
            assert item.image is not None
            for label, image in ((item.label, item.image), (mirror(item.label), mirror.image(item.image))):
                with autocast(device, dtype):
                    mean, _ = network.encode(image.unsqueeze(0).float().to(device))
                latents.append(mean[0].half().cpu())
                labels.append(label)
        write_tensors(cache, {"latents": torch.stack(latents), "labels": torch.stack(labels)})
    return ImageLatents(**load_file(cache))


def latent_scale(latents: torch.Tensor) -> LatentScale:
    """Mean and deviation by channel over all of ``(N, C, x, y, z)``."""
    values = latents.float()
    axes = (0, 2, 3, 4)
    return LatentScale(tuple(values.mean(axes).tolist()), tuple(values.std(axes).clamp(min=1e-4).tolist()))
