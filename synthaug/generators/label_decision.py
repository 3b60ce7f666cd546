"""The decision about each voxel's label, from the latent of a label map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from synthaug.anatomy.envelope import MOST_EXPOSED, beyond_envelope
from synthaug.generators.anatomy_decision import AnatomyDecision
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.thin_structures import neighbourhood_edges, settle_neighbourhoods
from synthaug.generators.volume_decision import (
    decide_labels,
    largest_component,
    most_probable,
    reach_of_one_piece,
)
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.precision import autocast


@dataclass(frozen=True, eq=False)
class LabelDecision:
    """Takes a latent to a label map: with the volumes asked for, thin structures kept, each structure in its place, and
    volumes and contacts as in real heads.

    Attributes:
        config: of the generator.
        autoencoder: with its weights, on the device.
        device: where it is.
        dtype: floating-point type of the networks.
    """

    config: GuidedLDMConfig
    autoencoder: LabelAutoencoder
    device: torch.device
    dtype: torch.dtype

    def decide(self, coarsest: torch.Tensor, latent: torch.Tensor, volumes_ml: Mapping[str, float]) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` of a latent, borders moved a little towards volumes in mL by control.

        Args:
            coarsest: level of the latent, ``(1, C, x, y, z)`` unscaled, which says what there is of thin structures.
            latent: likewise.
            volumes_ml: to be settled.
        """
        with autocast(self.device, self.dtype):
            logits = self.autoencoder.decision_logits(latent)[0].contiguous()  # label by label it is looked at
        thin = self._settle_thin(logits, coarsest)
        voxels = self.config.voxels_of(volumes_ml)
        if self.config.sampling.one_piece or self.config.sampling.enclosed:
            probable = LabelAutoencoder.unfold(most_probable(logits)[None])[0].cpu().numpy()
            self._forbid(logits, self._apart(probable), self._beyond(probable))
        label = self._settle(logits, thin, voxels)
        apart, beyond = self._apart(label.numpy()), self._beyond(label.numpy())
        if _count_within(label.numpy(), apart) > 0 or _count_within(label.numpy(), beyond) > MOST_EXPOSED:
            # borders that moved have parted a structure, or laid it bare
            self._forbid(logits, apart, beyond)
            label = self._settle(logits, thin, voxels)
        return label

    def _settle(
        self, logits: torch.Tensor, thin: Mapping[tuple[int, ...], int], voxels: Mapping[tuple[int, ...], int]
    ) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` on the CPU whose structures have their voxels and, where it is known, the range."""
        sampling = self.config.sampling
        if self._anatomy_decision is None:
            folded = decide_labels(logits, {**thin, **voxels}, largest_shift=sampling.volume_shift)
            label = LabelAutoencoder.unfold(folded[None])[0]
        else:  # which settles structures whose range is known
            unknown = {ids: count for ids, count in thin.items() if not self._anatomy_decision.knows(ids)}
            label = self._anatomy_decision.decide(
                logits, {**unknown, **voxels}, rounds=sampling.anatomy_rounds, largest_shift=sampling.volume_shift
            )
        return largest_component(label.cpu())

    def _settle_thin(self, logits: torch.Tensor, coarsest: torch.Tensor) -> dict[tuple[int, ...], int]:
        """Shift thin structures, in place, neighbourhood by neighbourhood; their voxels in all, by their ids."""
        voxels = {}
        for ids, shares in self._thin_shares(coarsest).items():
            settle_neighbourhoods(logits, ids, shares, largest_shift=self.config.sampling.volume_shift)
            voxels[ids] = round(float(shares.double().mean()) * math.prod(self.config.grid.shape))
        return voxels

    def _apart(self, label: np.ndarray) -> dict[int, np.ndarray]:
        """Where structures of one piece may not be, ``(X, Y, Z)`` bool by id, as a label map ``(X, Y, Z)`` has them."""
        ids = {one for name in self.config.sampling.one_piece for one in self.config.scheme.resolve(name)}
        return {one: ~reach_of_one_piece(label == one) for one in sorted(ids)}

    def _beyond(self, label: np.ndarray) -> dict[int, np.ndarray]:
        """Where enclosed structures may not be, likewise."""
        ids = sorted({one for name in self.config.sampling.enclosed for one in self.config.scheme.resolve(name)})
        return dict.fromkeys(ids, beyond_envelope(label, np.isin(label, ids))) if ids else {}

    def _forbid(self, logits: torch.Tensor, *places: Mapping[int, np.ndarray]) -> None:
        """Make structures impossible, in place, by their ids, where they may not be."""
        for one, where in (pair for some in places for pair in some.items()):
            folded = LabelAutoencoder.fold(torch.from_numpy(where).to(self.device)[None])[0]
            logits[one].masked_fill_(folded, -torch.inf)

    @cached_property
    def _anatomy_decision(self) -> AnatomyDecision | None:
        config = self.config
        if config.normal_range is None or config.sampling.anatomy_rounds == 0:
            return None
        return AnatomyDecision(config.normal_range, config.scheme, config.grid.voxel_volume_ml, self.device)

    def _thin_shares(self, coarsest: torch.Tensor) -> dict[tuple[int, ...], torch.Tensor]:
        """Share of each neighbourhood ``(a, b, c)`` that each thin structure has, by its ids."""
        if not self.config.sampling.thin:
            return {}
        (shares,) = self.autoencoder.shares_in_blocks(coarsest, neighbourhood_edges(coarsest.shape[2:]))
        found = [tuple(self.config.scheme.resolve(name)) for name in self.config.sampling.thin]
        return {ids: shares[list(ids)].sum(dim=0) for ids in found}


def _count_within(label: np.ndarray, places: Mapping[int, np.ndarray]) -> int:
    """Voxels of a label map that are where their structure may not be."""
    return sum(int(np.count_nonzero(where & (label == one))) for one, where in places.items())
