"""The label-map autoencoder: layouts that fit each other, and losses that point the right way."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.utils import pixelshuffle

from synthaug.networks.label_autoencoder import (
    LabelAutoencoder,
    label_reconstruction_loss,
    nearest_mixture,
    simplex_codes,
)
from synthaug.networks.latent_pyramid import coarsen

CLASSES = 5


@pytest.fixture(scope="module")
def network() -> LabelAutoencoder:
    torch.manual_seed(0)
    return LabelAutoencoder(CLASSES, channels=8, num_res_blocks=2).eval()


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
def test_the_share_of_each_label_is_told_exactly_from_the_latent_at_any_size(network: LabelAutoencoder) -> None:
    label = torch.cat([blocks_of_labels(), torch.zeros(1, 32, 32, 32, dtype=torch.long)])
    expected = torch.stack([torch.bincount(one.flatten(), minlength=CLASSES) for one in label]) / label[0].numel()
    latent = network.encode(label)
    for coarse in (latent, coarsen(latent), coarsen(coarsen(latent))):
        torch.testing.assert_close(network.label_shares(coarse), expected, atol=1e-6, rtol=1e-4)


@torch.inference_mode()
def test_the_shares_of_blocks_are_those_of_their_voxels(network: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    found = network.shares_in_blocks(coarsen(network.encode(label)), (4, 2, 8))  # voxels of four: 16, 8 and 32
    assert found.shape == (1, CLASSES, 2, 4, 1)
    block = label[0, 16:, 8:16, :]
    expected = torch.bincount(block.flatten(), minlength=CLASSES) / block.numel()
    torch.testing.assert_close(found[0, :, 1, 1, 0], expected, atol=1e-6, rtol=1e-4)


@torch.inference_mode()
def test_errors_of_zero_mean_leave_the_shares_of_small_structures(network: LabelAutoencoder) -> None:
    label = torch.zeros(1, 64, 64, 64, dtype=torch.long)
    label[:, 10:50, 10:50, 10:50] = 1
    label[:, 20:24, 20:24, 20:24] = 2
    latent = network.encode(label)
    noisy = latent + 0.1 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    found = network.label_shares(noisy)[0] * label.numel()
    torch.testing.assert_close(found.sum(), torch.tensor(float(label.numel())), atol=1, rtol=0)
    assert float(found[2]) == pytest.approx(64, abs=100)  # of 262144; each voxel brought to a mixture would add 10000
    assert float(found[1]) == pytest.approx(40**3 - 64, abs=200)


def test_latents_are_exact_whatever_the_precision_of_the_networks(network: LabelAutoencoder) -> None:
    label = blocks_of_labels()
    with torch.autocast("cpu", torch.bfloat16):
        latent = network.encode(label)
    assert latent.dtype == torch.float32
    assert torch.equal(latent, network.encode(label))


def test_the_nearest_mixture_is_a_mixture_and_leaves_mixtures_as_they_are() -> None:
    held = torch.randn(2, CLASSES, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = nearest_mixture(held)
    assert float(found.min()) >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(2, 3, 4, 5))
    torch.testing.assert_close(nearest_mixture(found), found)
    # nearest: no other mixture lies beyond the plane through it, seen from what was given
    for corner in torch.eye(CLASSES):
        towards = corner.view(1, -1, 1, 1, 1) - found
        assert float(((held - found) * towards).sum(1).max()) < 1e-5


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


@pytest.mark.parametrize("count", [2, 3, 14, 120])
def test_codes_are_the_corners_of_a_simplex(count: int) -> None:
    codes = simplex_codes(count)
    expected = torch.full((count, count), -1 / (count - 1)).fill_diagonal_(1)
    torch.testing.assert_close(codes @ codes.T, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.sum(0), torch.zeros(count - 1), atol=1e-4, rtol=0)


def test_a_coarser_latent_is_the_mean_of_finer_ones_and_ids_are_checked() -> None:
    network = LabelAutoencoder(CLASSES)
    label = torch.randint(0, CLASSES, (2, 16, 24, 16), generator=torch.Generator().manual_seed(0))
    for coarser in (1, 2):
        torch.testing.assert_close(network.encode(label, coarser=coarser), coarsen(network.encode(label), coarser))
    label[1, 0, 0, 0] = CLASSES
    with pytest.raises(ValueError, match=f"has id {CLASSES}; ids run from 0 to {CLASSES - 1}"):
        network.encode(label)
