"""The velocity networks and the image autoencoder: shapes, and that conditions and label maps reach the output."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synthaug.networks.image_autoencoder import ImageAutoencoder, kl_divergence
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import CAUTION, MaskDiffusionUNet

CLASSES = 4


def shaken(network: Any) -> Any:
    """Fresh diffusion networks end in zeros and give 0 for any input: give every parameter a value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def mask_network(**arguments: Any) -> MaskDiffusionUNet:
    sizes = {"channels": (8, 16), "attention_levels": (False, True), "condition_dimension": 8, "head_channels": 8}
    return MaskDiffusionUNet(3, 2, (8, 8, 8), **{**sizes, **arguments})


@torch.inference_mode()
def test_the_condition_changes_the_mask_network_s_velocity() -> None:
    network = shaken(mask_network())
    latent, time = torch.randn(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0, 500.0])
    null = torch.zeros(2, 2, 2)
    asked = null.clone()
    asked[1, 0] = torch.tensor([0.5, 1.0])
    without, with_condition = network(latent, time, null), network(latent, time, asked)
    assert without.shape == latent.shape
    torch.testing.assert_close(without[0], with_condition[0])
    assert float((without[1] - with_condition[1]).abs().max()) > 1e-4


@torch.inference_mode()
def test_a_fresh_mask_network_is_a_cautious_denoiser_that_sees_one_voxel_at_a_time() -> None:
    network = mask_network().eval()
    generator = torch.Generator().manual_seed(0)
    mean, deviation = 2.0, 0.5
    network.set_prior(torch.full((1, 3, 8, 8, 8), mean), torch.full((1, 1, 8, 8, 8), deviation))
    data = mean + deviation * torch.randn(64, 3, 8, 8, 8, generator=generator)
    noise = torch.randn(data.shape, generator=generator)
    for fraction in (0.2, 0.5, 0.9):
        state = (1 - fraction) * data + fraction * noise
        velocity = network(state, torch.full((64,), 1000 * fraction), torch.zeros(64, 2, 2))
        error = (state - fraction * velocity - data).square().mean().sqrt()
        spread = ((1 - fraction) ** 2 * deviation**2 + fraction**2) ** 0.5
        # Wiener's share of the offset from the mean, for noise that is taken to be stronger than it is
        share = (1 - fraction) * deviation**2 / ((1 - fraction) ** 2 * deviation**2 + (CAUTION * fraction) ** 2)
        expected = ((1 - share * (1 - fraction)) ** 2 * deviation**2 + (share * fraction) ** 2) ** 0.5
        assert float(error) == pytest.approx(expected, rel=0.02)
        assert float(error) < 1.02 * min(deviation, CAUTION * fraction)
        assert float(network.state_deviation(torch.tensor(fraction)).mean()) == pytest.approx(spread, rel=1e-4)


