"""Mask stage of a guided LDM: label maps with the volumes asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from synthaug.anatomy.normal_range import VENTRICLES
from synthaug.errors import ConfigurationError
from synthaug.generators.anatomy_decision import GOOD
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.label_decision import LabelDecision
from synthaug.generators.volume_feedback import VolumeFeedback
from synthaug.generators.volume_prior import members_of
from synthaug.generators.volume_search import VolumeSearch
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS, coarsen, spread
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import autocast
from synthaug.networks.rectified_flow import TIME_SCALE, integrate_flow


@dataclass(frozen=True, eq=False)
class _Draw:
    """A label map to be.

    Attributes:
        noise: ``(1, C, x, y, z)``, where the coarsest level begins.
        detail_noises: likewise for each finer level.
        limits_ml: what a condition may be, in mL by control.
        aims_of: volumes of all controls that go with those asked for; the same deviate in every round.
        settled_ml: volumes that the decision settles.
        search: for the volumes asked for.
    """

    noise: torch.Tensor
    detail_noises: tuple[torch.Tensor, ...]
    limits_ml: Mapping[str, tuple[float, float]]
    aims_of: Callable[[Mapping[str, float]], dict[str, float]]
    settled_ml: Mapping[str, float]
    search: VolumeSearch


@dataclass(frozen=True, eq=False)
class MaskStage:
    """Samples label maps in the latent space of a label-map autoencoder: first the coarsest level of a latent, for the
    volumes asked for, then level by level the detail.

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

    @cached_property
    def _decision(self) -> LabelDecision:
        return LabelDecision(self.config, self.autoencoder, self.device, self.dtype)

    def sample(
        self, targets_ml: Sequence[Mapping[str, float]], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        """Label maps ``(X, Y, Z)`` on the CPU with volumes asked for, in mL by control, each from its own noise."""
        draws = [self._draw(targets, generator) for targets, generator in zip(targets_ml, generators, strict=True)]
        while unfinished := [draw for draw in draws if not draw.search.done]:
            coarsest, latents = self._sample_latents(unfinished)
            for draw, coarse, latent in zip(unfinished, coarsest.split(1), latents.split(1), strict=True):
                label = self._decision.decide(coarse, latent, draw.settled_ml)
                counts = torch.bincount(label.flatten())
                draw.search.observe(label, self.config.volumes_ml(counts, tuple(draw.search.aims_ml)))
        return [draw.search.best for draw in draws]

    def _draw(self, targets_ml: Mapping[str, float], generator: torch.Generator) -> _Draw:
        """All that a label map takes from chance, and what it is to become."""
        sampling = self.config.sampling
        noise = sampling.mask_temperature * self._draw_noise(0, generator)
        detail_noises = tuple(
            sampling.detail_temperature * self._draw_noise(level + 1, generator) for level in range(DETAIL_LEVELS)
        )
        limits_ml = self.config.widened_limits(targets_ml)
        volume_seed = int(torch.randint(2**53, (1,), generator=generator))

        def aims_of(asked_ml: Mapping[str, float]) -> dict[str, float]:
            if not sampling.complete_volumes:
                return dict(asked_ml)
            rng = np.random.default_rng(volume_seed)
            drawn_ml = self.config.volume_prior.complete(asked_ml, limits_ml, self.config.scheme, rng)
            return self._usual(drawn_ml, targets_ml)

        return _Draw(
            noise,
            detail_noises,
            limits_ml,
            aims_of,
            self._settled(targets_ml, aims_of(targets_ml)),
            VolumeSearch(targets_ml, sampling.volume_tolerance, sampling.volume_rounds),
        )

    def _sample_latents(self, draws: Sequence[_Draw]) -> tuple[torch.Tensor, torch.Tensor]:
        """Coarsest level and latents ``(B, C, x, y, z)`` of a batch, both unscaled."""
        feedbacks = [
            VolumeFeedback(
                draw.aims_of(draw.search.aims_ml), draw.settled_ml, draw.limits_ml, self.config.sampling.volume_feedback
            )
            for draw in draws
        ]
        latent = coarsest = self._sample_coarsest(torch.cat([draw.noise for draw in draws]), feedbacks)
        for level, unet in enumerate(self.detail_unets):
            latent = self._add_detail(unet, latent, torch.cat([draw.detail_noises[level] for draw in draws]))
        return self.config.mask_latent.unscale(coarsest), self.config.mask_latent.unscale(latent)

    def _settled(self, targets_ml: Mapping[str, float], aims_ml: Mapping[str, float]) -> dict[str, float]:
        """Volumes that the decision settles: members of what is asked for, and last, to prevail, what is asked for."""
        members = [one for name in targets_ml for one in members_of(name, list(aims_ml), self.config.scheme)]
        return {**{one: aims_ml[one] for one in members if one not in targets_ml}, **targets_ml}

    def _usual(self, volumes_ml: dict[str, float], asked_ml: Mapping[str, float]) -> dict[str, float]:
        """Volumes in mL; those not asked for are the nearest that real heads with such ventricles have."""
        normal = self.config.normal_range
        if normal is None or self.config.sampling.anatomy_rounds == 0 or VENTRICLES not in volumes_ml:
            return volumes_ml
        size = math.log(volumes_ml[VENTRICLES])
        usual = {
            name: math.exp(trend.nearest(size, math.log(volumes_ml[name]), share=GOOD))
            for name, trend in normal.volumes.items()
            if name in volumes_ml and name not in asked_ml
        }
        return {**volumes_ml, **usual}

    def reconstruct(self, label: torch.Tensor, *, redrawn: int, generator: torch.Generator) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after a round trip through the autoencoder, which caps all anatomy.

        Args:
            label: ``(X, Y, Z)``.
            redrawn: so many of the finest levels of its latent are sampled anew, on those that are left.
            generator: on the CPU; for their noise.

        Raises:
            ConfigurationError: a latent has fewer levels that can be sampled.
        """
        if not 0 <= redrawn <= DETAIL_LEVELS:
            raise ConfigurationError(
                f"redrawn is {redrawn}; a latent has {DETAIL_LEVELS} levels of detail: give 0 to {DETAIL_LEVELS}"
            )
        with autocast(self.device, self.dtype):
            latent = self.autoencoder.encode(label.long().unsqueeze(0).to(self.device))
        if redrawn > 0:
            latent = self._redraw(latent.float(), redrawn, generator)
        with autocast(self.device, self.dtype):
            return self.autoencoder.decode_label(latent)[0].cpu()

    def _redraw(self, latent: torch.Tensor, levels: int, generator: torch.Generator) -> torch.Tensor:
        """Latent ``(1, C, x, y, z)``, unscaled, with its finest levels sampled anew."""
        redrawn = coarsen(self.config.mask_latent.scale(latent), levels)
        for level in range(DETAIL_LEVELS - levels, DETAIL_LEVELS):
            noise = self.config.sampling.detail_temperature * self._draw_noise(level + 1, generator)
            redrawn = self._add_detail(self.detail_unets[level], redrawn, noise)
        return self.config.mask_latent.unscale(redrawn)

    def _draw_noise(self, level: int, generator: torch.Generator) -> torch.Tensor:
        """Noise ``(1, C, x, y, z)`` on the grid of a level; 0 is the coarsest."""
        voxel = self.autoencoder.downsampling * BLOCK ** (DETAIL_LEVELS - level)
        shape = [size // voxel for size in self.config.grid.shape]
        return torch.randn(1, self.autoencoder.latent_channels, *shape, generator=generator).to(self.device)

    def _sample_coarsest(self, noise: torch.Tensor, feedbacks: Sequence[VolumeFeedback]) -> torch.Tensor:
        """Coarsest level ``(B, C, x, y, z)``, scaled, that noise leads to under conditions that are fed back."""
        sampling, limits_ml = self.config.sampling, self.config.limits_ml
        low, high = sampling.guidance_interval

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            vectors = [condition_vector(one.condition_ml, tuple(limits_ml), limits_ml) for one in feedbacks]
            condition = torch.stack(vectors).to(self.device)
            guided = sampling.guidance_scale != 1 and low <= float(fraction) <= high
            if guided:
                condition = torch.cat([condition, torch.zeros_like(condition)])
            states = torch.cat([state, state]) if guided else state
            with autocast(self.device, self.dtype):
                outcome = self.unet(states, self._times(fraction, states), condition).float()
            if guided:
                asked, free = outcome.chunk(2)
                outcome = free + sampling.guidance_scale * (asked - free)
            if any(one.active for one in feedbacks):
                data = self.config.mask_latent.unscale(state - fraction * outcome)
                voxels = (self.autoencoder.label_shares(data) * math.prod(self.config.grid.shape)).cpu()
                for one, held in zip(feedbacks, voxels, strict=True):
                    if one.active:
                        one.observe(self.config.volumes_ml(held, one.controls))
            return outcome

        return integrate_flow(velocity, noise, steps=sampling.mask_steps, shift=sampling.mask_shift)

    def _add_detail(self, unet: MaskDetailUNet, coarse: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Next level ``(B, C, 2x, 2y, 2z)``, scaled, of a coarser one."""

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            with autocast(self.device, self.dtype):
                return unet(state, self._times(fraction, state), coarse).float()

        detail = integrate_flow(velocity, noise, steps=self.config.sampling.detail_steps)
        return spread(coarse) + detail

    def _times(self, fraction: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Time ``(B,)`` of a batch of states at one noise fraction, as the networks take it."""
        return (fraction * TIME_SCALE).to(self.device).expand(len(state))
