"""Denoising network of the semantic diffusion models that make and refine the slices of a volume (MedGen3D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler
from monai.networks.nets import SPADEDiffusionModelUNet
from torch import nn
from torch.nn import functional

from synthaug.networks.label_modulation import modulate_by_label
from synthaug.networks.voxel_norm import normalise_each_voxel
from synthaug.volumes.views import VIEWS

NOISING_STEPS = 1000
"""Steps from an image to noise (Ho et al. 2020)."""

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
"""Noise schedules by name, as arguments of the schedulers of diffusers."""

CENTRE, SPREAD = 0.5, 0.5
"""What in normalised units becomes 0, and what becomes a distance of 1, so that noise is as strong as in the paper."""

DEVIATION = 0.4
"""Deviation of tissue in units of ``SPREAD``, where none was measured."""

LEAST_DEVIATION = 0.02
"""Deviation in units of ``SPREAD`` that every class is taken to have at least: errors are divided by it."""

CAUTION = 3.0
"""Factor by which noise is taken to be stronger than it is; see :class:`SliceDiffusionUNet`."""


def to_slices(volume: torch.Tensor, view: str) -> torch.Tensor:
    """Slices of one view: ``(..., X, Y, Z)`` becomes ``(slices, ..., height, width)``, the axes left in their order."""
    return volume.movedim(VIEWS[view] - 3, 0)


def from_slices(slices: torch.Tensor, view: str) -> torch.Tensor:
    """Volume ``(..., X, Y, Z)`` of slices ``(slices, ..., height, width)``: undoes :func:`to_slices`."""
    return slices.movedim(0, VIEWS[view] - 3)


def to_states(image: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """Image in normalised units as the diffusion sees it; 0 outside of tissue, which has nothing to tell."""
    return (image - CENTRE) / SPREAD * tissue


def to_image(states: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """Image in normalised units, exactly 0 outside of tissue: undoes :func:`to_states`."""
    return (states * SPREAD + CENTRE) * tissue


class SliceDiffusionUNet(nn.Module):
    """SPADE diffusion U-Net on the pixels of slices, conditioned on their label maps (MedGen3D, section 3.2).

    Mean and deviation of each class give an estimate of a noisy pixel from that pixel and its label alone; the U-Net
    learns what is left, in units of that estimate's error (Karras et al. 2022): fresh weights are already a denoiser.
    The estimate takes the noise to be ``CAUTION`` times as strong as it is, so that hardly any of it passes, which a
    small network could not take back (Li and He 2025). Blocks of pixels are folded into channels, which spares a CPU
    the costliest level.

    Args:
        image_channels: channels of the image.
        num_classes: number of label values, background included.
        embedding_channels: channels of one pixel's label embedding.
        label_channels: channels of the encoded label map that SPADE and the first layer see.
        channels: channels of each level; every level but the last halves the grid.
        num_res_blocks: residual blocks in each level.
        fold: edge length, in pixels, of the blocks that are folded into channels.
        schedule: name of the noise schedule, ``linear`` or ``cosine``.

    Raises:
        ValueError: there is no such schedule.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        *,
        embedding_channels: int = 4,
        label_channels: int = 24,
        channels: Sequence[int] = (32, 64, 96),
        num_res_blocks: int = 1,
        fold: int = 2,
        schedule: str = "linear",
    ) -> None:
        super().__init__()
        if schedule not in SCHEDULES:
            raise ValueError(f"noise schedule {schedule!r} is not known; choose one of {', '.join(SCHEDULES)}")
        self.image_channels = image_channels
        self.schedule = schedule
        self.fold = fold
        self.multiple = fold * 2 ** (len(channels) - 1)
        scheduler = DDPMScheduler(num_train_timesteps=NOISING_STEPS, **SCHEDULES[schedule])
        self.kept_share: torch.Tensor
        self.register_buffer("kept_share", scheduler.alphas_cumprod.sqrt(), persistent=False)
        self.noise_share: torch.Tensor
        self.register_buffer("noise_share", (1 - scheduler.alphas_cumprod).sqrt(), persistent=False)
        self.class_mean: torch.Tensor
        self.register_buffer("class_mean", torch.zeros(num_classes, image_channels))
        self.class_deviation: torch.Tensor
        self.register_buffer("class_deviation", torch.full((num_classes, image_channels), DEVIATION))
        self.embedding = nn.Embedding(num_classes, embedding_channels)
        self.label_mix = nn.Conv2d(embedding_channels * fold**2, label_channels, kernel_size=1)
        self.unet = SPADEDiffusionModelUNet(
            spatial_dims=2,
            in_channels=2 * image_channels * fold**2 + label_channels,
            out_channels=image_channels * fold**2,
            label_nc=label_channels,
            channels=channels,
            attention_levels=[False] * len(channels),
            num_res_blocks=[num_res_blocks] * len(channels),
            norm_num_groups=1,
            spade_intermediate_channels=label_channels,
        )
        # What is averaged over a whole slice, norms and attention, depends on how much of it is background or cut off.
        self.unet.middle_block.attention = nn.Identity()
        normalise_each_voxel(self.unet)
        modulate_by_label(self.unet)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Clean slices ``(B, C, height, width)``, as states, of noisy ones.

        Args:
            noisy: ``(B, C, height, width)`` noisy states; see :meth:`noised`.
            time: ``(B,)`` integers, noising steps taken less one.
            label: ``(B, height, width)`` integers, height and width multiples of ``self.multiple``.

        Raises:
            ValueError: height or width is no such multiple.
        """
        if any(size % self.multiple for size in label.shape[1:]):
            raise ValueError(
                f"slices of {label.shape[1]} x {label.shape[2]} pixels cannot be denoised: pad or crop both sizes to "
                f"multiples of {self.multiple}"
            )
        tissue = (label > 0).unsqueeze(1)
        mean, deviation = self._prior(label)
        kept, noise = self._shares(time)
        share = self._passing_share(kept, noise, deviation)
        offset = (noisy - kept * mean) * tissue
        scaled = offset / ((kept * deviation) ** 2 + noise**2).sqrt()
        learned = self._unet(scaled, mean * tissue, time, label)
        return (mean + share * offset + self._error(kept, noise, deviation) * learned) * tissue

    def set_prior(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Take over mean and deviation ``(num_classes, C)`` of the classes in normalised units."""
        self.class_mean.copy_((mean - CENTRE) / SPREAD)
        self.class_deviation.copy_((deviation / SPREAD).clamp(min=LEAST_DEVIATION))

    def noised(self, states: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """States ``(B, C, height, width)`` after ``time + 1`` noising steps, ``(B,)``."""
        kept, share = self._shares(time)
        return kept * states + share * noise

    def error_deviation(self, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Deviation ``(B, C, height, width)`` of clean states from what fresh weights take them to be."""
        _, deviation = self._prior(label)
        return self._error(*self._shares(time), deviation)

    @staticmethod
    def _passing_share(kept: torch.Tensor, noise: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        """Share of a noisy pixel's offset from the mean that passes into the estimate."""
        return kept * deviation**2 / ((kept * deviation) ** 2 + (CAUTION * noise) ** 2)

    def _error(self, kept: torch.Tensor, noise: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        share = self._passing_share(kept, noise, deviation)
        return (((1 - share * kept) * deviation) ** 2 + (share * noise) ** 2).sqrt()

    def _prior(self, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of each pixel's class, each ``(B, C, height, width)``."""
        return self.class_mean.float()[label].movedim(-1, 1), self.class_deviation.float()[label].movedim(-1, 1)

    def _shares(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Shares of image and noise in noisy states, each ``(B, 1, 1, 1)``."""
        return self.kept_share[time].view(-1, 1, 1, 1), self.noise_share[time].view(-1, 1, 1, 1)

    def _unet(self, scaled: torch.Tensor, mean: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        embedded = functional.pixel_unshuffle(self.embedding(label).movedim(-1, 1), self.fold)
        features = self.label_mix(embedded)
        pixels = functional.pixel_unshuffle(torch.cat([scaled, mean], dim=1), self.fold)
        known = torch.cat([pixels.to(features.dtype), features], dim=1)
        # channels last in memory: what the norms over channels read is contiguous
        learned = self.unet(known.contiguous(memory_format=torch.channels_last), time, seg=features)
        return functional.pixel_shuffle(learned.float(), self.fold)
