"""Which cases of a data set a study trains on, and which it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.evaluation.fold_cases import FoldCases, find_dataset
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.leakage import find_leaks
from synthaug.study.configuration import StudyConfig, Transfer
from synthaug.volumes import CaseRecord

_SUBSET_STREAM = 0x73756273


@dataclass(frozen=True)
class HeldOut:
    """The cases of a data set, told apart.

    Attributes:
        dataset: with its labels and channels.
        training: that may be trained on.
        test: that nothing is trained on.
    """

    dataset: NnunetDataset
    training: tuple[CasePaths, ...]
    test: tuple[CasePaths, ...]

    @classmethod
    def of(cls, config: StudyConfig | Transfer) -> HeldOut:
        """Find the cases.

        Raises:
            SynthAugError: no such data set, fold or case, no case left to train on, or labels of another kind.
        """
        dataset = find_dataset(config.dataset)
        if config.test_cases is None:
            assert config.fold is not None
            fold = FoldCases.of(dataset, config.fold)
            found = cls(dataset, fold.training, fold.held_out)
        else:
            found = cls._named(dataset, config.test_cases)
        if not found.training:
            raise ConfigurationError(f"{dataset.name}: every case is a test case; leave some to train on")
        if dataset.scheme.ignore_id is not None:
            raise ConfigurationError(
                f"{dataset.name}: has an ignore label, and a study counts every voxel; give a data set without one"
            )
        return found

    @classmethod
    def _named(cls, dataset: NnunetDataset, names: Sequence[str]) -> HeldOut:
        for name in names:
            if name not in dataset.cases:
                raise ConfigurationError(
                    f"test_cases: {dataset.name} has no case {name!r}{did_you_mean(name, dataset.cases)}; it has "
                    f"{', '.join(dataset.cases)}"
                )
        training = tuple(paths for name, paths in dataset.cases.items() if name not in names)
        return cls(dataset, training, tuple(dataset.cases[name] for name in names))

    def subset(self, count: int | None, seed: int) -> tuple[CasePaths, ...]:
        """So many training cases, drawn by seed; those of a smaller count are among those of a larger one.

        Raises:
            ConfigurationError: there are not so many.
        """
        if count is None:
            return self.training
        if count > len(self.training):
            raise ConfigurationError(
                f"real_cases: {count} of {self.dataset.name}, which has {len(self.training)} training cases; give at "
                "most so many"
            )
        order = np.random.default_rng([_SUBSET_STREAM, seed]).permutation(len(self.training))
        return tuple(self.training[index] for index in sorted(order[:count]))


def refuse_repeated_tests(records: Sequence[CaseRecord], dataset: str) -> None:
    """Refuse a test case that is a copy of another, and would count twice.

    Args:
        records: of the test cases.
        dataset: that they are of.

    Raises:
        ConfigurationError: names both.
    """
    for number, record in enumerate(records):
        if copies := find_leaks([replace(one, identifier="") for one in records[:number]], [record]):
            same = copies[0].same
            other = next(one for one in records if getattr(one, f"{same}_sha256") == getattr(record, f"{same}_sha256"))
            raise ConfigurationError(
                f"test cases of {dataset}: {other.identifier} and {record.identifier} have the same {same}, and would "
                "count twice; leave one of them out"
            )
