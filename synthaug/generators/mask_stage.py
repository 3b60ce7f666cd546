"""Mask stage of a guided LDM: label maps with the volumes asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.volume_decision import decide_labels, reach_of_main_piece
from synthaug.generators.volume_feedback import VolumeFeedback
from synthaug.generators.volume_prior import members_of
from synthaug.generators.volume_search import VolumeSearch
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS, detail_of, spread
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import autocast
from synthaug.networks.rectified_flow import TIME_SCALE, integrate_flow


@dataclass(frozen=True, eq=False)
class MaskStage:
    """Samples label maps in the latent space of a label-map autoencoder: first the coarsest level of a latent, for the
    volumes asked for, then level by level the detail, which leaves the means of blocks as they are.

    Attributes:
        config: of the generator.
        autoencoder: with its weights, on the device.
        unet: for the coarsest level, with its weights, on the device.
        detail_unets: likewise, for each finer level.
        device: where they are.
        dtype: floating-point type of the networks.
    """

    config: GuidedLDMConfig
    autoencoder: LabelAutoencoder
    unet: MaskDiffusionUNet
    detail_unets: tuple[MaskDetailUNet, ...]
    device: torch.device
    dtype: torch.dtype

    def sample(self, targets_ml: Mapping[str, float], generator: torch.Generator) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` on the CPU with volumes asked for, in mL by control, from one noise."""
        sampling = self.config.sampling
        noise = sampling.mask_temperature * self._draw_noise(0, generator)
        detail_noises = [
            sampling.detail_temperature * detail_of(self._draw_noise(level + 1, generator))
            for level in range(DETAIL_LEVELS)
        ]
        limits_ml = dict(self.config.limits_ml)
        for name, target_ml in targets_ml.items():  # an extrapolated target widens what a condition may be
            low, high = limits_ml[name]
            limits_ml[name] = (min(low, target_ml), max(high, target_ml))
        volume_seed = int(torch.randint(2**53, (1,), generator=generator))

        def aims_of(asked_ml: Mapping[str, float]) -> dict[str, float]:
            """Volumes of all controls that go with those asked for; the same deviate in every round."""
            if not sampling.complete_volumes:
                return dict(asked_ml)
            rng = np.random.default_rng(volume_seed)
            return self.config.volume_prior.complete(asked_ml, limits_ml, self.config.scheme, rng)

        settled_ml = self._settled(targets_ml, aims_of(targets_ml))
        search = VolumeSearch(targets_ml, sampling.volume_tolerance, sampling.volume_rounds)

        def sample(asked_ml: Mapping[str, float]) -> torch.Tensor:
            feedback = VolumeFeedback(aims_of(asked_ml), settled_ml, limits_ml, sampling.volume_feedback)
            latent = self._sample_coarsest(noise, feedback)
            for unet, detail_noise in zip(self.detail_unets, detail_noises, strict=True):
                latent = self._add_detail(unet, latent, detail_noise)
            return self._decide(self.config.mask_latent.unscale(latent), settled_ml)

        return search.run(sample, lambda label: self._volumes_ml(torch.bincount(label.flatten()), tuple(targets_ml)))

    def _settled(self, targets_ml: Mapping[str, float], aims_ml: Mapping[str, float]) -> dict[str, float]:
        """Volumes that the decision settles: members of what is asked for, and last, to prevail, what is asked for."""
        members = [one for name in targets_ml for one in members_of(name, list(aims_ml), self.config.scheme)]
        return {**{one: aims_ml[one] for one in members if one not in targets_ml}, **targets_ml}

    def reconstruct(self, label: torch.Tensor) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after a round trip through the autoencoder, which caps all anatomy."""
        with autocast(self.device, self.dtype):
            latent = self.autoencoder.encode(label.long().unsqueeze(0).to(self.device))
            return self.autoencoder.decode_label(latent)[0].cpu()

    def _draw_noise(self, level: int, generator: torch.Generator) -> torch.Tensor:
        """Noise ``(1, C, x, y, z)`` on the grid of a level; 0 is the coarsest."""
        voxel = self.autoencoder.downsampling * BLOCK ** (DETAIL_LEVELS - level)
        shape = [size // voxel for size in self.config.grid.shape]
        return torch.randn(1, self.autoencoder.latent_channels, *shape, generator=generator).to(self.device)

    def _sample_coarsest(self, noise: torch.Tensor, feedback: VolumeFeedback) -> torch.Tensor:
        """Coarsest level ``(1, C, x, y, z)``, scaled, that a noise leads to under a condition that is fed back."""
        sampling, limits_ml = self.config.sampling, self.config.limits_ml
        low, high = sampling.guidance_interval

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            vector = condition_vector(feedback.condition_ml, tuple(limits_ml), limits_ml)
            both = torch.stack([vector, torch.zeros_like(vector)]).to(self.device)
            guided = sampling.guidance_scale != 1 and low <= float(fraction) <= high
            count = 2 if guided else 1
            times = (fraction * TIME_SCALE).to(self.device).expand(count)
            with autocast(self.device, self.dtype):
                outcome = self.unet(state.expand(count, -1, -1, -1, -1), times, both[:count]).float()
            if guided:
                outcome = outcome[1:] + sampling.guidance_scale * (outcome[:1] - outcome[1:])
            if feedback.active:
                data = self.config.mask_latent.unscale(state - fraction * outcome)
                voxels = self.autoencoder.label_shares(data)[0] * math.prod(self.config.grid.shape)
                feedback.observe(self._volumes_ml(voxels, feedback.controls))
            return outcome

        return integrate_flow(velocity, noise, steps=sampling.mask_steps, shift=sampling.mask_shift)

    def _add_detail(self, unet: MaskDetailUNet, coarse: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Next level ``(1, C, 2x, 2y, 2z)``, scaled, whose means over blocks are those of a coarser one."""

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            with autocast(self.device, self.dtype):
                return unet(state, (fraction * TIME_SCALE).to(self.device).expand(1), coarse).float()

        detail = integrate_flow(velocity, noise, steps=self.config.sampling.detail_steps)
        return spread(coarse) + detail

    def _decide(self, latent: torch.Tensor, volumes_ml: Mapping[str, float]) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` of a latent, borders moved a little towards volumes in mL by control."""
        sampling, scheme = self.config.sampling, self.config.scheme
        with autocast(self.device, self.dtype):
            logits = self.autoencoder.decision_logits(latent)[0]
        label = LabelAutoencoder.unfold(logits.argmax(dim=0, keepdim=True))[0].cpu().numpy()
        for name in sampling.one_piece:
            for one in scheme.resolve(name):
                reach = torch.from_numpy(reach_of_main_piece(label == one)).to(self.device)
                logits[one].masked_fill_(~LabelAutoencoder.fold(reach[None].float())[0].bool(), -torch.inf)
        voxels = {
            tuple(scheme.resolve(name)): round(volume_ml / self.config.grid.voxel_volume_ml)
            for name, volume_ml in volumes_ml.items()
        }
        folded = decide_labels(logits, voxels, largest_shift=sampling.volume_shift)
        return _largest_component(LabelAutoencoder.unfold(folded.unsqueeze(0))[0].cpu())

    def _volumes_ml(self, voxels: torch.Tensor, controls: tuple[str, ...]) -> dict[str, float]:
        """Volumes in mL of controls from voxels by label id; above 0, since they are taken the logarithm of."""
        counts = [*voxels.tolist(), *[0] * (self.config.scheme.num_classes - len(voxels))]
        found = {name: sum(counts[one] for one in self.config.scheme.resolve(name)) for name in controls}
        return {name: max(count, 1) * self.config.grid.voxel_volume_ml for name, count in found.items()}


def _largest_component(label: torch.Tensor) -> torch.Tensor:
    """Label map ``(X, Y, Z)`` without specks that hang loose around the head."""
    components, count = ndimage.label(label.numpy() > 0)
    if count <= 1:
        return label
    largest = np.bincount(components.ravel())[1:].argmax() + 1
    return label * torch.from_numpy(components == largest)
