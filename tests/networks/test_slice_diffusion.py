"""The denoising network of slices: a denoiser from the start, told by the label map, alike in crops and slices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from synthaug.networks.precision import autocast
from synthaug.networks.slice_diffusion import (
    SliceDiffusionUNet,
    from_slices,
    to_image,
    to_slices,
    to_states,
)
from synthaug.volumes.views import VIEWS

CLASSES = 4


def tiny(**arguments: Any) -> SliceDiffusionUNet:
    """Network with a value for each parameter: fresh ones end in zeros."""
    network = SliceDiffusionUNet(1, CLASSES, label_channels=8, channels=(8, 16), **arguments)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_labels(*shape: int, low: int = 1) -> torch.Tensor:
    return torch.randint(low, CLASSES, shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("view", "shape"), [("axial", (4, 5)), ("coronal", (4, 6)), ("sagittal", (5, 6))])
def test_slices_of_a_view_follow_its_own_axis_and_make_the_volume_again(view: str, shape: tuple[int, int]) -> None:
    volume = random(2, 4, 5, 6)
    slices = to_slices(volume, view)
    assert slices.shape == ((4, 5, 6)[VIEWS[view]], 2, *shape)
    torch.testing.assert_close(slices[1], volume.select(VIEWS[view] + 1, 1))
    torch.testing.assert_close(from_slices(slices, view), volume)
    torch.testing.assert_close(to_slices(volume[0], view), slices[:, 0])


def test_images_become_states_and_images_again_with_background_of_exactly_0() -> None:
    image, tissue = torch.rand(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(4, 4, 4)
    tissue[0] = 0
    states = to_states(image, tissue)
    assert (states[:, 0] == 0).all()
    again = to_image(states, tissue)
    assert (again[:, 0] == 0).all()
    torch.testing.assert_close(again[:, 1:], image[:, 1:])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_clean_slices_have_the_shape_of_noisy_ones_and_no_background(dtype: torch.dtype, schedule: str) -> None:
    network, noisy, label = tiny(schedule=schedule), random(2, 1, 16, 24), random_labels(2, 16, 24, low=0)
    with autocast(torch.device("cpu"), dtype):
        clean = network(noisy, torch.tensor([3, 999]), label)
    assert clean.shape == noisy.shape
    assert clean.isfinite().all()
    assert (clean[:, 0][label == 0] == 0).all()


@torch.inference_mode()
def test_the_label_map_changes_slices_where_it_changed_and_not_far_away() -> None:
    network, noisy, label = tiny(), random(1, 1, 96, 16), random_labels(1, 96, 16)
    other = label.clone()
    other[:, :4] = other[:, :4] % (CLASSES - 1) + 1
    time = torch.tensor([500])
    difference = (network(noisy, time, other) - network(noisy, time, label)).abs()
    assert float(difference[:, :, :4].max()) > 1e-3
    assert float(difference[:, :, 64:].max()) < 1e-5


@torch.inference_mode()
def test_noise_in_the_background_and_other_slices_of_a_batch_do_not_matter() -> None:
    network, noisy, label = tiny(), random(2, 1, 16, 16), random_labels(2, 16, 16, low=0)
    time = torch.tensor([200, 700])
    clean = network(noisy, time, label)
    torch.testing.assert_close(network(noisy + 5 * (label == 0).unsqueeze(1), time, label), clean)
    torch.testing.assert_close(network(noisy[1:], time[1:], label[1:]), clean[1:], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_fresh_network_is_a_cautious_denoiser_with_the_errors_that_it_states() -> None:
    network = SliceDiffusionUNet(1, CLASSES, label_channels=8, channels=(8, 16)).eval()
    mean, deviation = torch.tensor([[0.0], [0.3], [0.6], [0.9]]), torch.tensor([[0.0], [0.05], [0.1], [0.1]])
    network.set_prior(mean, deviation)
    label = random_labels(4, 64, 64)
    image = (mean[label] + deviation[label] * random(4, 64, 64, 1)).movedim(-1, 1)
    states, noise = to_states(image, torch.ones(4, 1, 64, 64)), random(4, 1, 64, 64, seed=3)
    for step in (5, 100, 999):
        time = torch.full((4,), step)
        error = network(network.noised(states, noise, time), time, label) - states
        stated = network.error_deviation(time, label)
        assert float((error / stated).square().mean()) == pytest.approx(1, abs=0.05)
        assert float(error.square().mean().sqrt()) < 0.2
    assert float(error.square().mean().sqrt()) > 0.1


def test_noise_grows_with_the_steps_until_nothing_else_is_left() -> None:
    for schedule in ("linear", "cosine"):
        network = tiny(schedule=schedule)
        states, noise = torch.ones(3, 1, 8, 8), torch.zeros(3, 1, 8, 8)
        kept = network.noised(states, noise, torch.tensor([0, 500, 999]))[:, 0, 0, 0]
        assert float(kept[0]) == pytest.approx(1, abs=1e-3)
        assert float(kept[0]) > float(kept[1]) > float(kept[2])
        assert float(kept[2]) < 0.01


def test_sizes_that_cannot_be_halved_are_refused_with_the_multiple() -> None:
    network = SliceDiffusionUNet(1, CLASSES, channels=(8, 8, 8))
    with pytest.raises(ValueError, match=r"16 x 20 pixels.*multiples of 8"):
        network(random(1, 1, 16, 20), torch.tensor([3]), random_labels(1, 16, 20))


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'cubic'.*linear, cosine"):
        SliceDiffusionUNet(1, CLASSES, schedule="cubic")
