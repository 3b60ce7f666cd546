"""Label maps that grow from a random place: every slice once, joins where subsequences meet, volumes asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
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


def labels_with(folder: Path, noise: float) -> np.ndarray:
    generator = Vid2Vid.load(folder, overlap_noise=noise, volume_shift=0.0)
    (label,) = generator.sample_labels([Condition({"ventricles": 20.0})], [4])
    return label


def test_slices_are_denoised_once_more_as_much_as_they_are_noised(tmp_path: Path) -> None:
    folder = write_tiny_sequences(tmp_path, tiny_sequence_config("vid2vid"))
    grown, faint, strong = (labels_with(folder, noise) for noise in (0.0, 0.05, 0.9))
    np.testing.assert_array_equal(faint, grown)  # a pixel that is hardly noisy says what it is
    assert 0 < (strong != grown).mean() < 0.5


def test_a_slice_is_the_mean_of_all_subsequences_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Vid2Vid.load(write_tiny_sequences(tmp_path, tiny_sequence_config("vid2vid")), overlap_noise=0.5)
    stage = generator._masks
    seen: list[int] = []

    def told_apart(state: torch.Tensor, fraction: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Logits for label 1 that rise with the first slice of a subsequence."""
        seen.extend(inputs[0].tolist())
        logits = torch.zeros_like(state)
        logits[:, :, 1] = inputs[0][:, None, None, None]
        return logits

    monkeypatch.setattr(type(stage), "_guided_logits", lambda self, *arguments: told_apart(*arguments))
    depth, slices, classes = SHAPE[2], stage.network.slices, generator.scheme.num_classes
    draw = stage._draw({}, torch.Generator().manual_seed(0))
    found = stage._reconciled(torch.zeros(classes, *SHAPE), draw)
    assert seen == list(range(depth - slices + 1))
    for place in (0, 3, 10, depth - 1):
        firsts = [one for one in seen if one <= place < one + slices]
        each = [torch.tensor([0.0, one, *[0.0] * (classes - 2)]).log_softmax(0) for one in firsts]
        torch.testing.assert_close(found[:, 0, 0, place], torch.stack(each).mean(0))
