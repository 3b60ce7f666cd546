"""Random affine and diffeomorphic warps for augmenting training label maps and pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from synthaug.warps.displacement import compose, integrate, resize_field, voxel_grid


@dataclass(frozen=True)
class RandomWarp:
    """Ranges that a random warp is drawn from.

    Attributes:
        rotation_degrees: standard deviation of the rotation about each axis.
        scale: standard deviation of the logarithm of the scale along each axis.
        translation_mm: standard deviation of the shift along each axis.
        bump_mm: standard deviation of the smooth displacement.
        control_points: control points along each axis of the smooth displacement.
    """

    rotation_degrees: float = 3.0
    scale: float = 0.05
    translation_mm: float = 2.0
    bump_mm: float = 2.0
    control_points: int = 7

    def draw(self, shape: Sequence[int], spacing_mm: float, rng: np.random.Generator) -> torch.Tensor:
        """Draw a pull field, ``(1, 3, X, Y, Z)`` voxels, for a grid of ``shape``."""
        coarse = [size // 4 for size in shape]
        points = rng.standard_normal((1, 3, *[self.control_points] * 3)).astype(np.float32)
        velocity = functional.interpolate(torch.from_numpy(points), size=coarse, mode="trilinear", align_corners=True)
        velocity = functional.avg_pool3d(functional.pad(velocity, (2,) * 6, mode="replicate"), 5, stride=1)
        smooth = integrate(velocity * (self.bump_mm / spacing_mm / 4), steps=4)
        return resize_field(compose(self._draw_affine(coarse, spacing_mm * 4, rng), smooth), shape, 4)

    def _draw_affine(self, shape: Sequence[int], spacing_mm: float, rng: np.random.Generator) -> torch.Tensor:
        angles = rng.normal(0, math.radians(self.rotation_degrees), 3)
        matrix = np.diag(np.exp(rng.normal(0, self.scale, 3)))
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            first, second = (index for index in range(3) if index != axis)
            turn[[first, second], [first, second]] = math.cos(angle)
            turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
            matrix = matrix @ turn
        shift = rng.normal(0, self.translation_mm / spacing_mm, 3)
        centred = voxel_grid(shape) - (torch.tensor(shape).float().view(1, 3, 1, 1, 1) - 1) / 2
        linear = torch.from_numpy(matrix - np.eye(3)).float()
        moved = torch.einsum("ij,bjxyz->bixyz", linear, centred)
        return moved + torch.from_numpy(shift).float().view(1, 3, 1, 1, 1)
