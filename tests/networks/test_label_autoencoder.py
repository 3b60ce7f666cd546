"""The label-map autoencoder: layouts that fit each other, and losses that point the right way."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.utils import pixelshuffle

from synthaug.networks.label_autoencoder import (
    LabelAutoencoder,
    kl_divergence,
    label_reconstruction_loss,
    spread_codes,
)

CLASSES = 5


@pytest.fixture(scope="module")
def network() -> LabelAutoencoder:
    torch.manual_seed(0)
    return LabelAutoencoder(CLASSES, channels=(8, 16), latent_channels=3, norm_groups=4).eval()


@pytest.fixture(scope="module")
def label() -> torch.Tensor:
    return torch.randint(0, CLASSES, (2, 8, 12, 16), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_latents_and_label_maps_have_the_documented_shapes(network: LabelAutoencoder, label: torch.Tensor) -> None:
    mean, std = network.encode(label)
    assert network.downsampling == 4
    assert mean.shape == std.shape == (2, 3, 2, 3, 4)
    assert bool((std > 0).all())
    decoded = network.decode_label(mean)
    assert decoded.shape == label.shape
    assert decoded.dtype == torch.long
    assert int(decoded.max()) < CLASSES


def test_folded_label_maps_unfold_to_themselves(label: torch.Tensor) -> None:
    folded = LabelAutoencoder.fold(label)
    assert folded.shape == (2, 8, 4, 6, 8)
    unfolded = pixelshuffle(folded.float(), spatial_dims=3, scale_factor=2).squeeze(1).long()
    assert torch.equal(unfolded, label)


@torch.inference_mode()
def test_the_decision_puts_each_voxel_where_its_logits_are(
    network: LabelAutoencoder, label: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = LabelAutoencoder.fold(label)
    logits = torch.nn.functional.one_hot(folded, CLASSES).movedim(-1, 1).float() * 20
    monkeypatch.setattr(network, "decode_folded", lambda latent: logits)
    assert torch.equal(network.decode_label(torch.zeros(1)), label)


def test_the_loss_falls_as_the_right_class_becomes_more_likely(label: torch.Tensor) -> None:
    folded = LabelAutoencoder.fold(label)
    right = torch.nn.functional.one_hot(folded, CLASSES).movedim(-1, 1).float()
    weights = torch.ones(CLASSES)
    losses = [float(label_reconstruction_loss(strength * right, folded, weights)) for strength in (-3, 0, 3, 30)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-3)


def test_the_divergence_is_zero_for_a_standard_normal_alone() -> None:
    mean, std = torch.zeros(1, 2, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)
    assert float(kl_divergence(mean, std)) == pytest.approx(0, abs=1e-6)
    assert float(kl_divergence(mean + 1, std)) > 0
    assert float(kl_divergence(mean, 2 * std)) > 0


@pytest.fixture(scope="module")
def coded() -> LabelAutoencoder:
    torch.manual_seed(0)
    return LabelAutoencoder(CLASSES, channels=(8, 16), latent_channels=4, norm_groups=0, codes=True).eval()


def blocks_of_labels() -> torch.Tensor:
    """A label map of cuboids of 8 voxels and more."""
    label = torch.zeros(1, 32, 32, 32, dtype=torch.long)
    for number, start in enumerate((2, 9, 17, 21), start=1):
        label[:, start : start + 9, 4:28, 3 * number : 3 * number + 12] = number
    return label


@torch.inference_mode()
def test_codes_bring_a_label_map_back_before_any_training(coded: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    mean, std = coded.encode(label)
    assert mean.shape == (1, 4, 8, 8, 8)
    assert float(std.max()) < 0.1
    assert float((coded.decode_label(mean) == label).float().mean()) > 0.9


@torch.inference_mode()
def test_a_latent_voxel_begins_as_the_mean_of_its_voxels_codes(coded: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    assert coded.codes is not None
    mean, _ = coded.encode(label)
    expected = coded.codes[label[0, 8:12, 4:8, 4:8].flatten()].mean(0)
    torch.testing.assert_close(mean[0, :, 2, 1, 1], expected)


@torch.inference_mode()
def test_a_crop_is_coded_as_a_part_of_the_whole(coded: LabelAutoencoder) -> None:
    label = blocks_of_labels().repeat(1, 3, 2, 2)
    trained = deepcopy(coded)
    for layer in (trained.head, trained.autoencoder.quant_conv_mu.conv):
        torch.nn.init.normal_(layer.weight, std=0.1)
    whole, _ = trained.encode(label)
    crop, _ = trained.encode(label[:, :80])
    torch.testing.assert_close(whole[:, :, :9], crop[:, :, :9])  # the cut is more than the receptive field away
    logits = trained.decode_folded(whole)[:, :, :, :18]
    torch.testing.assert_close(logits, trained.decode_folded(whole[:, :, :20])[:, :, :, :18])


@pytest.mark.parametrize(("count", "dimensions", "most"), [(14, 8, 0.05), (3, 16, -0.49), (5, 3, 0.1)])
def test_codes_are_far_apart_and_always_the_same(count: int, dimensions: int, most: float) -> None:
    codes = spread_codes(count, dimensions)
    likeness = codes @ codes.T - 2 * torch.eye(count)
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(count))
    assert float(likeness.max()) <= most
    assert torch.equal(codes, spread_codes(count, dimensions))
