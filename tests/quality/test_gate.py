"""Retries are derived from the seed, rejects are counted, a batch is the same as its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import BoundsError
from synthaug.labels import LabelScheme, Structure
from synthaug.quality import QualityConfig, attempt_seed, generate_checked, generate_checked_batch
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

CONDITION = Condition({"ventricles": 40.0})


class Clumsy(StandInGenerator):
    """Leaves the background dirty for the seeds that it is told."""

    def __init__(self, bad_seeds: Sequence[int]) -> None:
        super().__init__()
        self.bad_seeds = set(bad_seeds)

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        pairs = super().generate(conditions, seeds)
        for pair, seed in zip(pairs, seeds, strict=True):
            if seed in self.bad_seeds:
                pair.image[0, 0, 0, 0] = 5.0
        return pairs


def test_the_first_attempt_uses_the_requests_own_seed() -> None:
    checked = generate_checked(StandInGenerator(), CONDITION, 7)
    assert checked.pair is not None
    assert checked.pair.provenance["seed"] == 7
    assert (checked.attempts, checked.rejects.total()) == (1, 0)


def test_a_reject_is_counted_and_tried_again_with_a_derived_seed() -> None:
    checked = generate_checked(Clumsy([7, attempt_seed(7, 1)]), CONDITION, 7)
    assert checked.pair is not None
    assert checked.pair.provenance["seed"] == attempt_seed(7, 2)
    assert checked.attempts == 3
    assert checked.rejects == {"non-zero-background": 2}
    assert [seed for seed, _ in checked.rejected] == [7, attempt_seed(7, 1)]
    assert checked.report is not None
    assert checked.report.passed


def test_a_request_that_never_passes_gives_no_pair_after_the_attempts_allowed() -> None:
    bad = [attempt_seed(7, k) for k in range(3)]
    checked = generate_checked(Clumsy(bad), CONDITION, 7, QualityConfig(max_attempts=3))
    assert checked.pair is None
    assert checked.attempts == 3
    assert checked.rejects == {"non-zero-background": 3}


def test_a_batch_gives_what_its_members_give_alone() -> None:
    generator = Clumsy([1, 3, attempt_seed(3, 1)])
    conditions = [Condition({"ventricles": volume}) for volume in (20.0, 30.0, 40.0, 50.0)]
    together = generate_checked_batch(generator, conditions, [0, 1, 2, 3])
    for condition, seed, outcome in zip(conditions, range(4), together, strict=True):
        alone = generate_checked(generator, condition, seed)
        assert alone.attempts == outcome.attempts
        assert alone.pair is not None
        assert outcome.pair is not None
        np.testing.assert_array_equal(alone.pair.image, outcome.pair.image)


class Unstable(StandInGenerator):
    """Fails to make a labelled volume for some seeds, as a network does whose output is NaN."""

    def __init__(self, bad_seeds: Sequence[int]) -> None:
        super().__init__()
        self.bad_seeds = set(bad_seeds)

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        pairs = super().generate(conditions, seeds)
        for pair, seed in zip(pairs, seeds, strict=True):
            image = np.full_like(pair.image, np.nan) if seed in self.bad_seeds else pair.image
            replace(pair, image=image)
        return pairs


def test_output_that_is_no_labelled_volume_is_a_reject_of_that_request_only() -> None:
    checked = generate_checked_batch(Unstable([1]), [CONDITION, CONDITION], [0, 1])
    assert [outcome.attempts for outcome in checked] == [1, 2]
    assert checked[1].rejects == {"invalid-pair": 1}
    assert "NaN" in checked[1].rejected[0][1].details["invalid-pair"]
    assert all(outcome.pair is not None for outcome in checked)


def test_a_generator_states_what_its_background_may_hold() -> None:
    generator = Clumsy([7])
    generator.max_nonzero_background = 0.05  # type: ignore[attr-defined]
    assert generate_checked(generator, CONDITION, 7).attempts == 1


def test_a_generator_states_which_structures_its_pairs_have() -> None:
    scheme = LabelScheme.load("ventricles-t1")
    spare = LabelScheme("with-lesion", (*scheme.structures, Structure("lesion", 99)), scheme.groups)
    generator = StandInGenerator(scheme=spare)
    assert generate_checked(generator, CONDITION, 7).rejects == {"missing-structure": 4}
    generator.required_structures = scheme.names  # type: ignore[attr-defined]
    assert generate_checked(generator, CONDITION, 7).pair is not None


def test_attempt_seeds_differ_and_fit_into_json_numbers() -> None:
    seeds = {attempt_seed(seed, attempt) for seed in (0, 1, 2**40, 2**53 - 1) for attempt in range(50)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**53 for seed in seeds)


class LabelFirst(StandInGenerator):
    """Can make the label map alone, and counts how many whole pairs it was asked for."""

    pairs_made = 0

    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        pairs = super().generate(conditions, seeds)
        return [pair.label if seed % 2 else np.zeros_like(pair.label) for pair, seed in zip(pairs, seeds, strict=True)]

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        self.pairs_made += len(seeds)
        return super().generate(conditions, seeds)


def test_a_label_map_that_fails_gets_no_image() -> None:
    generator = LabelFirst()
    outcome = generate_checked(generator, CONDITION, 2, QualityConfig(max_attempts=20))
    assert outcome.pair is not None
    assert generator.pairs_made == 1
    assert outcome.attempts == 1 + sum(seed % 2 == 0 for seed, _ in outcome.rejected) >= 2


class Short(StandInGenerator):
    """Cannot come to the target with some seeds, as a warp that stays a diffeomorphism cannot."""

    def __init__(self, bad_seeds: Sequence[int]) -> None:
        super().__init__()
        self.bad_seeds = set(bad_seeds)

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if self.bad_seeds.intersection(seeds):
            raise BoundsError("case 7: ventricles misses 40.0 mL by 3.0 mL")
        return super().generate(conditions, seeds)


def test_a_target_that_an_attempt_misses_is_a_reject_of_that_request_only() -> None:
    checked = generate_checked_batch(Short([1]), [CONDITION, CONDITION], [0, 1])
    assert [outcome.attempts for outcome in checked] == [1, 2]
    assert checked[1].rejects == {"out-of-reach": 1}
    assert "misses 40.0 mL" in checked[1].rejected[0][1].details["out-of-reach"]
    assert all(outcome.pair is not None for outcome in checked)


def test_a_target_that_every_attempt_misses_is_given_up() -> None:
    checked = generate_checked(
        Short([attempt_seed(7, k) for k in range(3)]), CONDITION, 7, QualityConfig(max_attempts=3)
    )
    assert checked.pair is None
    assert checked.rejects == {"out-of-reach": 3}


@pytest.mark.parametrize("made", [Short([]), LabelFirst()])
def test_a_target_outside_the_declared_bounds_is_an_error(made: StandInGenerator) -> None:
    with pytest.raises(BoundsError, match="400"):
        generate_checked(made, Condition({"ventricles": 400.0}), 7)
    assert made.calls == []
