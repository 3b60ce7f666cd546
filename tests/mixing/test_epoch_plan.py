"""Passes over a mixed dataset are epochs, whoever asks for its items."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from synthaug import SynthAugment
from synthaug.mixing.epoch_plan import EpochPlan
from synthaug.schedules import parse_mix
from tests.real_samples import RealCases, make_mixed_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mixed_cache(tmp_path_factory.mktemp("mixed") / "cache")


def test_an_item_that_a_sampler_repeats_is_no_second_pass(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=0.5)
    sampler = WeightedRandomSampler([1.0] + [0.0] * (len(mixed) - 1), len(mixed), replacement=True)
    loader = DataLoader(mixed, batch_size=1, sampler=sampler, collate_fn=len)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)
    with pytest.warns(UserWarning, match="a second pass") as told:
        list(loader)
    assert len(told) == 1


def test_a_pass_is_counted_the_same_by_a_loader_and_by_for(cache: Path) -> None:
    looped, loaded = (SynthAugment(RealCases(), cache, ratio=0.5, count_epochs=True) for _ in range(2))
    for _ in range(2):
        list(looped)
        list(DataLoader(loaded, batch_size=2, collate_fn=len))
    assert looped.epoch == loaded.epoch == 2
    assert looped.state_dict()["epoch"] == 2


def one_by_one(mixed: SynthAugment) -> DataLoader[Any]:
    return DataLoader(mixed, batch_size=None)


def around(mixed: SynthAugment) -> DataLoader[Any]:
    return DataLoader(ConcatDataset([mixed]), batch_size=2, collate_fn=list)


@pytest.mark.parametrize("load", [one_by_one, around])
def test_passes_are_counted_where_items_are_asked_for_one_at_a_time(
    cache: Path, load: Callable[[SynthAugment], DataLoader[Any]]
) -> None:
    told, counted = SynthAugment(RealCases(), cache), SynthAugment(RealCases(), cache, count_epochs=True)
    loader = load(counted)
    for epoch in range(3):
        told.set_epoch(epoch)
        expected = [item["synthaug"]["name"] for item in told]
        batches = [batch if isinstance(batch, list) else [batch] for batch in loader]
        found = [item["synthaug"]["name"] for batch in batches for item in batch]
        assert found == expected
    assert counted.epoch == 3


def test_counting_the_passes_of_several_processes_is_warned_of(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.warns(UserWarning, match="2 processes are at work.*call set_epoch") as told:
        SynthAugment(RealCases(), cache, count_epochs=True)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SynthAugment(RealCases(), cache).epoch == 0  # told epochs are right in any process


def test_items_of_two_epochs_in_turn_draw_each_plan_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, drawn = EpochPlan(parse_mix(0.5), 10), []

    def draw(*words: int) -> np.random.Generator:
        drawn.append(words)
        return np.random.default_rng(0)

    monkeypatch.setattr("synthaug.mixing.epoch_plan.stream", draw)
    for _ in range(3):
        for epoch in (0, 1):
            plan.planned(0, 0, epoch, 0.0)
    assert len(drawn) == 2
