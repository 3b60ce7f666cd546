"""Image stage of a guided LDM: the image that belongs to a label map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.weights_generator import EVERYWHERE
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_modulation import modulation_kept
from synthaug.networks.precision import autocast
from synthaug.networks.rectified_flow import TIME_SCALE, integrate_flow


@dataclass(frozen=True, eq=False)
class ImageStage:
    """Samples images from a SPADE diffusion model in the latent space of a SPADE autoencoder.

    Attributes:
        config: of the generator.
        autoencoder: with its weights, on the device.
        unet: with its weights, on the device.
        device: where they are.
        dtype: floating-point type of the networks.
    """

    config: GuidedLDMConfig
    autoencoder: ImageAutoencoder
    unet: ImageDiffusionUNet
    device: torch.device
    dtype: torch.dtype

    def sample(
        self,
        labels: Sequence[torch.Tensor],
        generators: Sequence[torch.Generator],
        patch: tuple[slice, slice, slice] = EVERYWHERE,
    ) -> list[np.ndarray]:
        """Images ``(C, X, Y, Z)`` float32 for label maps ``(X, Y, Z)``; exactly its own intensity in the background.

        Args:
            labels: the label maps.
            generators: sources of the noise, one for each.
            patch: what is decoded of every image; the rest of it costs nothing then.
        """
        label = torch.stack([one.long() for one in labels]).to(self.device)
        with autocast(self.device, self.dtype):
            with modulation_kept(self.unet):
                latents = integrate_flow(
                    self._velocity(label),
                    torch.cat([self._noise(one) for one in generators]),
                    steps=self.config.sampling.image_steps,
                    shift=self.config.sampling.image_shift,
                )
            # one by one: a decoded image takes more memory than a batch of latents
            images = [self._decode(latents[i : i + 1], label[i : i + 1], patch) for i in range(len(label))]
        # Background is exactly one value, tissue is not: crops and normalisation of real data rely on both.
        return [
            self._restore(image.numpy(), (one[patch] > 0).cpu().numpy())
            for image, one in zip(images, label, strict=True)
        ]

    def renew(
        self,
        image: torch.Tensor,
        label: torch.Tensor,
        region: torch.Tensor,
        strength: float,
        generator: torch.Generator,
    ) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` float32 in normalised units whose latent was noised in part and denoised in a region.

        Outside the region the latent stays that of the image, and gives the region its surroundings.

        Args:
            image: ``(C, X, Y, Z)`` in normalised units.
            label: ``(X, Y, Z)``, what the image is to show.
            region: ``(X, Y, Z)``, True where it is made anew.
            strength: noise fraction to start from, 0 to 1.
            generator: source of the noise.
        """
        label = label.long().unsqueeze(0).to(self.device)
        factor = self.autoencoder.downsampling
        inside = functional.max_pool3d(region.float()[None, None].to(self.device), factor) > 0
        with autocast(self.device, self.dtype):
            mean, _ = self.autoencoder.encode(image.float().unsqueeze(0).to(self.device))
            data = self.config.image_latent.scale(mean.float())
            noise = self._noise(generator)
            velocity = self._velocity(label)
            with modulation_kept(self.unet):
                latent = integrate_flow(
                    # straight from the noise back to the image where nothing is to change
                    lambda state, fraction: torch.where(inside, velocity(state, fraction), noise - data),
                    (1 - strength) * data + strength * noise,
                    steps=max(1, round(strength * self.config.sampling.image_steps)),
                    shift=self.config.sampling.image_shift,
                    start=strength,
                )
            limits = np.array([scale.limits for scale in self.config.intensities])[..., None, None, None]
            return self._decode(latent, label).numpy().clip(limits[:, 0], limits[:, 1]).astype(np.float32)

    def _restore(self, image: np.ndarray, tissue: np.ndarray) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` of a decoded one and of where ``(X, Y, Z)`` it shows tissue."""
        scaled = zip(self.config.intensities, image, strict=True)
        return np.stack([scale.restore(channel, tissue) for scale, channel in scaled])

    def _noise(self, generator: torch.Generator) -> torch.Tensor:
        shape = [size // self.autoencoder.downsampling for size in self.config.grid.shape]
        return torch.randn(1, self.autoencoder.latent_channels, *shape, generator=generator).to(self.device)

    def _velocity(self, label: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        features = self.unet.label_encoder(label)

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            return self.unet(state, (fraction * TIME_SCALE).to(self.device).expand(len(state)), features).float()

        return velocity

    def _decode(
        self, latent: torch.Tensor, label: torch.Tensor, patch: tuple[slice, slice, slice] = EVERYWHERE
    ) -> torch.Tensor:
        """Patch of the image, ``(C, X, Y, Z)`` in normalised units on the CPU, tissue everywhere, of any size."""
        factor = self.autoencoder.downsampling
        cuts = [
            _cut(one, size, factor, self.autoencoder.decoder_reach)
            for one, size in zip(patch, label.shape[1:], strict=True)
        ]
        x, y, z = (cut.latent for cut in cuts)
        latent = self.config.image_latent.unscale(latent)[:, :, x, y, z]
        x, y, z = (cut.label for cut in cuts)
        label = label[:, x, y, z]
        image = self.autoencoder.decode(latent, label)[0].float()
        if self.config.label_offsets:
            offsets = torch.tensor(self.config.label_offsets, device=label.device)
            image = image + functional.embedding(label[0], offsets).movedim(-1, 0)
        x, y, z = (cut.wanted for cut in cuts)
        return image[:, x, y, z].cpu()


@dataclass(frozen=True)
class _Cut:
    """Along one axis, what is decoded so that a part of the image comes out as from the whole.

    Attributes:
        latent: voxels of the latent.
        label: voxels of the label map.
        wanted: where in those the part is.
    """

    latent: slice
    label: slice
    wanted: slice


def _cut(part: slice, size: int, factor: int, reach: int) -> _Cut:
    start, stop, _ = part.indices(size)
    first, last = max(start - reach, 0) // factor, min(-(-(stop + reach) // factor), size // factor)
    begin = first * factor
    return _Cut(slice(first, last), slice(begin, last * factor), slice(start - begin, stop - begin))
