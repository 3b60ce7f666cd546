"""Generator of image slices in order: each one the warped previous slice, blended with new texture."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets.autoencoderkl import AEKLResBlock
from torch import nn
from torch.nn import functional

from synthaug.networks.label_modulation import LabelModulation
from synthaug.networks.voxel_norm import VoxelNorm, normalise_each_voxel

FLOW_LIMIT = 8.0
"""Pixels that a flow moves at most; neighbouring slices differ by less."""


@dataclass(frozen=True, eq=False)
class GeneratedSlice:
    """One slice and what it was made of.

    Attributes:
        image: ``(B, C, H, W)``, ``blend * texture + (1 - blend) * warped``, and exactly 0 in the background.
        texture: ``(B, C, H, W)``, made from nothing but labels and previous slices.
        flow: ``(B, 2, H, W)``, where in the previous slice each pixel comes from, in pixels along H and W from itself.
        blend: ``(B, 1, H, W)``, share of the texture, 0 to 1.
        warped: ``(B, C, H, W)``, the previous slice moved by the flow.
    """

    image: torch.Tensor
    texture: torch.Tensor
    flow: torch.Tensor
    blend: torch.Tensor
    warped: torch.Tensor


class ImageSequenceGenerator(nn.Module):
    """Image sequence generator of MedGen3D (section 3.2), which is that of Vid2Vid (Wang et al. 2018, section 3).

    The current slice is the previous one moved by a flow, blended by a soft mask with texture that is made anew.
    All norms are of single pixels, so that a slice is made in the same way whatever else it shows. Labels of the
    current slice modulate the last layers at full resolution (SPADE, Park et al. 2019): structures then keep their own
    intensities up to their borders, which the features from coarser grids blur. Texture is what differs from the mean
    intensity of each label: fresh weights already give every structure its own, and no step is spent on learning it.

    Args:
        image_channels: channels of the image.
        num_classes: number of label values, background included.
        slices: the current slice and the previous ones that it is made from.
        embedding_channels: channels of one pixel's label embedding.
        channels: channels at full, half and quarter resolution.
        num_res_blocks: residual blocks at half and quarter resolution, on the way down and on the way up.

    Raises:
        ValueError: there is no previous slice, or there are not three resolutions.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        *,
        slices: int = 3,
        embedding_channels: int = 8,
        channels: Sequence[int] = (32, 64, 96),
        num_res_blocks: int = 1,
    ) -> None:
        super().__init__()
        if slices < 2:
            raise ValueError(f"a slice is made from previous ones: slices is {slices}, take at least 2")
        if len(channels) != 3:
            raise ValueError(f"channels are those at full, half and quarter resolution: {len(channels)} given, take 3")
        self.image_channels = image_channels
        self.slices = slices
        self.embedding = nn.Embedding(num_classes, embedding_channels)
        full, half, quarter = channels
        known_channels = (slices + 1) * embedding_channels + (slices - 1) * image_channels + 1
        self.enter = nn.Conv2d(known_channels, full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 3, stride=2, padding=1)
        self.down_half = _residual_blocks(half, num_res_blocks)
        self.to_quarter = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.down_quarter = _residual_blocks(quarter, 2 * num_res_blocks)
        # Narrowed before they are refined, and added to what was kept: at full resolution convolutions take longest.
        self.to_half_again = nn.Conv2d(quarter, half, 3, padding=1)
        self.up_half = _residual_blocks(half, num_res_blocks)
        self.to_full_again = nn.Conv2d(half, full, 3, padding=1)
        norm = VoxelNorm(full, affine=False)
        self.modulation = LabelModulation(norm, embedding_channels, full // 2, full, dimensions=2)
        self.refine = nn.Conv2d(full, full, 3, padding=1)
        self.leave = VoxelNorm(full)
        # texture, flow along H and W, and blend
        self.head = nn.Conv2d(full, image_channels + 3, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.intensities: torch.Tensor
        self.register_buffer("intensities", torch.zeros(num_classes, image_channels))
        for block in (self.down_half, self.down_quarter, self.up_half):
            normalise_each_voxel(block)

    def forward(self, labels: torch.Tensor, previous: torch.Tensor, exists: torch.Tensor) -> GeneratedSlice:
        """Make one slice; sizes that are not multiples of 4 are padded with background.

        Args:
            labels: ``(B, slices + 1, H, W)`` label ids of the previous slices, the current one and the next, in order.
            previous: ``(B, (slices - 1) * C, H, W)`` previous images in the same order.
            exists: ``(B,)``, 1 where there is a previous slice; 0: nothing is warped, and the images are zeros.
        """
        height, width = labels.shape[2:]
        padding = (0, -width % 4, 0, -height % 4)
        current = labels[:, self.slices - 1 : self.slices]
        exists = exists.to(previous.dtype).view(-1, 1, 1, 1)
        head = self._decode(functional.pad(labels, padding), functional.pad(previous * exists, padding), exists)
        head = head[:, :, :height, :width].float()
        texture, flow, blend = head.split([self.image_channels, 2, 1], dim=1)
        texture = texture + functional.embedding(current[:, 0], self.intensities.float()).movedim(-1, 1)
        exists = exists.float()
        flow = FLOW_LIMIT * torch.tanh(flow / FLOW_LIMIT) * exists
        blend = 1 - torch.sigmoid(-blend) * exists
        warped = warp_slice(previous[:, -self.image_channels :], flow) * exists
        image = torch.lerp(warped, texture, blend) * (current > 0)
        return GeneratedSlice(image=image, texture=texture, flow=flow, blend=blend, warped=warped)

    def set_intensities(self, means: torch.Tensor) -> None:
        """Take over the mean intensity ``(num_classes, C)`` of each label in the training images."""
        self.intensities.copy_(means)

    def _decode(self, labels: torch.Tensor, previous: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        """Texture, flow and blend before they are bounded, ``(B, C + 3, H, W)``."""
        embedded = self.embedding(labels).movedim(-1, 2)
        bit = exists.expand(-1, 1, *previous.shape[2:])
        known = torch.cat([embedded.flatten(1, 2), previous.to(embedded.dtype), bit.to(embedded.dtype)], dim=1)
        full = self.enter(known.contiguous(memory_format=torch.channels_last))
        half = self.down_half(self.to_half(functional.silu(full)))
        coarse = self.down_quarter(self.to_quarter(functional.silu(half)))
        half = self.up_half(half + _twice_as_fine(self.to_half_again(functional.silu(coarse))))
        fine = full + _twice_as_fine(self.to_full_again(functional.silu(half)))
        current = embedded[:, self.slices - 1].contiguous(memory_format=torch.channels_last)
        fine = fine + self.refine(functional.silu(self.modulation(fine, current)))
        return self.head(functional.silu(self.leave(fine)))


def warp_slice(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Move ``(B, C, H, W)`` by a flow ``(B, 2, H, W)``: each pixel is fetched from itself plus so many pixels.

    Pixels from beyond the edge repeat the edge.
    """
    height, width = image.shape[2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float32).view(-1, 1)
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    down = 2 * (rows + flow[:, 0].float()) / max(height - 1, 1) - 1
    right = 2 * (columns + flow[:, 1].float()) / max(width - 1, 1) - 1
    grid = torch.stack([right, down], dim=-1)
    return functional.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)


def pad_ends(labels: torch.Tensor, *, slices: int) -> torch.Tensor:
    """Labels ``(B, n, H, W)`` of whole volumes with their ends repeated, so that every slice has its neighbours.

    A label map that fills the field of view goes on beyond it, and one that does not ends in background anyway.
    """
    return torch.cat([labels[:, :1].expand(-1, slices - 1, -1, -1), labels, labels[:, -1:]], dim=1)


def generate_slices(
    generator: ImageSequenceGenerator, labels: torch.Tensor, start: torch.Tensor | None = None
) -> Iterator[GeneratedSlice]:
    """Make slices in order, each from those before it; no gradient flows from one to the ones before.

    A slice exists for the next one when there is tissue in it: what comes first after empty slices is made from
    nothing, as the first slice of all.

    Args:
        generator: with its weights.
        labels: ``(B, slices - 1 + n + 1, H, W)`` label ids of the slices to make and of their neighbours, in order.
        start: ``(B, slices - 1, C, H, W)`` images of the slices before the first; None: there are none. Zeros where
            a sequence of the batch begins from nothing.
    """
    count, total, height, width = labels.shape
    before = generator.slices - 1
    if start is None:
        start = torch.zeros(count, before, generator.image_channels, height, width, device=labels.device)
    history = deque(start.float().unbind(1), maxlen=before)
    for current in range(before, total - 1):
        exists = (history[-1] != 0).flatten(1).any(dim=1)
        window = labels[:, current - before : current + 2]
        made = generator(window, torch.cat(list(history), dim=1), exists)
        yield made
        history.append(made.image.detach())


def _residual_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(AEKLResBlock(2, channels, 1, 1e-5, channels) for _ in range(count)))


def _twice_as_fine(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
