"""Rectified flow: the straight path between data and noise, its training target, and its integration.

At noise fraction ``t`` the state is ``(1 - t) * data + t * noise`` and its velocity is ``noise - data``
(Liu et al. 2022; logit-normal times as in Esser et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

TIME_SCALE = 1000
"""The networks' time embeddings expect times on the scale of a thousand diffusion steps."""


LEAST_NOISE = 0.02
"""Noise fraction below which a velocity is no longer divided by it, where a network predicts the data."""


def draw_times(count: int, *, generator: torch.Generator, shift: float = 0.0) -> torch.Tensor:
    """Logit-normal noise fractions, ``(count,)``; a positive ``shift`` moves them towards noise."""
    return torch.sigmoid(torch.randn(count, generator=generator) + shift)


def noisy_state(data: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """State at noise fractions ``times``, ``(B,)``, of ``(B, C, x, y, z)`` data."""
    times = times.view(-1, *[1] * (data.ndim - 1))
    return (1 - times) * data + times * noise


def integrate_flow(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    state: torch.Tensor,
    *,
    steps: int,
    shift: float = 1.0,
    start: float = 1.0,
) -> torch.Tensor:
    """Follow the flow from noise to data with Euler steps.

    Args:
        velocity: called with the state and its noise fraction (a scalar tensor).
        state: ``(B, C, x, y, z)`` state at noise fraction ``start``.
        steps: network evaluations.
        shift: above 1 spends more of the steps at high noise (Esser et al. 2024, equation 23).
        start: noise fraction to start from; below 1 for partial renewal of an existing latent.
    """
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIME_SCALE, shift=shift)
    # The scheduler shifts what it is given: the first one has to arrive at the start.
    first = start / (shift - (shift - 1) * start)
    sigmas = torch.linspace(first, first / steps, steps)
    scheduler.set_timesteps(sigmas=sigmas.tolist())
    for timestep in scheduler.timesteps:
        state = scheduler.step(velocity(state, timestep / TIME_SCALE), timestep, state).prev_sample
    return state
