"""Network of mask sequences: what is known beforehand, and each path of its conditions."""

from __future__ import annotations

import pytest
import torch

from synthaug.networks.mask_sequence import MaskSequenceUNet, as_signal, expected_signal

CLASSES, SHAPE = 4, (32, 16, 8)


@pytest.fixture
def network() -> MaskSequenceUNet:
    """Small, with no weight at 0, so that conditions reach the output."""
    torch.manual_seed(0)
    made = MaskSequenceUNet(CLASSES, 2, SHAPE, channels=(32, 32, 32), embedding_channels=16)
    for parameter in made.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return made.eval()


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(CLASSES, (2, 6, *SHAPE[:2]), generator=generator)
    noise = torch.randn(2, 6, CLASSES, *SHAPE[:2], generator=generator)
    return {
        "state": 0.5 * as_signal(label, CLASSES) + 0.5 * noise,
        "time": torch.tensor([500.0, 500.0]),
        "first_slice": torch.tensor([0, 2]),
        "given": torch.tensor([[0.0] * 6, [1.0, 1.0, 0, 0, 0, 0]]),
        "condition": torch.tensor([[[0.3, 1.0], [0.0, 0.0]]] * 2),
    }


@torch.no_grad()
def test_logits_have_a_channel_for_each_label_of_each_slice(network: MaskSequenceUNet) -> None:
    assert network(**inputs()).shape == (2, 6, CLASSES, *SHAPE[:2])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("time", torch.tensor([900.0, 900.0])),
        ("first_slice", torch.tensor([2, 0])),
        ("given", torch.tensor([[1.0, 0, 0, 0, 0, 0], [0.0] * 6])),
        ("condition", torch.tensor([[[-0.9, 1.0], [0.0, 0.0]]] * 2)),
        ("condition", torch.zeros(2, 2, 2)),
    ],
)
@torch.no_grad()
def test_every_condition_changes_the_outcome(network: MaskSequenceUNet, name: str, other: torch.Tensor) -> None:
    given = inputs()
    assert (network(**given) - network(**{**given, name: other})).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-4


@torch.no_grad()
def test_slices_that_are_given_change_those_that_are_made(network: MaskSequenceUNet) -> None:
    given = inputs()
    other = given["state"].clone()
    other[1, 0] = as_signal(torch.full((1, 1, *SHAPE[:2]), 2), CLASSES)[0, 0]
    changed = (network(**given) - network(**{**given, "state": other})).abs().amax(dim=(2, 3, 4))
    assert changed[1, 2:].min() > 1e-5
    assert changed[0].max() < 1e-6


@torch.no_grad()
def test_fresh_weights_know_what_is_likely_at_a_place() -> None:
    network = MaskSequenceUNet(CLASSES, 1, SHAPE, channels=(32, 32, 32)).eval()
    prior = torch.full((CLASSES, SHAPE[0] // 4, SHAPE[1] // 4, SHAPE[2] // 2), 0.01)
    prior[1, :4], prior[3, 4:] = 0.97, 0.97
    network.set_prior(prior)
    noise = torch.randn(1, 6, CLASSES, *SHAPE[:2], generator=torch.Generator().manual_seed(0))
    logits = network(noise, torch.tensor([1000.0]), torch.tensor([1]), torch.zeros(1, 6), torch.zeros(1, 1, 2))
    label = logits.argmax(dim=2)[0]
    assert (label[:, :12] == 1).all()
    assert (label[:, 20:] == 3).all()


@torch.no_grad()
def test_fresh_weights_read_labels_off_a_pixel_that_is_hardly_noised() -> None:
    network = MaskSequenceUNet(CLASSES, 1, SHAPE, channels=(32, 32, 32)).eval()
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(CLASSES, (1, 6, *SHAPE[:2]), generator=generator)
    clean = as_signal(label, CLASSES)
    state = 0.95 * clean + 0.05 * torch.randn(clean.shape, generator=generator)
    logits = network(state, torch.tensor([50.0]), torch.tensor([0]), torch.zeros(1, 6), torch.zeros(1, 1, 2))
    assert (logits.argmax(dim=2) == label).float().mean() > 0.99
    assert torch.allclose(expected_signal(20 * clean), clean, atol=0.01)


@torch.no_grad()
def test_a_sample_does_not_depend_on_what_else_is_in_the_batch(network: MaskSequenceUNet) -> None:
    both = inputs()
    alone = network(**{name: value[1:] for name, value in both.items()})
    assert torch.allclose(network(**both)[1:], alone, atol=1e-5)


def test_sizes_that_cannot_be_folded_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of \(8, 8, 2\)"):
        MaskSequenceUNet(CLASSES, 1, (30, 16, 8))
    with pytest.raises(ValueError, match=r"multiples of \(8, 8, 2\)"):
        MaskSequenceUNet(CLASSES, 1, (32, 16, 7))