@torch.inference_mode()
def test_noise_alone_leads_a_fresh_mask_network_to_the_mean_head() -> None:
    network = mask_network().eval()
    mean = torch.randn(1, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    network.set_prior(mean, torch.full((1, 1, 8, 8, 8), 1e-3))
    state = torch.randn(1, 3, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    data = state - network(state, torch.tensor([1000.0]), torch.zeros(1, 2, 2))
    torch.testing.assert_close(data, mean, atol=0.01, rtol=0)


@torch.inference_mode()
def test_detail_depends_on_the_neighbourhood_alone() -> None:
    network = shaken(MaskDetailUNet(3, channels=(8, 16)))
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 3, 48, 8, 8, generator=generator)
    detail = torch.randn(1, 3, 96, 16, 16, generator=generator)
    velocity = network(detail, torch.tensor([500.0]), coarse)
    assert velocity.shape == detail.shape
    assert float(velocity.std()) > 0.1
    other = coarse.clone()
    other[:, :, 0] += 1
    changed = network(detail, torch.tensor([500.0]), other)
    assert float((changed - velocity)[:, :, :2].abs().max()) > 1e-3
    torch.testing.assert_close(changed[:, :, 88:], velocity[:, :, 88:])


@torch.inference_mode()
@pytest.mark.parametrize("channels", [(8,), (8, 16)])
def test_what_lies_beyond_the_decoder_s_reach_does_not_matter(channels: tuple[int, ...]) -> None:
    network = shaken(ImageAutoencoder(1, CLASSES, channels=channels, latent_channels=2, norm_groups=0))
    factor, reach = network.downsampling, network.decoder_reach
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, 2, 24, 4, 4, generator=generator)
    label = torch.randint(0, CLASSES, (1, 24 * factor, 4 * factor, 4 * factor), generator=generator)
    image = network.decode(latent, label)
    changed_latent, changed_label = latent.clone(), label.clone()
    changed_latent[:, :, 0] += 1
    changed_label[:, :factor] = 0
    changed = network.decode(changed_latent, changed_label)
    assert 0 < reach < 20 * factor
    torch.testing.assert_close(changed[:, :, factor + reach :], image[:, :, factor + reach :])
    assert not torch.equal(changed[:, :, : factor + reach], image[:, :, : factor + reach])


def test_with_group_norms_every_voxel_matters() -> None:
    network = shaken(ImageAutoencoder(1, CLASSES, channels=(8, 16), latent_channels=2, norm_groups=4))
    assert network.decoder_reach > 1000


@torch.inference_mode()
def test_the_label_map_changes_the_image_network_s_velocity_and_the_decoded_image() -> None:
    autoencoder = shaken(ImageAutoencoder(1, CLASSES, channels=(8, 16), latent_channels=2, norm_groups=4))
    diffusion = shaken(ImageDiffusionUNet(2, CLASSES, 4, label_channels=8, channels=(8, 16), norm_groups=4))
    label = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    other = label.clone()
    other[0, 3, 3, 3] = 2
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, std = autoencoder.encode(image)
    assert mean.shape == std.shape == (1, 2, 4, 4, 4)
    decoded = autoencoder.decode(mean, label)
    assert decoded.shape == image.shape
    assert not torch.equal(decoded, autoencoder.decode(mean, other))
    velocities = [diffusion(mean, torch.tensor([300.0]), diffusion.label_encoder(one)) for one in (label, other)]
    assert velocities[0].shape == mean.shape
    assert not torch.equal(*velocities)


@torch.inference_mode()
def test_a_fresh_preconditioned_image_network_is_the_best_denoiser_of_single_voxels() -> None:
    network = ImageDiffusionUNet(2, CLASSES, 4, label_channels=8, channels=(8, 16), norm_groups=4, preconditioned=True)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(8, 2, 8, 8, 8, generator=generator)
    noise = torch.randn(data.shape, generator=generator)
    features = network.label_encoder(torch.zeros(8, 32, 32, 32, dtype=torch.long))
    for fraction in (0.1, 0.5, 0.9):
        state = (1 - fraction) * data + fraction * noise
        velocity = network(state, torch.full((8,), 1000 * fraction), features)
        factor = float((velocity * state).mean() / state.square().mean())
        torch.testing.assert_close(velocity, factor * state)
        # of all multiples of a voxel's state, the nearest to the velocity: its error goes with none of the state
        assert float(((noise - data - velocity) * state).mean()) == pytest.approx(0, abs=0.03)


def test_a_fresh_image_encoder_adds_little_noise_to_its_latents() -> None:
    network = ImageAutoencoder(1, CLASSES, channels=(8, 16), latent_channels=2)
    _, std = network.encode(torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert float(std.detach().max()) < 0.2


def test_the_divergence_is_zero_for_a_standard_normal_alone() -> None:
    mean, std = torch.zeros(1, 2, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)
    assert float(kl_divergence(mean, std)) == pytest.approx(0, abs=1e-6)
    assert float(kl_divergence(mean + 1, std)) > 0
    assert float(kl_divergence(mean, 2 * std)) > 0
