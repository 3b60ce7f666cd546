"""The nnU-Net training that ``synthaug precompute --dataset`` makes a cache for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.cli.verbosity import tell
from synthaug.errors import ConfigurationError, StoreError
from synthaug.generators.protocol import PairGenerator
from synthaug.integrations.nnunet.prepare import (
    PreparedTraining,
    TrainingRequest,
    check_training,
    plans_forms,
    prepare_training,
)
from synthaug.integrations.nnunet.run_configuration import CaseHashes
from synthaug.schedules import MixSchedule, parse_mix
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume


@dataclass(frozen=True)
class ServedTraining:
    """A training, and the cache that it is to draw from.

    Attributes:
        folder: of the cache.
        dataset: number or name of the data set.
        request: what the training is prepared for.
    """

    folder: Path
    dataset: str
    request: TrainingRequest

    def check(self, generator: PairGenerator) -> dict[str, CaseHashes]:
        """Find whatever does not fit before hours of generation, not after.

        Returns:
            The content of the data set's cases, for :meth:`prepare`.

        Raises:
            SynthAugError: As ``check_training``.
        """
        made_by = StoreInfo.expected(self.folder, generator)
        return check_training(made_by, self.folder, self.dataset, self.request, announce=tell)

    def preprocessing(self, store: Store) -> Callable[[str, LabeledVolume], None]:
        """Brings each case into nnU-Net's form while the next ones are made; what a kill left out is made up for."""
        forms = plans_forms(store.info, store.folder, self.dataset, self.request)

        def add(name: str, pair: LabeledVolume) -> None:
            try:
                for form in forms:
                    form.add(store, name, pair)
            except OSError as error:
                raise StoreError(
                    f"{store.folder}: case {name} is stored, but cannot be preprocessed ({error.strerror or error}); "
                    "free space or mend the permissions and run again"
                ) from None

        return add

    def prepare(self, cases: Mapping[str, CaseHashes]) -> PreparedTraining:
        """Write what ``nnUNetv2_train`` needs.

        Args:
            cases: as :meth:`check` found them.

        Raises:
            SynthAugError: As ``prepare_training``.
        """
        return prepare_training(self.folder, self.dataset, self.request, cases=cases, announce=tell)


def share_of_synthetic(ratio: float | None, mix: str | None) -> MixSchedule | float | None:
    """What ``--ratio`` or ``--mix`` says; None for neither.

    Raises:
        ConfigurationError: both, or a ratio out of range.
    """
    if ratio is not None and mix is not None:
        raise ConfigurationError("--ratio and --mix: both say how much is synthetic; give one of them")
    if ratio is not None and not 0 <= ratio <= 1:
        raise ConfigurationError(f"--ratio {ratio}: it must be between 0 and 1")
    return parse_mix(mix) if mix is not None else ratio


def refuse_without_dataset(options: Mapping[str, Any]) -> None:
    """Refuse what belongs to a training where there is none.

    Args:
        options: values by option; None for one that was not given.

    Raises:
        ConfigurationError: names the first option that was given.
    """
    for text, given in options.items():
        if given is not None:
            raise ConfigurationError(f"{text}: belongs to a training; give --dataset too")
