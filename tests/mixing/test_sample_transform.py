"""The seeds of a synthetic sample's transform, and what becomes of the training's own."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from synthaug.mixing.sample_transform import seeded


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_draws_follow_the_seed_and_those_around_go_on() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = [draws(), draws()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = draws()
    with seeded([7]):
        within = draws()
    assert [before, draws()] == expected
    with seeded([7]):
        assert draws() == within
    with seeded([8]):
        assert draws() != within


def test_generators_of_gpus_are_left_alone_where_none_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that torch keeps for GPUs until it begins to use them would be that of the last sample."""

    def refuse(seed: int) -> None:
        raise AssertionError(f"GPUs are seeded with {seed}")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    with seeded([7]):
        torch.rand(())


def test_generators_of_gpus_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {0: 11, 1: 22}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(states))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device: state}))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: states.update({0: seed, 1: seed}))
    with seeded([7]) as seed:
        assert set(states.values()) == {seed}
    assert states == {0: 11, 1: 22}
