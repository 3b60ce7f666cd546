"""Latents of the bank, encoded once, with the statistics that scale them."""

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
from synthaug.generators.guided_ldm_config import LatentScale
from synthaug.labels import LabelScheme
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.precision import autocast


@dataclass(frozen=True)
class MaskLatents:
    """Latents of label maps with the volumes that condition them.

    Attributes:
        latents: ``(N, C, x, y, z)`` float16, unscaled.
        volumes_ml: ``(N, controls)`` float32.
        occupancy: ``(x, y, z)`` float32, share of the label maps' voxels under a latent voxel that the first control
            holds.
    """

    latents: torch.Tensor
    volumes_ml: torch.Tensor
    occupancy: torch.Tensor


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
def encode_labels(
    network: LabelAutoencoder,
    paths: Sequence[Path],
    mirror: LabelMirror,
    scheme: LabelScheme,
    controls: Sequence[str],
    voxel_volume_ml: float,
    *,
    cache: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> MaskLatents:
    """Encode every label map of the bank and its mirror image; ``cache`` keeps the result.

    The volumes are those of the label map that the decoder makes of the latent, not of the one that went in: what is
    asked for at sampling time is what comes out, whatever the round trip costs.
    """
    if not cache.exists():
        latents, volumes, occupancy = [], [], []
        first_control = torch.tensor(scheme.resolve(controls[0]), device=device)
        for path in paths:
            label = Bank.read(path).label
            with autocast(device, dtype):
                mean, _ = network.encode(torch.stack([label, mirror(label)]).long().to(device))
                decoded = network.decode_label(mean[:1])
            latents += list(mean.half().cpu())
            inside = torch.isin(decoded, first_control).float()
            occupancy.append(functional.avg_pool3d(inside.unsqueeze(0), network.downsampling)[0, 0].cpu())
            counts = torch.bincount(decoded.flatten(), minlength=scheme.num_classes).cpu()
            for one in (counts, mirror.swap(counts)):
                volumes.append([float(one[list(scheme.resolve(name))].sum()) * voxel_volume_ml for name in controls])
        share = torch.stack(occupancy).mean(0)
        tensors = {"volumes_ml": torch.tensor(volumes), "occupancy": (share + share.flip(0)) / 2}
        write_tensors(cache, {"latents": torch.stack(latents), **tensors})
    return MaskLatents(**load_file(cache))


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
            for label, image in ((item.label, item.image), (mirror(item.label), item.image.flip(1))):
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
