"""The label-map autoencoder: layouts that fit each other, and losses that point the right way."""

from __future__ import annotations

import pytest
import torch
from monai.networks.utils import pixelshuffle

from synthaug.networks.label_autoencoder import LabelAutoencoder, kl_divergence, label_reconstruction_loss

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
