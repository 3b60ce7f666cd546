"""Networks of 3D-alpha-WGAN, extended to pairs: one code gives an image and its label map at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.networks.voxel_norm import VoxelNorm

FOLDING = 32
"""Voxels of the field of view along one voxel of the grid that a code is unfolded from."""

HALVING = 2
"""Voxels of the field of view along a voxel of the volumes that the networks see."""

LEVELS = 5
"""Grids from the volumes' to the coarsest, each half as fine as the one before: 2, 4, 8, 16 and 32 voxels."""

IMAGE_GAIN = 4.0
"""Factor of the image in a volume. The critics measure distances over all channels, and two heads that differ in their
labels by 1 here and there differ in their intensities by a fifth."""

LEAST_SHARE = 1e-3
"""A label that no training case has at a place is taken to hold this share of it."""


class VolumeGenerator(nn.Module):
    """Code and condition to class logits and intensities on half the resolution (Kwon et al. 2019, section 2.2).

    As in the paper a grid is unfolded from the code, and nearest upsampling and a convolution follow each other.
    Batch norms are left out for norms of single voxels. The output is added to what the training cases have in common,
    so that fresh weights already give a mean head.

    Args:
        num_classes: number of label values, background included.
        image_channels: channels of the image.
        grid: voxels of the coarsest grid along x, y, z.
        num_controls: number of volume controls.
        code_size: elements of a code.
        channels: channels of each level, the finest first.
    """

    def __init__(
        self,
        num_classes: int,
        image_channels: int,
        grid: Sequence[int],
        *,
        num_controls: int,
        code_size: int,
        channels: Sequence[int],
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        x, y, z = grid
        self._coarsest = (channels[-1], x, y, z)
        self.prior: torch.Tensor
        self.register_buffer("prior", torch.zeros(1, num_classes + image_channels, *_finest(grid)))
        # Apart, because two elements of a condition would count for little among hundreds of a code.
        self.unfold_code = nn.Linear(code_size, channels[-1] * x * y * z, bias=False)
        self.unfold_condition = nn.Linear(2 * num_controls, channels[-1] * x * y * z)
        self.first = nn.Sequential(VoxelNorm(channels[-1]), nn.LeakyReLU(0.2))
        blocks: list[nn.Module] = []
        for coarse, fine in zip(channels[:0:-1], channels[-2::-1], strict=True):
            blocks += [nn.Upsample(scale_factor=2), _convolution(coarse, fine), VoxelNorm(fine), nn.LeakyReLU(0.2)]
        self.blocks = nn.Sequential(*blocks)
        self.head = _convolution(channels[0], num_classes + image_channels)

    def forward(self, code: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``(B, classes, x, y, z)`` and intensities ``(B, C, x, y, z)``, both float32, on half the resolution.

        Args:
            code: ``(B, code_size)``.
            condition: ``(B, controls, 2)`` from :func:`condition_vector`; zeros are the null condition.
        """
        # On CPUs the weight gradient of a bfloat16 convolution is garbage where the x axis has two voxels (oneDNN), as
        # it has above the coarsest grid of a field of view of 32.
        narrow = self._coarsest[1] == 1
        with torch.autocast(code.device.type, enabled=False) if narrow else nullcontext():
            unfolded = self.unfold_code(code) + self.unfold_condition(condition.flatten(1))
            output = self.head(self.blocks(self.first(unfolded.unflatten(1, self._coarsest)))).float() + self.prior
        return output[:, : self.num_classes], output[:, self.num_classes :]


class VolumeEncoder(nn.Module):
    """Volume to code.

    It sees in what a volume differs from the mean of the training cases: heads are much alike, and their codes would
    lie together else. Codes are brought to a mean square of 1. Normal codes of many elements have that too, and what is
    left to the code discriminator is their direction.

    Args:
        in_channels: channels of a volume.
        grid: voxels of the coarsest grid along x, y, z.
        code_size: elements of a code.
        channels: channels of each level, the finest first.
    """

    def __init__(self, in_channels: int, grid: Sequence[int], *, code_size: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.register_buffer("mean", torch.zeros(1, in_channels, *_finest(grid)))
        self.tower = _tower(in_channels, channels, normalised=True)
        self.last = nn.Linear(channels[-1] * math.prod(grid), code_size)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Codes ``(B, code_size)`` float32 of ``(B, C, x, y, z)`` volumes."""
        code = self.last(self.tower(volume - self.mean)).float()
        return code / code.square().mean(dim=1, keepdim=True).clamp(min=1e-8).sqrt()


class VolumeCritic(nn.Module):
    """Volume and condition to a score, high for real pairs that have what the condition asks for.

    It has the encoder's layers, as in the paper (section 2.2), without norms: the gradient penalty is one for each
    volume.

    Args:
        in_channels: channels of a volume.
        grid: voxels of the coarsest grid along x, y, z.
        num_controls: number of volume controls.
        channels: channels of each level, the finest first.
    """

    def __init__(self, in_channels: int, grid: Sequence[int], *, num_controls: int, channels: Sequence[int]) -> None:
        super().__init__()
        features = channels[-1] * math.prod(grid)
        self.tower = _tower(in_channels + 2 * num_controls, channels, normalised=False)
        self.last = nn.Linear(features, 1)
        # Fresh weights of the usual size are steep by the gradient penalty's measure, and Adam would remember for long
        # how large the first gradients were.
        nn.init.normal_(self.last.weight, std=1 / features)

    def forward(self, volume: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Scores ``(B,)`` float32 of ``(B, C, x, y, z)`` volumes under conditions ``(B, controls, 2)``."""
        planes = condition.flatten(1)[:, :, None, None, None].expand(-1, -1, *volume.shape[2:])
        return self.last(self.tower(torch.cat([volume, planes.to(volume.dtype)], dim=1))).float().flatten()


class CodeCritic(nn.Module):
    """Code to a score, high for normal codes.

    Args:
        code_size: elements of a code.
        hidden: elements of the hidden layers.
    """

    def __init__(self, code_size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code_size, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Scores ``(B,)`` float32 of ``(B, code_size)`` codes."""
        return self.layers(code).float().flatten()


class AlphaWGAN(nn.Module):
    """Generator, encoder, discriminator and code discriminator of 3D-alpha-WGAN (Kwon et al. 2019), for pairs.

    The networks see volumes: the image and the share of each label as channels, on half the resolution of the field of
    view. Volumes of 64 voxels along each axis are what the paper has.

    Args:
        num_classes: number of label values, background included.
        image_channels: channels of the image.
        shape: voxels of the field of view along x, y, z; multiples of 32.
        num_controls: number of volume controls.
        code_size: elements of a code.
        channels: channels of each of the five levels, the finest first; each but the first is half as fine as the one
            before.

    Raises:
        ConfigurationError: a shape that is no multiple of 32, or another number of levels than five.
    """

    def __init__(
        self,
        num_classes: int,
        image_channels: int,
        shape: Sequence[int],
        *,
        num_controls: int = 1,
        code_size: int = 512,
        channels: Sequence[int] = (16, 32, 64, 96, 64),
    ) -> None:
        super().__init__()
        if len(shape) != 3 or any(extent < FOLDING or extent % FOLDING for extent in shape):
            raise ConfigurationError(
                f"shape {tuple(shape)} of the field of view; alpha-WGAN takes three multiples of {FOLDING}"
            )
        if len(channels) != LEVELS:
            raise ConfigurationError(f"channels {tuple(channels)} of {len(channels)} levels; give {LEVELS}")
        self.num_classes = num_classes
        self.image_channels = image_channels
        self.shape = tuple(shape)
        self.code_size = code_size
        grid = [extent // FOLDING for extent in shape]
        in_channels = image_channels + num_classes
        self.generator = VolumeGenerator(
            num_classes, image_channels, grid, num_controls=num_controls, code_size=code_size, channels=channels
        )
        self.encoder = VolumeEncoder(in_channels, grid, code_size=code_size, channels=channels)
        self.discriminator = VolumeCritic(in_channels, grid, num_controls=num_controls, channels=channels)
        self.code_discriminator = CodeCritic(code_size)

    def sample(self, code: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits ``(B, classes, X, Y, Z)`` and image ``(B, C, X, Y, Z)``, both float32, on the field of view.

        The label map is the maximum of the logits. The image has tissue intensities everywhere; set it to 0 where the
        label map is 0.

        Args:
            code: ``(B, code_size)``, standard normal.
            condition: ``(B, controls, 2)`` from :func:`condition_vector`; zeros are the null condition.
        """
        logits, intensity = self.generator(code, condition)
        return self._fine(logits), self._fine(intensity)

    def set_prior(self, shares: torch.Tensor, image: torch.Tensor) -> None:
        """Take over what the training cases have in common.

        Args:
            shares: ``(classes, x, y, z)``, mean share of each label in each voxel on half the resolution.
            image: ``(C, x, y, z)``, mean image, on half the resolution.
        """
        self.encoder.mean.copy_(self.join(shares[None], image[None]))
        intensity = image / (1 - shares[:1]).clamp(min=LEAST_SHARE)
        self.generator.prior.copy_(torch.cat([shares.clamp(min=LEAST_SHARE).log(), intensity])[None])

    @staticmethod
    def join(shares: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Volume ``(B, C + classes, x, y, z)`` of an image ``(B, C, x, y, z)`` and shares ``(B, classes, x, y, z)``."""
        return torch.cat([IMAGE_GAIN * image, shares], dim=1)

    @staticmethod
    def partial_image(shares: torch.Tensor, intensity: torch.Tensor) -> torch.Tensor:
        """Image ``(B, C, x, y, z)`` on half the resolution: tissue intensities, by the share that is not background.

        It is what averaging makes of an image that is 0 in the background.
        """
        return intensity * (1 - shares[:, :1])

    def _fine(self, volume: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(volume, size=self.shape, mode="trilinear")


def _finest(grid: Sequence[int]) -> tuple[int, ...]:
    """Voxels of the finest grid along each axis, by those of the coarsest."""
    return tuple(extent * FOLDING // HALVING for extent in grid)


def _tower(in_channels: int, channels: Sequence[int], *, normalised: bool) -> nn.Sequential:
    """Strided convolutions down to the coarsest grid, flattened."""
    layers: list[nn.Module] = []
    for fine, coarse in zip([in_channels, *channels[1:-1]], channels[1:], strict=True):
        layers.append(_convolution(fine, coarse, strides=2))
        if normalised:
            layers.append(VoxelNorm(coarse))
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Flatten())


def _convolution(in_channels: int, out_channels: int, *, strides: int = 1) -> nn.Module:
    return Convolution(3, in_channels, out_channels, strides=strides, kernel_size=3, conv_only=True)
