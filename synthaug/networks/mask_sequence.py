"""Network of the multi-condition diffusion model of mask sequences (MedGen3D, arXiv 2304.04106, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import SpatialAttentionBlock
from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock, get_timestep_embedding
from torch import nn
from torch.nn import functional

from synthaug.networks.condition_encoder import ConditionEncoder
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE

FOLD = 2
"""Edge, in pixels, of the squares that are folded into channels: labels are constant over most of them."""

SIGNAL = 0.2
"""Deviation of labels beside that of noise. Neighbours agree, so that as much noise as signal hides nothing."""

GIVEN_NOISE = 0.1
"""Noise fraction that the pixels of given slices are judged by."""

PRIOR_POOL = (4, 4, 2)
"""Voxels along x, y, z that share one value of the prior."""

LEAST_PROBABILITY = 1e-3
"""Of a label at a place where no training label map has it."""


class MaskSequenceUNet(nn.Module):
    """Denoiser of consecutive axial label slices, on condition of some of them, of their place and of volumes in mL.

    Slices that are given stand clean in the state, and a bit for each slice says so. The relative position z/D of the
    first slice is embedded and joined to the embedding of the time, and so are volumes in mL.

    Labels are one channel each, and the network gives probabilities of the clean labels: what labels are likely at a
    place, and what a noisy pixel says by itself, is known beforehand, so that fresh weights are a denoiser already and
    the U-Net learns what the neighbourhood adds.

    Args:
        num_classes: number of label values, background included.
        num_controls: number of volume controls.
        shape: voxels along x, y of a slice, multiples of 16, and number of slices of a volume, even.
        slices: of a subsequence (m in the paper).
        channels: channels of each level; every level but the last halves the slice.
        num_res_blocks: residual blocks in each level.
        embedding_channels: channels of the joined embedding.
    """

    def __init__(
        self,
        num_classes: int,
        num_controls: int,
        shape: Sequence[int],
        *,
        slices: int = 6,
        channels: Sequence[int] = (64, 128, 192),
        num_res_blocks: int = 1,
        embedding_channels: int = 128,
    ) -> None:
        super().__init__()
        multiple = FOLD * 2 ** (len(channels) - 1)
        pooled = [size // pool for size, pool in zip(shape, PRIOR_POOL, strict=True)]
        multiples = (math.lcm(multiple, PRIOR_POOL[0]), math.lcm(multiple, PRIOR_POOL[1]), PRIOR_POOL[2])
        if any(size % one for size, one in zip(shape, multiples, strict=True)):
            raise ValueError(f"slices of {tuple(shape)} voxels; x, y and z must be multiples of {multiples}")
        self.num_classes, self.slices = num_classes, slices
        self.shape = tuple(shape)
        self.log_prior: torch.Tensor
        self.register_buffer("log_prior", torch.zeros(num_classes, *pooled))
        self.time_channels, self.place_channels = channels[0], channels[0]
        self.condition_encoder = ConditionEncoder(num_controls, embedding_channels)
        self.joined = nn.Sequential(
            nn.Linear(self.time_channels + self.place_channels + num_controls * embedding_channels, embedding_channels),
            nn.SiLU(),
            nn.Linear(embedding_channels, embedding_channels),
        )
        known = slices * (2 * num_classes * FOLD**2 + 1) + 2 * num_controls
        self.stem = nn.Conv2d(known, channels[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        widths = [channels[0]]
        for level, width in enumerate(channels):
            for _ in range(num_res_blocks):
                self.down.append(_block(widths[-1], embedding_channels, width))
                widths.append(width)
            if level < len(channels) - 1:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                widths.append(width)
        deepest = channels[-1]
        self.middle = nn.ModuleList([_block(deepest, embedding_channels, deepest) for _ in range(2)])
        self.attention = SpatialAttentionBlock(2, deepest, num_head_channels=32, norm_num_groups=8)
        present = deepest
        for level in reversed(range(len(channels))):
            for _ in range(num_res_blocks + 1):
                self.up.append(_block(present + widths.pop(), embedding_channels, channels[level]))
                present = channels[level]
            if level > 0:
                self.up.append(nn.Conv2d(present, present, 3, padding=1))
        self.head = nn.Conv2d(present, slices * num_classes * FOLD**2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def set_prior(self, probabilities: torch.Tensor) -> None:
        """Take over how likely each label is at each place, ``(num_classes, x / 4, y / 4, z / 2)``."""
        self.log_prior.copy_(probabilities.clamp(min=LEAST_PROBABILITY).log())

    def forward(
        self,
        state: torch.Tensor,
        time: torch.Tensor,
        first_slice: torch.Tensor,
        given: torch.Tensor,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """Logits ``(B, m, K, x, y)`` of the clean labels of noisy slices.

        Args:
            state: ``(B, m, K, x, y)``: labels from :func:`as_signal` with noise, those of given slices without.
            time: ``(B,)``, 1000 times the noise fraction of slices that are not given.
            first_slice: ``(B,)``, index along z of the first of the slices.
            given: ``(B, m)``, 1 for slices that are given, else 0.
            condition: ``(B, controls, 2)`` from :func:`~synthaug.networks.condition_encoder.condition_vector`.
        """
        noise = torch.where(given > 0, GIVEN_NOISE, (time / TIME_SCALE)[:, None])
        known = self._known_beforehand(state, noise, first_slice)
        place = first_slice.float() / self.shape[2]
        embedding = torch.cat(
            [
                get_timestep_embedding(time, self.time_channels),
                get_timestep_embedding(place * TIME_SCALE, self.place_channels),
                self.condition_encoder(condition).flatten(1),
            ],
            dim=1,
        )
        scale = state.abs().amax(dim=(1, 2, 3, 4), keepdim=True).clamp(min=SIGNAL)
        x = torch.cat([_fold((state / scale).flatten(1, 2)), _fold(known.softmax(dim=2).flatten(1, 2))], dim=1)
        size = x.shape[2:]
        planes = torch.cat([given, condition.flatten(1)], dim=1)[:, :, None, None].expand(-1, -1, *size)
        learned = self._unet(torch.cat([x, planes.to(x.dtype)], dim=1), self.joined(embedding))
        return known + functional.pixel_shuffle(learned, FOLD).unflatten(1, state.shape[1:3]).float()

    def _known_beforehand(self, state: torch.Tensor, noise: torch.Tensor, first_slice: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, m, K, x, y)`` by the place and by each pixel's own value, of a noise ``(B, m)``."""
        indices = (first_slice[:, None] + torch.arange(self.slices, device=state.device)) // PRIOR_POOL[2]
        prior = self.log_prior.float().permute(3, 0, 1, 2)[indices.clamp(max=self.log_prior.shape[3] - 1)]
        prior = functional.interpolate(
            prior.flatten(0, 1), size=state.shape[3:], mode="bilinear", align_corners=False
        ).unflatten(0, state.shape[:2])
        noise = noise[:, :, None, None, None].clamp(min=LEAST_NOISE)
        # of two labels, the one whose signal is nearer to the noisy pixel: 2 (1 - t) s x / t^2 for one-hot signals
        return prior + 2 * (1 - noise) * SIGNAL * state / noise**2

    def _unet(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        kept = [x]
        for layer in self.down:
            x = layer(x, embedding) if isinstance(layer, DiffusionUNetResnetBlock) else layer(x)
            kept.append(x)
        x = self.middle[1](self.attention(self.middle[0](x, embedding)), embedding)
        for layer in self.up:
            if isinstance(layer, DiffusionUNetResnetBlock):
                x = layer(torch.cat([x, kept.pop()], dim=1), embedding)
            else:
                x = layer(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        logits: torch.Tensor = self.head(functional.silu(x))
        return logits


def as_signal(label: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Label slices ``(B, m, x, y)`` as the clean state ``(B, m, K, x, y)``: `SIGNAL` at the label, less elsewhere."""
    return SIGNAL * (2 * functional.one_hot(label.long(), num_classes).movedim(-1, 2).float() - 1)


def expected_signal(logits: torch.Tensor) -> torch.Tensor:
    """The same of logits ``(B, m, K, x, y)``: the mean over what is likely."""
    return SIGNAL * (2 * logits.float().softmax(dim=2) - 1)


def _fold(x: torch.Tensor) -> torch.Tensor:
    return functional.pixel_unshuffle(x, FOLD)


def _block(in_channels: int, embedding_channels: int, out_channels: int) -> DiffusionUNetResnetBlock:
    return DiffusionUNetResnetBlock(2, in_channels, embedding_channels, out_channels, norm_num_groups=8)
