"""The nnU-Net training that ``synthaug precompute --dataset`` makes a cache for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from synthaug.cli.generator_options import DEFAULT_FOLD
from synthaug.cli.label_table import read_label_table
from synthaug.cli.verbosity import tell
from synthaug.errors import ConfigurationError, StoreError
from synthaug.generators.protocol import PairGenerator
from synthaug.integrations.nnunet.prepare import (
    DEFAULT_PLANS,
    PreparedTraining,
    TrainingRequest,
    check_training,
    plans_forms,
    prepare_training,
)
from synthaug.integrations.nnunet.run_configuration import CaseHashes
from synthaug.schedules import MissingVolumes, MixSchedule, VolumeSchedule, parse_mix
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


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line says of the training, as it was typed; None for what was not given.

    Attributes:
        fold: 0 to 4, or all.
        configuration: those of nnU-Net, such as 3d_fullres.
        plans: of nnU-Net, as -p takes them.
        ratio: share of synthetic cases.
        mix: or how it moves with the training.
        mapping: JSON file of labels by structure.
    """

    fold: str | None = None
    configuration: Sequence[str] | None = None
    plans: str | None = None
    ratio: float | None = None
    mix: str | None = None
    mapping: str | None = None

    def check(self, dataset: str | None) -> None:
        """Refuse what contradicts itself, and all of it where there is no training.

        Raises:
            ConfigurationError: names the first option that is wrong.
        """
        self._share_of_synthetic()
        if dataset is not None:
            return
        for field in fields(self):
            if getattr(self, field.name) is not None:
                raise ConfigurationError(f"--{field.name}: belongs to a training; give --dataset too")

    def served(
        self, folder: Path, dataset: str, *, schedule: VolumeSchedule | MissingVolumes | None, seed: int | None
    ) -> ServedTraining:
        """The training that a cache is made for.

        Args:
            folder: of the cache.
            dataset: number or name of the data set.
            schedule: of volumes.
            seed: of all draws.

        Raises:
            SynthAugError: as :meth:`check`, or no such file of labels.
        """
        fold = self.fold or DEFAULT_FOLD
        request = TrainingRequest(
            configurations=tuple(self.configuration) if self.configuration else None,
            fold=int(fold) if fold.isdecimal() else fold,
            mix=self._share_of_synthetic(),
            schedule=schedule,
            mapping=read_label_table(Path(self.mapping) if self.mapping else None, "--mapping"),
            seed=seed,
            plans=self.plans or DEFAULT_PLANS,
        )
        return ServedTraining(folder, dataset, request)

    def _share_of_synthetic(self) -> MixSchedule | float | None:
        if self.ratio is not None and self.mix is not None:
            raise ConfigurationError("--ratio and --mix: both say how much is synthetic; give one of them")
        if self.ratio is not None and not 0 <= self.ratio <= 1:
            raise ConfigurationError(f"--ratio {self.ratio}: it must be between 0 and 1")
        return parse_mix(self.mix) if self.mix is not None else self.ratio
