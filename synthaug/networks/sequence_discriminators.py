"""Multi-scale discriminators of single slices and of short sequences of slices (Vid2Vid, Wang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets import PatchDiscriminator
from torch import nn
from torch.nn import functional

CONTRAST = 4.0
"""Factor on intensities: texture of some hundredths is lost beside the label embeddings otherwise."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a discriminator says.

    Attributes:
        scores: a map ``(B, 1, h, w)`` for each scale: 1 for real patches and 0 for made ones, as far as it can tell.
        features: what each scale saw on the way there, for feature matching.
    """

    scores: list[torch.Tensor]
    features: list[torch.Tensor]


class MultiScaleDiscriminator(nn.Module):
    """Patch discriminators of an image and of its halved copies (pix2pixHD, Wang et al. 2018b, section 3.2).

    There are no norms: intensities are to be judged too, and each slice by itself. Without norms, MONAI's weights of
    0.02 let next to nothing pass, and torch's own initial weights are taken.

    Args:
        in_channels: channels of the image.
        channels: channels of the first layer of each scale; each layer doubles them.
        layers: layers between the first and the last of each scale.
        scales: number of discriminators, each at half the resolution of the one before.
    """

    def __init__(self, in_channels: int, *, channels: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(
                spatial_dims=2, in_channels=in_channels, channels=channels, num_layers_d=layers, norm=None, bias=True
            )
            for _ in range(scales)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        self.least_size = 2 ** (layers + scales + 1)
        """Smallest height and width: anything smaller has no patches at the coarsest scale."""

    def forward(self, image: torch.Tensor) -> Judgement:
        """Judge ``(B, C, H, W)``.

        Raises:
            ValueError: the image is smaller than the patches.
        """
        if min(image.shape[2:]) < self.least_size:
            raise ValueError(
                f"a slice of {tuple(image.shape[2:])} pixels is too small for the discriminators: give at least "
                f"{self.least_size} along each axis, or fewer scales or layers"
            )
        judgement = Judgement([], [])
        for scale in self.scales:
            *features, score = scale(image.contiguous(memory_format=torch.channels_last))
            judgement.scores.append(score)
            judgement.features.extend(features)
            image = functional.avg_pool2d(image, 2)
        return judgement


class ImageDiscriminator(nn.Module):
    """Tells real from made slices that belong to a label map (conditional image discriminator of Vid2Vid).

    Args:
        image_channels: channels of the image.
        num_classes: number of label values, background included.
        embedding_channels: channels of one pixel's label embedding.
        channels: channels of the first layer.
        layers: layers between the first and the last of each scale.
        scales: number of resolutions.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        *,
        embedding_channels: int = 8,
        channels: int = 24,
        layers: int = 2,
        scales: int = 2,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, embedding_channels)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.patches = MultiScaleDiscriminator(
            image_channels + embedding_channels, channels=channels, layers=layers, scales=scales
        )

    def forward(self, label: torch.Tensor, image: torch.Tensor) -> Judgement:
        """Judge images ``(B, C, H, W)`` of label ids ``(B, H, W)``."""
        embedded = self.embedding(label).movedim(-1, 1)
        return self.patches(torch.cat([embedded, _with_contrast(image).to(embedded.dtype)], dim=1))


class SequenceDiscriminator(nn.Module):
    """Tells real from made sequences of slices, given the flows between them (video discriminator of Vid2Vid).

    Args:
        image_channels: channels of the image.
        slices: consecutive slices that are judged together.
        channels: channels of the first layer.
        layers: layers between the first and the last of each scale.
        scales: number of resolutions.
    """

    def __init__(
        self, image_channels: int, *, slices: int = 3, channels: int = 24, layers: int = 2, scales: int = 2
    ) -> None:
        super().__init__()
        self.slices = slices
        in_channels = slices * image_channels + (slices - 1) * 2
        self.patches = MultiScaleDiscriminator(in_channels, channels=channels, layers=layers, scales=scales)

    def forward(self, images: torch.Tensor, flows: torch.Tensor) -> Judgement:
        """Judge consecutive images ``(B, slices, C, H, W)`` and the flows to all but the first of them.

        Flows are ``(B, slices - 1, 2, H, W)`` in pixels.
        """
        images = _with_contrast(images.flatten(1, 2))
        return self.patches(torch.cat([images, flows.flatten(1, 2).to(images.dtype)], dim=1))


def _with_contrast(image: torch.Tensor) -> torch.Tensor:
    """Normalised intensities, about 0 to 1, spread around 0."""
    return (image - 0.5) * CONTRAST
