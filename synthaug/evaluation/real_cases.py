"""Real cases of some folders, with their images where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.evaluation.label_maps import LabelMaps
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import CaseRecord, LabeledVolume, case_identifier, fingerprint_array, read_label, read_pair


@dataclass(frozen=True)
class RealCase:
    """A real case in RAS+ order.

    Attributes:
        identifier: of the case.
        label: ``(X, Y, Z)``, in the scheme that was asked for.
        image: ``(C, X, Y, Z)``, or None.
        affine: voxel-to-mm matrix, ``(4, 4)``.
        fingerprint: of what the label file holds, before any mapping.
    """

    identifier: str
    label: np.ndarray
    image: np.ndarray | None
    affine: np.ndarray
    fingerprint: str

    def is_among(self, records: Sequence[CaseRecord]) -> bool:
        """Whether one of the records is of this case, by its name or by its content."""
        return any(one.is_of(self.identifier, self.fingerprint) for one in records)


def read_real_cases(folders: Sequence[Path], scheme: LabelScheme, mapping: LabelMapping | None) -> Iterator[RealCase]:
    """Read the cases one by one; the images are those of an nnU-Net raw dataset.

    Args:
        folders: nnU-Net raw datasets or folders of label maps.
        scheme: that the label maps are wanted in.
        mapping: from the label maps' scheme, or None.

    Raises:
        SynthAugError: a folder without label maps, or with those of another scheme; a file that cannot be read; an
            image that does not fit its label map.
    """
    for folder in folders:
        maps = LabelMaps.find(folder, scheme, mapping)
        refuse_other_labels(maps.scheme, scheme, str(folder))
        images = _images(folder)
        for path in maps.paths:
            yield _read_case(maps, path, images)


@dataclass(frozen=True)
class MeasuredCase:
    """A real case whose volumes are known, to be read when it is to be seen.

    Attributes:
        identifier: of the case.
        volumes_ml: by structure or group, in the scheme of ``maps``.
        folder: that it was found in.
        path: of its label map.
        maps: the label maps of the folder.
    """

    identifier: str
    volumes_ml: dict[str, float]
    folder: Path
    path: Path
    maps: LabelMaps

    def read(self) -> LabeledVolume:
        """Image and label map; the image is all 0 where there is none.

        Raises:
            SynthAugError: a file that cannot be read, or an image that does not fit its label map.
        """
        images = _images(self.folder)
        case = _read_case(self.maps, self.path, images)
        image, channels = case.image, images.channels
        if image is None:
            image, channels = np.zeros((1, *case.label.shape), np.float32), ("none",)
        return LabeledVolume(image, case.label, case.affine, self.maps.scheme, channels)


def measure_real_cases(
    folders: Sequence[Path], scheme: LabelScheme, mapping: LabelMapping | None
) -> list[MeasuredCase]:
    """Measure the structure volumes of all cases, read one by one.

    Args:
        folders: nnU-Net raw datasets or folders of label maps.
        scheme: of the label maps where nothing else says one.
        mapping: from the label maps' scheme, or None.

    Raises:
        SynthAugError: a folder without label maps, or a file that cannot be read or holds labels outside the scheme.
    """
    found = []
    for folder in folders:
        maps = LabelMaps.find(folder, scheme, mapping)
        for path, (identifier, volumes_ml) in zip(maps.paths, maps.volumes_ml(), strict=True):
            found.append(MeasuredCase(identifier, volumes_ml, folder, path, maps))
    return found


def _read_case(maps: LabelMaps, path: Path, images: _Images) -> RealCase:
    identifier = case_identifier(path)
    image = None
    if identifier in images.cases:
        pair = read_pair(images.cases[identifier].images, path, maps.file_scheme, images.channels)
        label, image, affine = pair.label, pair.image, pair.affine
    else:
        label, affine = read_label(path, maps.file_scheme)
    mapped = maps.mapping.apply(label, str(path)) if maps.mapping else label
    return RealCase(identifier, mapped, image, affine, fingerprint_array(label))


def refuse_other_labels(found: LabelScheme, wanted: LabelScheme, where: str) -> None:
    """Refuse label maps whose ids stand for other structures.

    Raises:
        ConfigurationError: names the folder and the mend.
    """
    if {name: found.id_of(name) for name in found.names} != {name: wanted.id_of(name) for name in wanted.names}:
        raise ConfigurationError(f"{where}: its labels are not those of {wanted.name}; give --mapping to that scheme")


@dataclass(frozen=True)
class _Images:
    """Cases with images, and the names of their channels."""

    cases: dict[str, CasePaths]
    channels: tuple[str, ...]


def _images(folder: Path) -> _Images:
    if not (folder / "imagesTr").is_dir() or not (folder / "dataset.json").is_file():
        return _Images({}, ())
    dataset = NnunetDataset(folder.name, folder, folder)
    return _Images(dataset.cases, dataset.channels)
