"""Random deformation, bias field, gamma and noise of training cases, on whatever device the network is.

Parameters are drawn with NumPy, apart from their application, so that a draw can be replayed and does not depend on the
device. The deformation is one resampling, of a few coefficients enlarged to the grid: MONAI's ``Rand3DElastic`` smooths
noise on the full grid instead, which takes longer than a step of a small network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class AugmentationDraw:
    """Random parameters of one sample.

    Attributes:
        affine: ``(3, 4)``, from places in the result to places in the source, in mm from the middle of the grid.
        bumps_mm: ``(3, k, k, k)`` further displacement at control points.
        log_bias: ``(b, b, b)`` logarithm of the bias field at control points.
        gamma: exponent of the intensities.
        noise: standard deviation of the noise.
        noise_seed: of the noise.
    """

    affine: np.ndarray
    bumps_mm: np.ndarray
    log_bias: np.ndarray
    gamma: float
    noise: float
    noise_seed: int


@dataclass(frozen=True)
class Augmentation:
    """Ranges that random parameters are drawn from; each is a standard deviation.

    Attributes:
        rotation_degrees: about each axis.
        scale: of the logarithm of the scale along each axis.
        translation_mm: along each axis.
        bump_mm: of the smooth displacement along each axis.
        control_points: of the smooth displacement along each axis.
        bias: of the logarithm of the bias field.
        bias_points: its control points along each axis.
        gamma: of the logarithm of the exponent.
        noise: largest standard deviation of the noise.
    """

    rotation_degrees: float = 6.0
    scale: float = 0.06
    translation_mm: float = 4.0
    bump_mm: float = 2.0
    control_points: int = 7
    bias: float = 0.12
    bias_points: int = 4
    gamma: float = 0.15
    noise: float = 0.05

    def draw(self, rng: np.random.Generator) -> AugmentationDraw:
        """Draw the parameters of one sample."""
        matrix = np.diag(np.exp(rng.normal(0, self.scale, 3)))
        for axis, angle in enumerate(np.radians(rng.normal(0, self.rotation_degrees, 3))):
            first, second = (index for index in range(3) if index != axis)
            turn = np.eye(3)
            turn[[first, second], [first, second]] = np.cos(angle)
            turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ turn
        shift = rng.normal(0, self.translation_mm, 3)
        return AugmentationDraw(
            affine=np.concatenate([matrix, shift[:, None]], axis=1).astype(np.float32),
            bumps_mm=rng.normal(0, self.bump_mm, (3, *[self.control_points] * 3)).astype(np.float32),
            log_bias=rng.normal(0, self.bias, [self.bias_points] * 3).astype(np.float32),
            gamma=float(np.exp(rng.normal(0, self.gamma))),
            noise=float(rng.uniform(0, self.noise)),
            noise_seed=int(rng.integers(2**62)),
        )


def augment(
    image: torch.Tensor, label: torch.Tensor, draws: Sequence[AugmentationDraw], spacing_mm: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply one draw to each sample of a batch.

    Args:
        image: float32 ``(B, C, X, Y, Z)``, 0 in the background; intensities below 0 are left out of gamma.
        label: integer ``(B, X, Y, Z)``.
        draws: one for each sample.
        spacing_mm: voxel edges along x, y, z.

    Returns:
        Image and label map of the same shapes and types; the background stays exactly 0.
    """
    device, shape = image.device, image.shape[2:]
    place = _places(draws, shape, spacing_mm, device)
    moved = functional.grid_sample(image, place, mode="bilinear", padding_mode="zeros", align_corners=False)
    ids = functional.grid_sample(label[:, None].float(), place, mode="nearest", align_corners=False)
    bias = torch.from_numpy(np.stack([one.log_bias for one in draws])).to(device)[:, None]
    field = functional.interpolate(bias, size=list(shape), mode="trilinear", align_corners=True).exp()
    gamma = torch.tensor([one.gamma for one in draws], device=device).view(-1, 1, 1, 1, 1)
    noise = torch.stack([_noise(one, image.shape[1:], device) for one in draws])
    bright = moved.clamp(min=0).pow(gamma) + moved.clamp(max=0)
    changed = (bright * field + noise) * (moved != 0)
    return changed, ids[:, 0].to(label.dtype)


def _places(
    draws: Sequence[AugmentationDraw], shape: Sequence[int], spacing_mm: Sequence[float], device: torch.device
) -> torch.Tensor:
    """Where each voxel comes from, ``(B, X, Y, Z, 3)`` in the coordinates and the axis order of ``grid_sample``."""
    half_mm = torch.tensor([size * edge / 2 for size, edge in zip(shape, spacing_mm, strict=True)], device=device)
    affine = torch.from_numpy(np.stack([one.affine for one in draws])).to(device)
    relative = affine[:, :, :3] * half_mm[None, None, :] / half_mm[None, :, None]
    theta = torch.cat([relative, affine[:, :, 3:] / half_mm[None, :, None]], dim=2)
    # grid_sample counts axes from the last one on
    turned = torch.cat([theta[:, :, :3].flip(1, 2), theta[:, :, 3:].flip(1)], dim=2)
    place = functional.affine_grid(turned, [len(draws), 1, *shape], align_corners=False)
    bumps = torch.from_numpy(np.stack([one.bumps_mm for one in draws])).to(device) / half_mm[None, :, None, None, None]
    smooth = functional.interpolate(bumps, size=list(shape), mode="trilinear", align_corners=True)
    return place + smooth.flip(1).movedim(1, -1)


def _noise(draw: AugmentationDraw, shape: Sequence[int], device: torch.device) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(draw.noise_seed)
    return torch.randn(tuple(shape), generator=generator, device=device) * draw.noise
