"""An nnU-Net dataset on disk: its folders, cases and splits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.files.bounded_reading import read_bounded
from synthaug.files.json_object import MAX_BYTES
from synthaug.files.parsed_json import parse_json
from synthaug.files.plain_name import ALLOWED, is_plain_name
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelScheme

DEFAULT_PLANS = "nnUNetPlans"
"""Plans that nnU-Net makes and trains by where no others are named."""

Fold = int | str
"""Number of a cross-validation fold, or ``"all"``."""


@dataclass(frozen=True)
class NnunetDataset:
    """Folders of one dataset in nnU-Net's raw and preprocessed trees.

    Attributes:
        name: Full name, ``Dataset501_Malf``.
        raw: Its folder in ``nnUNet_raw``; may be absent on a node that only trains.
        preprocessed: Its folder in ``nnUNet_preprocessed``; may not exist before planning.
    """

    name: str
    raw: Path | None
    preprocessed: Path

    @classmethod
    def find(cls, dataset: str | int) -> NnunetDataset:
        """Find a dataset by number (``501``, ``"501"``) or by its full name.

        Raises:
            ConfigurationError: The folders are not set, or no dataset, or more than one, has this number.
        """
        preprocessed_root = _required_root("nnUNet_preprocessed")
        raw_root = _root("nnUNet_raw")
        text = str(dataset)
        roots = [root for root in (raw_root, preprocessed_root) if root is not None and root.is_dir()]
        present = sorted({entry.name for root in roots for entry in root.glob("Dataset[0-9]*_*") if entry.is_dir()})
        if text.isdecimal():
            names = [name for name in present if name.startswith(f"Dataset{int(text):03d}_")]
        else:
            names = [name for name in present if name == text]
        if len(names) != 1:
            found = f"more than one has this number: {', '.join(names)}" if names else "there is none"
            where = " and ".join(str(root) for root in roots) or str(preprocessed_root)
            raise ConfigurationError(
                f"nnU-Net dataset {text!r}: {found} in {where}; present: {', '.join(present) or 'no dataset'}; "
                "give the number or the full name of one of them"
            )
        return cls.at(preprocessed_root / names[0], raw_root)

    @classmethod
    def at(cls, preprocessed: Path, raw_root: Path | None) -> NnunetDataset:
        """The dataset whose preprocessed folder this is; its raw folder is looked for in ``raw_root``."""
        raw = raw_root / preprocessed.name if raw_root is not None else None
        return cls(preprocessed.name, raw if raw is not None and raw.is_dir() else None, preprocessed)

    @cached_property
    def dataset_json(self) -> dict[str, Any]:
        """The dataset's own description; that beside the plans, which training reads, before that of the raw data."""
        return read_json(self._description_file)

    @property
    def _description_file(self) -> Path:
        for folder in (self.preprocessed, self.raw):
            if folder is not None and (folder / "dataset.json").is_file():
                return folder / "dataset.json"
        raise ConfigurationError(f"{self.preprocessed / 'dataset.json'}: not found; run nnUNetv2_plan_and_preprocess")

    @cached_property
    def scheme(self) -> LabelScheme:
        """The labels of the dataset; regions become groups."""
        return LabelScheme.from_nnunet(self.dataset_json, name=self.name)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in channel order."""
        return channel_names(self.dataset_json, self._description_file)

    def plans(self, identifier: str = DEFAULT_PLANS) -> dict[str, Any]:
        """The plans file of this identifier.

        Raises:
            ConfigurationError: It does not exist.
        """
        path = self.preprocessed / f"{identifier}.json"
        if not path.is_file():
            others = sorted(other.stem for other in self.preprocessed.glob("*Plans*.json"))
            found = f"name one of {', '.join(others)} with --plans, or " if others else ""
            raise ConfigurationError(f"{path}: not found; {found}run nnUNetv2_plan_and_preprocess -d {self.name}")
        return read_json(path)

    @cached_property
    def cases(self) -> dict[str, CasePaths]:
        """The raw training cases by identifier, sorted.

        Raises:
            SynthAugError: The raw data is not there, or a file of a case is missing.
        """
        if self.raw is None:
            raise SynthAugError(
                f"{self.name}: its raw images are needed and nnUNet_raw={os.environ.get('nnUNet_raw')} does not hold "
                "them; set nnUNet_raw to the folder that does"
            )
        path = self.raw / "dataset.json"
        description = read_json(path)
        if "dataset" in description:
            cases = self._listed_cases(description["dataset"], path)
        else:
            cases = self._cases_in_folders(file_ending(description, path), len(channel_names(description, path)))
        for case in cases.values():
            for path in (*case.images, case.label):
                if not path.is_file():
                    raise SynthAugError(f"{path}: missing for case {case.identifier} of {self.name}; restore the file")
        if not cases:
            raise SynthAugError(f"{self.raw / 'labelsTr'}: no training case; fill it as nnU-Net's dataset format says")
        return dict(sorted(cases.items()))

    def _cases_in_folders(self, ending: str, num_channels: int) -> dict[str, CasePaths]:
        assert self.raw is not None
        images = self.raw / "imagesTr"
        files = [path.name.removesuffix(ending) for path in (self.raw / "labelsTr").glob(f"*{ending}")]
        # an image without its label map is a case too, and its label map is missed
        files += [path.name[: -len(f"_0000{ending}")] for path in images.glob(f"?*_[0-9][0-9][0-9][0-9]{ending}")]
        names = sorted({name for name in files if not name.startswith(".")})
        return {
            name: CasePaths(
                name,
                tuple(images / f"{name}_{channel:04d}{ending}" for channel in range(num_channels)),
                self.raw / "labelsTr" / f"{name}{ending}",
            )
            for name in names
        }

    def _listed_cases(self, listed: Any, path: Path) -> dict[str, CasePaths]:
        # dataset.json may list its files itself, absolute or relative to the dataset, with environment variables
        def file(text: str) -> Path:
            return path.parent / os.path.expandvars(text)

        for name in listed if isinstance(listed, dict) else ():
            if not is_plain_name(name):
                raise ConfigurationError(
                    f'{path}: "dataset" has the case {name!r}; allowed: {ALLOWED}; rename the case'
                )
        try:
            return {
                name: CasePaths(name, tuple(file(image) for image in entry["images"]), file(entry["label"]))
                for name, entry in listed.items()
            }
        except (AttributeError, KeyError, TypeError):
            raise ConfigurationError(
                f'{path}: "dataset" must give "images" (a list) and "label" for each case; mend it, or remove it to '
                "have imagesTr and labelsTr read"
            ) from None

    def split(self, fold: Fold) -> tuple[list[str], list[str]]:
        """Training and validation identifiers of a fold, as nnU-Net will use them.

        ``splits_final.json`` where it exists, nnU-Net's own five-fold split otherwise; fold ``all`` has every case in
        both.

        Raises:
            ConfigurationError: There is no such fold, there are too few cases to split, or the file is damaged.
        """
        if fold == "all":
            names = list(self.cases)
            return names, list(names)
        path = self.preprocessed / "splits_final.json"
        if path.is_file():
            splits = _read_splits(path)
        else:
            from nnunetv2.utilities.crossval_split import generate_crossval_split

            names = list(self.cases)
            if len(names) < 5:
                raise ConfigurationError(
                    f"{self.name}: {len(names)} case(s) cannot be split into nnU-Net's 5 folds; write {path}, or "
                    "choose fold all"
                )
            splits = generate_crossval_split(names, seed=12345, n_splits=5)
        try:
            chosen = splits[int(fold)] if int(fold) >= 0 else None
        except (ValueError, IndexError):
            chosen = None
        if chosen is None:
            raise ConfigurationError(
                f"fold {fold!r} of {self.name}: allowed are 0 to {len(splits) - 1} and all; choose one"
            )
        return [str(name) for name in chosen["train"]], [str(name) for name in chosen["val"]]

    def label_files(self) -> dict[str, Path]:
        """Label maps in their original geometry, by identifier: nnU-Net keeps a copy of them beside the plans."""
        ending = file_ending(self.dataset_json, self._description_file)
        for folder in (self.preprocessed / "gt_segmentations", self.raw / "labelsTr" if self.raw is not None else None):
            if folder is not None and folder.is_dir():
                files = {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}"))}
                if files:
                    return files
        return {}


def channel_names(dataset_json: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Channel names of a dataset.json in channel order (``modality`` is the name of the key in old files).

    Raises:
        ConfigurationError: It has none.
    """
    names = dataset_json.get("channel_names", dataset_json.get("modality"))
    if not isinstance(names, dict) or not names or not all(key.isdecimal() for key in names):
        raise ConfigurationError(f'{path}: "channel_names" must give a name for each channel, such as {{"0": "T1"}}')
    return tuple(str(names[key]) for key in sorted(names, key=int))


