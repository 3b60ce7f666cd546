"""The velocity networks and the image autoencoder: shapes, and that conditions and label maps reach the output."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import autocast, choose_device, choose_dtype

CLASSES = 4


def shaken(network: Any) -> Any:
    """Fresh diffusion networks end in zeros and give 0 for any input: give every parameter a value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@torch.inference_mode()
def test_the_condition_changes_the_mask_network_s_velocity() -> None:
    network = shaken(
        MaskDiffusionUNet(
            3,
            2,
            channels=(8, 16),
            attention_levels=(False, True),
            condition_dimension=8,
            head_channels=8,
            norm_groups=4,
        )
    )
    latent, time = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0, 500.0])
    null = torch.zeros(2, 2, 2)
    asked = null.clone()
    asked[1, 0] = torch.tensor([0.5, 1.0])
    without, with_condition = network(latent, time, null), network(latent, time, asked)
    assert without.shape == latent.shape
    torch.testing.assert_close(without[0], with_condition[0])
    assert float((without[1] - with_condition[1]).abs().max()) > 1e-4


@torch.inference_mode()
def test_folded_latents_keep_their_grid_and_clean_latents_become_velocities() -> None:
    sizes: dict[str, Any] = {
        "channels": (8, 16),
        "attention_levels": (False, True),
        "condition_dimension": 8,
        "head_channels": 8,
    }
    network = MaskDiffusionUNet(3, 2, **sizes, norm_groups=4, patch=2, predicts_data=True)
    latent = torch.randn(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    time, null = torch.tensor([500.0, 250.0]), torch.zeros(2, 2, 2)
    # a fresh U-Net gives 0: the clean latent is 0, and all of the state is noise times its fraction
    velocity = network.eval()(latent, time, null)
    torch.testing.assert_close(velocity, latent / torch.tensor([0.5, 0.25]).view(2, 1, 1, 1, 1))
    shaken(network)
    clean = latent - network(latent, time, null) * torch.tensor([0.5, 0.25]).view(2, 1, 1, 1, 1)
    assert clean.shape == latent.shape
    moved = latent.clone()
    moved[0, :, 7, 7, 7] += 1
    assert float((network(moved, time, null) - network(latent, time, null))[0].abs().max()) > 1e-4


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


def test_a_device_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(ConfigurationError, match=r"device 'cuda:99'.*use 'auto'"):
        choose_device("cuda:99")
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        choose_device("abacus")


def test_float32_runs_without_autocast() -> None:
    device = choose_device("cpu")
    with autocast(device, torch.float32):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(device, torch.bfloat16):
        assert torch.is_autocast_enabled("cpu")
    assert choose_dtype(device) in (torch.float32, torch.bfloat16)
