"""The label-map autoencoder: layouts that fit each other, and losses that point the right way."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.utils import pixelshuffle

from synthaug.networks.label_autoencoder import (
    LabelAutoencoder,
    label_reconstruction_loss,
    spread_codes,
)

CLASSES = 5


@pytest.fixture(scope="module")
def network() -> LabelAutoencoder:
    torch.manual_seed(0)
    return LabelAutoencoder(CLASSES, channels=8, latent_channels=4, num_res_blocks=2).eval()


@pytest.fixture(scope="module")
def label() -> torch.Tensor:
    return torch.randint(0, CLASSES, (2, 8, 12, 16), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_latents_and_label_maps_have_the_documented_shapes(network: LabelAutoencoder, label: torch.Tensor) -> None:
    latent = network.encode(label)
    assert network.downsampling == 2
    assert latent.shape == (2, 4, 4, 6, 8)
    decoded = network.decode_label(latent)
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


def blocks_of_labels() -> torch.Tensor:
    """A label map of cuboids of 8 voxels and more."""
    label = torch.zeros(1, 32, 32, 32, dtype=torch.long)
    for number, start in enumerate((2, 9, 17, 21), start=1):
        label[:, start : start + 9, 4:28, 3 * number : 3 * number + 12] = number
    return label


@torch.inference_mode()
def test_codes_bring_a_label_map_back_before_any_training(network: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    assert float((network.decode_label(network.encode(label)) == label).float().mean()) > 0.97


@torch.inference_mode()
def test_a_latent_voxel_is_the_mean_of_its_voxels_codes(network: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    expected = network.codes[label[0, 8:10, 4:6, 4:6].flatten()].mean(0)
    torch.testing.assert_close(network.encode(label)[0, :, 4, 2, 2], expected)


@torch.inference_mode()
def test_voxels_of_each_label_are_told_from_the_latent(network: LabelAutoencoder) -> None:
    label = blocks_of_labels().repeat(2, 1, 1, 1)
    label[1] = 0
    expected = torch.stack([torch.bincount(one.flatten(), minlength=CLASSES) for one in label]).float()
    found = network.expected_voxels(network.encode(label))
    torch.testing.assert_close(found, expected, atol=0.02 * label[0].numel(), rtol=0.02)
    torch.testing.assert_close(found.sum(1), expected.sum(1))


@torch.inference_mode()
def test_a_crop_is_decoded_as_a_part_of_the_whole(network: LabelAutoencoder) -> None:
    trained = deepcopy(network)
    torch.nn.init.normal_(trained.head.weight, std=0.1)
    latent = trained.encode(blocks_of_labels())
    logits = trained.decode_folded(latent)[:, :, :, :4]
    # the cut is more than the receptive field away
    torch.testing.assert_close(logits, trained.decode_folded(latent[:, :, :10])[:, :, :, :4])


def test_the_decoder_learns_where_borders_run(network: LabelAutoencoder) -> None:
    learning = deepcopy(network)
    label = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    label[:, 1::6] = 1  # sheets of one voxel, always on the same side of a latent voxel
    latent, folded, weights = learning.encode(label), learning.fold(label), torch.ones(CLASSES)
    optimiser = torch.optim.Adam(learning.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = label_reconstruction_loss(learning.decode_folded(latent), folded, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(learning.decode_label(latent), label)
    assert not torch.equal(network.decode_label(latent), label)


@pytest.mark.parametrize(("count", "dimensions", "most"), [(14, 8, 0.05), (3, 16, -0.49), (5, 3, 0.1)])
def test_codes_are_far_apart_and_always_the_same(count: int, dimensions: int, most: float) -> None:
    codes = spread_codes(count, dimensions)
    likeness = codes @ codes.T - 2 * torch.eye(count)
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(count))
    assert float(likeness.max()) <= most
    assert torch.equal(codes, spread_codes(count, dimensions))
