"""What the fits of all systems can be told, in one JSON-able tree; each system adds its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from synthaug.configuration.limits import allowed
from synthaug.errors import ConfigurationError, LabelError
from synthaug.fitting.bank import BankSettings
from synthaug.labels import UNLABELLED, LabelScheme, tissue_class_names

MOST_CLASSES = 16
"""By intensity."""


@dataclass(frozen=True)
class FitSettings:
    """What fits of all systems can be told.

    Attributes:
        shape: voxels of the field of view along x, y, z (RAS+); multiples of 32, for some systems
            of 16.
        spacing_mm: isotropic voxel spacing in mm.
        mirror: whether the mirror image of a case is one, too; not in trunks.
        unlabelled_classes: classes by intensity that tissue without a label is split into; 0: it becomes background.
        split: likewise by structure of the dataset that is large and of more than one tissue.
        controls: structures or groups whose volumes can be asked for; the first is the one that is augmented.
        limits_ml: bounds of a control in mL; a control that is not named takes the range of the augmented training
            maps.
        fluid: structures that give way first when the first control is inflated.
        licence: licence of the weights, which is that of their data.
        seed: seed of all draws.
        bank: augmentation of the training cases.
    """

    shape: tuple[int, int, int] = field(default=(160, 192, 160), metadata=allowed(low=1))
    spacing_mm: float = field(default=1.0, metadata=allowed(above=0))
    mirror: bool = True
    unlabelled_classes: int = field(default=0, metadata=allowed(low=0, high=MOST_CLASSES))
    split: dict[str, int] = field(default_factory=dict)
    controls: tuple[str, ...] = ("ventricles",)
    limits_ml: dict[str, tuple[float, float]] = field(default_factory=dict)
    fluid: tuple[str, ...] = ("csf",)
    licence: str = "that of the training data"
    seed: int = field(default=0, metadata=allowed(low=0, high=2**32 - 1))
    bank: BankSettings = field(default_factory=BankSettings)

    def check_split(self, dataset: LabelScheme, where: str) -> None:
        """Refuse a split that cannot be; arguments and errors as for :meth:`check`, the scheme is the dataset's."""
        added = tissue_class_names(UNLABELLED, self.unlabelled_classes)
        for name, classes in self.split.items():
            try:
                dataset.id_of(name)
            except LabelError as error:
                raise ConfigurationError(f"{where}, split: {error}") from None
            if not 2 <= classes <= MOST_CLASSES:
                raise ConfigurationError(f"{where}, split.{name}: is {classes}; allowed: 2 to {MOST_CLASSES}")
            added += tissue_class_names(name, classes)
        if taken := sorted({*added} & {*dataset.names, *dataset.groups}):
            raise ConfigurationError(
                f"{where}, split and unlabelled_classes: the dataset has structures named {', '.join(taken)}, as the "
                "classes would be; rename them in dataset.json, or leave that tissue whole: split {}, or "
                "unlabelled_classes 0"
            )

    def check(self, scheme: LabelScheme, where: str) -> None:
        """Refuse what a stage would stumble over after hours.

        Args:
            scheme: the generator's.
            where: the file of the settings, which errors name.

        Raises:
            ConfigurationError: names the setting.
        """
        if not self.controls:
            raise ConfigurationError(f"{where}, controls: is empty; name structures or groups whose volumes to ask for")
        if repeated := sorted({name for name in self.controls if self.controls.count(name) > 1}):
            raise ConfigurationError(f"{where}, controls: {', '.join(repeated)} more than once; name each once")
        if other := sorted(set(self.limits_ml) - set(self.controls)):
            raise ConfigurationError(f"{where}, limits_ml: {', '.join(other)} is no control; add it to controls")
        if self.bank.label_variants < 1:
            raise ConfigurationError(f"{where}, bank.label_variants: is 0; the mask stage needs 1 or more")
        refuse_unknown(self.controls, scheme, f"{where}, controls")
        refuse_unknown(self.limits_ml, scheme, f"{where}, limits_ml")
        ranges = {f"limits_ml.{name}": limits for name, limits in self.limits_ml.items()}
        if self.bank.volume_range_ml is not None:
            ranges["bank.volume_range_ml"] = self.bank.volume_range_ml
        for key, (low, high) in ranges.items():
            if not 0 < low < high:
                raise ConfigurationError(f"{where}, {key}: is {low:g} to {high:g} mL; two volumes, 0 < low < high")


def refuse_unknown(names: Iterable[str], scheme: LabelScheme, where: str) -> None:
    """Refuse names that are no structure or group of a scheme.

    Raises:
        ConfigurationError: names the setting, and what the scheme has.
    """
    try:
        for name in names:
            scheme.resolve(name)
    except LabelError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def divide(budget_seconds: float, shares: Mapping[str, float]) -> dict[str, float]:
    """Training time of each stage by its share."""
    return {name: budget_seconds * share / sum(shares.values()) for name, share in shares.items()}
