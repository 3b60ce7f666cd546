"""The networks of alpha-WGAN: shapes, what reaches the output, and what fresh weights give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.networks.alpha_wgan import AlphaWGAN

CLASSES = 4
SHAPE = (32, 64, 32)
HALF = (16, 32, 16)
CODE = 16


def make_network(**arguments: int) -> AlphaWGAN:
    torch.manual_seed(0)
    return AlphaWGAN(CLASSES, 2, SHAPE, code_size=CODE, channels=(8, 8, 8, 8, 16), **arguments).eval()


@pytest.fixture
def code() -> torch.Tensor:
    return torch.randn(2, CODE, generator=torch.Generator().manual_seed(1))


def test_codes_become_pairs_and_pairs_become_codes_and_scores(code: torch.Tensor) -> None:
    network, null = make_network(num_controls=3), torch.zeros(2, 3, 2)
    logits, image = network.sample(code, null)
    assert logits.shape == (2, CLASSES, *SHAPE)
    assert image.shape == (2, 2, *SHAPE)
    assert logits.dtype == image.dtype == torch.float32
    logits, intensity = network.generator(code, null)
    assert logits.shape == (2, CLASSES, *HALF)
    volume = network.join(logits.softmax(dim=1), intensity)
    assert volume.shape == (2, 2 + CLASSES, *HALF)
    assert network.encoder(volume).shape == (2, network.code_size)
    assert network.discriminator(volume, null).shape == (2,)
    assert network.code_discriminator(code).shape == (2,)


@torch.inference_mode()
def test_the_condition_changes_the_pair_and_the_score(code: torch.Tensor) -> None:
    network = make_network()
    null = torch.zeros(2, 1, 2)
    asked = null.clone()
    asked[1, 0] = torch.tensor([0.5, 1.0])
    for before, after in zip(network.sample(code, null), network.sample(code, asked), strict=True):
        torch.testing.assert_close(before[0], after[0])
        assert float((before[1] - after[1]).abs().max()) > 1e-3
    volume = torch.rand(2, 2 + CLASSES, *HALF, generator=torch.Generator().manual_seed(2))
    scores, others = network.discriminator(volume, null), network.discriminator(volume, asked)
    torch.testing.assert_close(scores[0], others[0])
    assert float((scores[1] - others[1]).abs()) > 1e-4


@torch.inference_mode()
def test_a_pair_does_not_depend_on_what_else_is_sampled(code: torch.Tensor) -> None:
    network, null = make_network().train(), torch.zeros(2, 1, 2)
    for together, alone in zip(network.sample(code, null), network.sample(code[:1], null[:1]), strict=True):
        torch.testing.assert_close(together[:1], alone)


@torch.inference_mode()
def test_fresh_weights_give_the_mean_head_once_it_is_told(code: torch.Tensor) -> None:
    network = make_network()
    for parameter in network.generator.head.parameters():
        parameter.zero_()
    generator = torch.Generator().manual_seed(3)
    label = torch.randint(0, CLASSES, SHAPE, generator=generator)
    pooled = functional.avg_pool3d(functional.one_hot(label, CLASSES).movedim(-1, 0).float(), 2)
    shares = 0.9 * pooled + 0.1 / CLASSES
    image = torch.rand(2, *HALF, generator=generator) * (1 - shares[:1])
    network.set_prior(shares, image)
    logits, intensity = network.generator(code, torch.zeros(2, 1, 2))
    torch.testing.assert_close(logits[1].softmax(dim=0), shares)
    torch.testing.assert_close(network.partial_image(logits.softmax(dim=1), intensity)[1], image)


@torch.inference_mode()
def test_the_image_of_a_voxel_is_its_tissue_s_by_the_share_of_tissue() -> None:
    generator = torch.Generator().manual_seed(4)
    label = torch.randint(0, CLASSES, (1, *SHAPE), generator=generator)
    shares = functional.avg_pool3d(functional.one_hot(label, CLASSES).movedim(-1, 1).float(), 2)
    intensity = torch.rand(1, 2, *HALF, generator=generator)
    image = functional.interpolate(intensity, scale_factor=2) * (label > 0).unsqueeze(1)
    torch.testing.assert_close(AlphaWGAN.partial_image(shares, intensity), functional.avg_pool3d(image, 2))


@torch.inference_mode()
def test_codes_of_heads_have_the_mean_square_of_normal_ones_and_tell_what_is_special() -> None:
    network = make_network()
    generator = torch.Generator().manual_seed(5)
    common = torch.rand(1, 2 + CLASSES, *HALF, generator=generator)
    volumes = common + 0.05 * torch.randn(4, 2 + CLASSES, *HALF, generator=generator)
    before = network.encoder(volumes)
    network.set_prior(common[0, 2:], common[0, :2] / 4)
    after = network.encoder(volumes)
    for codes in (before, after):
        torch.testing.assert_close(codes.square().mean(dim=1), torch.ones(4))
    assert float(after.var(dim=0).mean()) > 2 * float(before.var(dim=0).mean())


def test_gradients_under_autocast_point_where_those_in_float32_do(code: torch.Tensor) -> None:
    network, null = make_network(), torch.zeros(2, 1, 2)
    found = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits, intensity = network.generator(code, null)
            volume = network.join(logits.softmax(dim=1), intensity)
            scores = network.discriminator(volume, null) + network.code_discriminator(network.encoder(volume))
            scores.sum().backward()
        assert scores.dtype == torch.float32
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    exact, rounded = found
    assert float(exact.norm()) > 0
    assert exact.shape == rounded.shape
    assert float(functional.cosine_similarity(rounded, exact, dim=0)) > 0.95


@pytest.mark.parametrize("shape", [(32, 48, 32), (32, 32), (0, 32, 32)])
def test_a_field_of_view_that_cannot_be_halved_five_times_is_refused(shape: Sequence[int]) -> None:
    with pytest.raises(ConfigurationError, match="three multiples of 32"):
        AlphaWGAN(CLASSES, 1, shape)


def test_another_number_of_levels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="of 2 levels; give 5"):
        AlphaWGAN(CLASSES, 1, SHAPE, channels=(8, 8))
