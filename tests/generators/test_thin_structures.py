"""A thin sheet gets back what it lost, where it lost it, and what is far from it keeps its labels."""

from __future__ import annotations

import pytest
import torch

from synthaug.generators.thin_structures import neighbourhood_edges, settle_neighbourhoods
from synthaug.networks.label_autoencoder import LabelAutoencoder

SIZE = 64
SHEET, TISSUE = 1, 2


def folded(logits: torch.Tensor) -> torch.Tensor:
    """``(classes, 8, x / 2, y / 2, z / 2)`` of ``(classes, x, y, z)``."""
    return torch.stack([LabelAutoencoder.fold(one[None])[0] for one in logits])


def unfolded_label(logits: torch.Tensor) -> torch.Tensor:
    return LabelAutoencoder.unfold(logits.argmax(dim=0, keepdim=True))[0]


@pytest.fixture
def logits() -> torch.Tensor:
    """Tissue below z = 32, background above it, and a sheet between that is 6 voxels wide at x < 32 and lost beyond."""
    z = torch.arange(SIZE).float().expand(SIZE, SIZE, SIZE)
    x = torch.arange(SIZE).float().view(-1, 1, 1).expand(SIZE, SIZE, SIZE)
    jitter = 0.01 * torch.rand(SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    sheet = torch.where(x < 32, 3.0, -1.0) - (z - 31.5).abs() + jitter
    return folded(torch.stack([(z - 31.5).clamp(0, 4), sheet, (31.5 - z).clamp(0, 4)]))


def true_shares() -> torch.Tensor:
    """A sheet of four voxels everywhere, in two by two by two neighbourhoods."""
    return torch.full((2, 2, 2), 2 / 32)


def test_each_neighbourhood_gets_its_share(logits: torch.Tensor) -> None:
    before = unfolded_label(logits) == SHEET
    assert int(before[40:].sum()) == 0
    settle_neighbourhoods(logits, (SHEET,), true_shares(), largest_shift=6.0)
    after = unfolded_label(logits) == SHEET
    for half in (slice(0, 24), slice(40, 64)):  # between them the shift goes from one to the other
        assert float(after[half].float().mean()) == pytest.approx(4 / 64, rel=0.25)
    assert not after[:, :, :24].any()
    assert not after[:, :, 40:].any()


def test_a_neighbourhood_that_has_its_share_is_left_as_it_is(logits: torch.Tensor) -> None:
    before = unfolded_label(logits)
    shares = (before == SHEET).float().view(2, 32, 2, 32, 2, 32).mean(dim=(1, 3, 5))
    settle_neighbourhoods(logits, (SHEET,), shares, largest_shift=6.0)
    assert torch.equal(unfolded_label(logits), before)


def test_a_shift_is_no_larger_than_allowed(logits: torch.Tensor) -> None:
    before = logits.clone()
    settle_neighbourhoods(logits, (SHEET,), torch.full((2, 2, 2), 0.9), largest_shift=0.5)
    assert float((logits - before).abs().max()) <= 0.5 + 1e-6
    assert torch.equal(logits[[0, TISSUE]], before[[0, TISSUE]])


@pytest.mark.parametrize(("size", "edges"), [((20, 24, 20), (4, 4, 4)), ((6, 7, 9), (3, 1, 3))])
def test_neighbourhoods_divide_the_field_of_view(size: tuple[int, ...], edges: tuple[int, ...]) -> None:
    assert neighbourhood_edges(size) == edges
