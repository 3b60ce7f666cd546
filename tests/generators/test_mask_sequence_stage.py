"""Label maps that grow from a random place: every slice once, joins where subsequences meet, volumes asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.conditions import Condition
from synthaug.generators.mask_sequence_stage import plan_windows
from synthaug.generators.vid2vid import Vid2Vid
from tests.generators.tiny_sequences import SHAPE, tiny_sequence_config, write_tiny_sequences


@given(depth=st.integers(6, 60), slices=st.integers(2, 6), data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_slice_is_made_once_from_slices_that_were_made_before(
    depth: int, slices: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, depth - slices))
    overlap = data.draw(st.integers(1, slices - 1))
    made: set[int] = set()
    for number, windows in enumerate(plan_windows(start, depth, slices, overlap)):
        before = set(made)
        for window in windows:
            assert len(window.given) == slices
            assert 0 <= window.first <= depth - slices
            places = {window.first + place: known for place, known in enumerate(window.given)}
            assert {place for place, known in places.items() if known} <= before
            new = {place for place, known in places.items() if not known}
            assert new
            assert not new & made
            made |= new
            assert (sum(window.given) >= overlap) == (number > 0)
            if number:
                assert window.join is not None
                assert len({window.join, window.join - 1} & new) == 1
    assert made == set(range(depth))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Vid2Vid:
    return Vid2Vid.load(write_tiny_sequences(tmp_path_factory.mktemp("weights"), tiny_sequence_config("vid2vid")))


def test_label_maps_have_the_volumes_asked_for(generator: Vid2Vid) -> None:
    (large,) = generator.sample_labels([Condition({"ventricles": 40.0})], [3])
    (small,) = generator.sample_labels([Condition({"ventricles": 15.0})], [3])
    ids = generator.scheme.resolve("ventricles")
    volumes = [np.isin(one, ids).sum() * 0.064 for one in (large, small)]
    assert volumes == pytest.approx([40.0, 15.0], rel=0.1)
    assert large.shape == SHAPE


def test_a_label_map_is_the_same_alone_and_in_a_batch(generator: Vid2Vid, tmp_path: Path) -> None:
    conditions = [Condition({"ventricles": 20.0}), Condition({}), Condition({"ventricles": 60.0})]
    together = generator.sample_labels(conditions, [1, 2, 3])
    fresh = Vid2Vid.load(write_tiny_sequences(tmp_path, tiny_sequence_config("vid2vid")))
    for condition, seed, label in zip(conditions, [1, 2, 3], together, strict=True):
        np.testing.assert_array_equal(fresh.sample_labels([condition], [seed])[0], label)


def test_another_seed_gives_another_label_map(generator: Vid2Vid) -> None:
    first, second = generator.sample_labels([Condition({"ventricles": 20.0})] * 2, [1, 2])
    assert not np.array_equal(first, second)


def test_guidance_changes_the_label_map(generator: Vid2Vid, tmp_path: Path) -> None:
    config = tiny_sequence_config("vid2vid")
    guided = Vid2Vid.load(write_tiny_sequences(tmp_path, config), guidance_scale=8.0, volume_shift=0.0)
    plain = Vid2Vid.load(tmp_path, volume_shift=0.0)
    condition = Condition({"ventricles": 20.0})
    assert not np.array_equal(guided.sample_labels([condition], [1])[0], plain.sample_labels([condition], [1])[0])


def test_the_provenance_names_the_joins(generator: Vid2Vid) -> None:
    (pair,) = generator.generate([Condition({"ventricles": 20.0})], [5])
    joins = pair.provenance["joins"]
    assert joins == sorted(set(joins))
    assert len(joins) >= (SHAPE[2] - 6) // 4
    assert all(0 < one < SHAPE[2] for one in joins)