def file_ending(dataset_json: dict[str, Any], path: Path) -> str:
    """Ending of the dataset's files.

    Raises:
        ConfigurationError: It is not given.
    """
    ending = dataset_json.get("file_ending")
    if not isinstance(ending, str) or not ending:
        raise ConfigurationError(f'{path}: "file_ending" must give the ending of the files, such as ".nii.gz"')
    return ending


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConfigurationError: The file is missing or not a JSON object.
    """
    content = _parse_json(path)
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: a JSON object is expected, not {type(content).__name__}; mend or delete it")
    return content


def _parse_json(path: Path) -> Any:
    try:
        return parse_json(read_bounded(path, MAX_BYTES, error=ConfigurationError, mend="restore the file"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: not found") from None
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid JSON ({error}); mend or delete it") from None


def _read_splits(path: Path) -> list[dict[str, list[str]]]:
    splits = _parse_json(path)
    if not isinstance(splits, list) or not splits or not all(map(_is_split, splits)):
        raise ConfigurationError(
            f'{path}: a list with the case names of "train" and "val" for each fold is expected; mend it, or delete it '
            "to have nnU-Net's own split"
        )
    return splits


def _is_split(split: Any) -> bool:
    return isinstance(split, dict) and all(isinstance(split.get(part), list) for part in ("train", "val"))


def _root(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None


def _required_root(variable: str) -> Path:
    root = _root(variable)
    if root is None:
        raise ConfigurationError(f"environment variable {variable} is not set; export {variable}=FOLDER as for nnU-Net")
    return root
