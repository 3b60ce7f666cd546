"""A real case with its ventricles taken to another volume: what is warped, and what fills the room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from synthaug.fitting.cases import FittingCase
from synthaug.warps.displacement import warp_image, warp_labels
from synthaug.warps.fluid_fill import fill_fluid_channels
from synthaug.warps.head import movable_head
from synthaug.warps.inflation import VentricleInflator


def inflator_of(
    label: torch.Tensor, growth: Mapping[int, float], fluid_ids: Sequence[int], spacing_mm: float
) -> VentricleInflator:
    """What finds the fields that take a case's ventricles to a volume.

    Args:
        label: ``(X, Y, Z)`` integers, 0 outside the head.
        growth: ids of the structures that grow, one of which the label map has, with their relative rates.
        fluid_ids: ids that give way first.
        spacing_mm: isotropic spacing.
    """
    growing = torch.tensor(list(growth))
    head = movable_head(label, label > 0, growing, spacing_mm)
    return VentricleInflator(label, list(growth), fluid_ids=fluid_ids, spacing_mm=spacing_mm, head=head, rates=growth)


def fill_from_case(
    case: FittingCase, image: torch.Tensor, label: torch.Tensor, growing: Sequence[int], *, spacing_mm: float, seed: int
) -> torch.Tensor:
    """Warped image ``(C, X, Y, Z)`` whose ventricles have the intensities of the case's own fluid.

    Args:
        case: as it was before the warp.
        image: after it.
        label: likewise, ``(X, Y, Z)``.
        growing: ids of the ventricles.
        spacing_mm: isotropic spacing.
        seed: of the noise.
    """
    assert case.image is not None
    ids = torch.tensor(growing)
    inside, own = torch.isin(label, ids).numpy(), torch.isin(case.label.long(), ids).numpy()
    before = case.image.float().numpy()
    return torch.from_numpy(
        fill_fluid_channels(image.numpy(), inside, before, own, spacing_mm=(spacing_mm,) * 3, seed=seed)
    )


def inflate_case(
    case: FittingCase,
    volume_ml: float,
    growth: Mapping[int, float],
    fluid_ids: Sequence[int],
    *,
    spacing_mm: float,
    seed: int,
) -> FittingCase:
    """A case with its ventricles taken to a volume: label map and image warped, the ventricles filled.

    Args:
        case: with an image.
        volume_ml: about what the ventricles have afterwards; a warp of whole voxels meets it to some per cent.
        growth: ids of the ventricles, one of which the label map has, with their relative rates.
        fluid_ids: ids that give way first.
        spacing_mm: isotropic spacing.
        seed: of the noise in the fluid.
    """
    assert case.image is not None
    label = case.label.long()
    field = inflator_of(label, growth, fluid_ids, spacing_mm).search_field(volume_ml)
    warped = warp_labels(label, field)
    # Background stays exactly zero: the generators' contract.
    image = warp_image(case.image.float(), field) * (warped > 0)
    image = fill_from_case(case, image, warped, list(growth), spacing_mm=spacing_mm, seed=seed)
    return replace(case, label=warped.to(torch.uint8), image=image)
