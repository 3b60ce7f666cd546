"""Networks of earlier weights still do what the mask stage asks of its networks."""

from __future__ import annotations

import torch

from synthaug.networks.kl_label_autoencoder import KLLabelAutoencoder
from synthaug.networks.kl_mask_diffusion import KLMaskDiffusionUNet

CLASSES = 5


@torch.inference_mode()
def test_label_maps_are_encoded_decoded_and_counted() -> None:
    torch.manual_seed(0)
    network = KLLabelAutoencoder(
        CLASSES, embedding_channels=4, channels=(8, 16), latent_channels=3, num_res_blocks=1, norm_groups=4
    ).eval()
    label = torch.randint(0, CLASSES, (2, 8, 12, 16))
    latent = network.encode(label)
    assert network.downsampling == 4
    assert latent.shape == (2, 3, 2, 3, 4)
    decoded = network.decode_label(latent)
    assert decoded.shape == label.shape
    counted = network.expected_voxels(latent)
    assert counted.shape == (2, CLASSES)
    torch.testing.assert_close(counted[0], torch.bincount(decoded[0].flatten(), minlength=CLASSES).float())
    network.decision_offset[int(decoded[0, 0, 0, 0])] = 100.0
    assert int(network.decode_label(latent)[0, 0, 0, 0]) != int(decoded[0, 0, 0, 0])


@torch.inference_mode()
def test_the_condition_reaches_the_velocity() -> None:
    torch.manual_seed(0)
    network = KLMaskDiffusionUNet(
        3,
        2,
        channels=(8, 16),
        attention_levels=(False, True),
        num_res_blocks=1,
        condition_dimension=8,
        head_channels=8,
        norm_groups=4,
    ).eval()
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape))
    latent, null = torch.randn(1, 3, 4, 4, 4), torch.zeros(1, 2, 2)
    asked = null + torch.tensor([0.5, 1.0])
    time = torch.tensor([500.0])
    without, with_condition = network(latent, time, null), network(latent, time, asked)
    assert without.shape == latent.shape
    assert float((without - with_condition).abs().max()) > 1e-4
