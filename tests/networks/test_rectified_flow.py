"""Rectified flow: straight paths are followed exactly, and times are drawn from the generator that is passed in."""

from __future__ import annotations

import pytest
import torch

from synthaug.networks.rectified_flow import draw_times, integrate_flow, noisy_state

SHAPE = (2, 3, 4, 4, 4)


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


@pytest.mark.parametrize("steps", [1, 4, 7])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_straight_flow_leads_from_noise_to_data_in_any_number_of_steps(steps: int, shift: float) -> None:
    data, noise = tensors()
    calls: list[float] = []

    def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
        calls.append(float(fraction))
        return noise - data

    reached = integrate_flow(velocity, noise, steps=steps, shift=shift)
    torch.testing.assert_close(reached, data, atol=1e-5, rtol=1e-5)
    assert len(calls) == steps
    assert calls[0] == pytest.approx(1.0)
    assert calls == sorted(calls, reverse=True)


def test_the_velocity_is_asked_at_the_state_s_own_noise_fraction() -> None:
    data, noise = tensors()

    def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
        torch.testing.assert_close(state, noisy_state(data, noise, fraction.expand(2)), atol=1e-5, rtol=1e-5)
        return noise - data

    integrate_flow(velocity, noise, steps=5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_start_below_one_renews_only_part_of_the_noise(shift: float) -> None:
    data, noise = tensors()
    start = noisy_state(data, noise, torch.full((2,), 0.4))
    reached = integrate_flow(lambda state, fraction: noise - data, start, steps=3, shift=shift, start=0.4)
    torch.testing.assert_close(reached, data, atol=1e-5, rtol=1e-5)


def test_ends_of_the_path_are_data_and_noise() -> None:
    data, noise = tensors()
    state = noisy_state(data, noise, torch.tensor([0.0, 1.0]))
    assert torch.equal(state[0], data[0])
    assert torch.equal(state[1], noise[1])


def test_times_follow_their_generator_and_lie_between_data_and_noise() -> None:
    first = draw_times(500, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, draw_times(500, generator=torch.Generator().manual_seed(1)))
    assert float(first.min()) > 0
    assert float(first.max()) < 1
    later = draw_times(500, generator=torch.Generator().manual_seed(1), shift=1.0)
    assert bool((later > first).all())
