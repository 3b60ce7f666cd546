"""Real cases of an nnU-Net dataset, told apart by what a fold holds out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.errors import ConfigurationError
from synthaug.generators.cases import CasePaths, case_record
from synthaug.integrations.nnunet.dataset import Fold, NnunetDataset
from synthaug.labels import LabelScheme
from synthaug.leakage import refuse_leaks
from synthaug.volumes import CaseRecord, LabeledVolume, read_pair


@dataclass(frozen=True)
class FoldCases:
    """Real cases of a dataset.

    Attributes:
        dataset: with its labels and channels.
        training: that generators were fitted on, or may draw from.
        held_out: that no generator has seen.
    """

    dataset: NnunetDataset
    training: tuple[CasePaths, ...]
    held_out: tuple[CasePaths, ...]

    @classmethod
    def find(cls, dataset: str, fold: Fold) -> FoldCases:
        """The cases of a fold of a dataset: the folder of its raw files, its number or its full name.

        Raises:
            ConfigurationError: there is no such dataset, or no such fold of it.
        """
        return cls.of(find_dataset(dataset), fold)

    @classmethod
    def of(cls, dataset: NnunetDataset, fold: Fold) -> FoldCases:
        """The cases of a fold.

        Raises:
            ConfigurationError: no such fold, one that holds nothing out, or one that names cases without files.
        """
        if fold == "all":
            raise ConfigurationError(f"{dataset.name}: fold all holds no case out; give one with validation cases")
        training, held_out = dataset.split(fold)
        lost = [name for name in (*training, *held_out) if name not in dataset.cases]
        if lost or not held_out:
            what = f"names {', '.join(lost[:3])}, without files" if lost else "has no validation case"
            raise ConfigurationError(f"{dataset.name}: fold {fold} {what}; mend the split, or take another fold")
        return cls(dataset, *(tuple(dataset.cases[name] for name in names) for names in (training, held_out)))

    def refuse_lacking_structures(self, schemes: Mapping[str, LabelScheme]) -> None:
        """Refuse generators that lack a structure of the dataset.

        Args:
            schemes: of the generators, by what the error is to name each; groups count as structures.

        Raises:
            ConfigurationError: names the generator and the structures.
        """
        wanted = self.dataset.scheme
        for name, scheme in schemes.items():
            if lacking := [one for one in wanted.names if one not in (*scheme.names, *scheme.groups)]:
                raise ConfigurationError(
                    f"{name}: makes no {', '.join(lacking[:3])}, which {wanted.name} has; give generators of its "
                    "structures"
                )

    def refuse_leaks(self, fitted_on: Mapping[str, Sequence[CaseRecord]]) -> None:
        """Refuse generators that were fitted on a held-out case, by name or by content.

        Args:
            fitted_on: records of what each was fitted on, by what the error is to name it.

        Raises:
            LeakageError: names the generator and the cases.
        """
        held_out = [case_record(paths) for paths in self.held_out]
        refuse_leaks(
            fitted_on,
            held_out,
            whose=f"held-out cases of {self.dataset.name}",
            mend="give the fold that it was fitted for",
        )

    def read(self, cases: Iterable[CasePaths]) -> Iterator[tuple[str, LabeledVolume]]:
        """Name and pair of each case, read one by one."""
        for paths in cases:
            yield paths.identifier, read_pair(paths.images, paths.label, self.dataset.scheme, self.dataset.channels)


def find_dataset(dataset: str | int) -> NnunetDataset:
    """A dataset by the folder of its raw files, its number or its full name.

    A folder within ``nnUNet_raw`` is the data set that nnU-Net knows by its number, with its planned splits; of any
    other, splits and all else are looked for in the folder itself.

    Raises:
        ConfigurationError: there is no such dataset.
    """
    folder = Path(str(dataset)).expanduser()
    if isinstance(dataset, int) or not folder.is_dir():
        return NnunetDataset.find(dataset)
    if not (folder / "dataset.json").is_file():
        raise ConfigurationError(f"{dataset}: holds no dataset.json; give an nnU-Net raw dataset, or its number")
    raw_root, preprocessed_root = (os.environ.get(name) for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    folder = folder.resolve()
    if raw_root and preprocessed_root and folder.parent == Path(raw_root).expanduser().resolve():
        return NnunetDataset(folder.name, folder, Path(preprocessed_root).expanduser() / folder.name)
    return NnunetDataset(folder.name, folder, folder)
