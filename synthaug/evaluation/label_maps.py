"""Label maps of real cases in a folder, in whatever scheme they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthaug.errors import ConfigurationError
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import case_identifier, read_label, structure_volumes_ml
from synthaug.volumes.geometry import voxel_volume_ml

_LABEL_NAME = re.compile(r"(^|[_.-])(labels?|segs?|dseg|segmentations?|masks?)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelMaps:
    """Label maps with one scheme.

    Attributes:
        paths: NIfTI files, sorted.
        scheme: what `read` gives them in.
        mapping: applied when reading, or None.
    """

    paths: tuple[Path, ...]
    scheme: LabelScheme
    mapping: LabelMapping | None = None

    @property
    def file_scheme(self) -> LabelScheme:
        """What the files themselves hold."""
        return self.mapping.source if self.mapping else self.scheme

    @classmethod
    def find(cls, folder: Path, default: LabelScheme, mapping: LabelMapping | None = None) -> LabelMaps:
        """Find the label maps of a folder.

        Args:
            folder: an nnU-Net raw dataset (``dataset.json``, ``labelsTr``), or a folder of NIfTI files: those whose
                name ends in label, seg, dseg or mask, or all where none does.
            default: scheme of the files where nothing else says one.
            mapping: from the files' scheme.

        Raises:
            ConfigurationError: no such folder, or no label map in it.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"{folder}: no such folder; give a folder of label maps or an nnU-Net raw dataset")
        scheme, where = default, folder
        if (folder / "dataset.json").is_file() and (folder / "labelsTr").is_dir():
            scheme, where = LabelScheme.from_nnunet(folder / "dataset.json"), folder / "labelsTr"
        files = sorted(path for path in where.iterdir() if path.name.endswith((".nii", ".nii.gz")))
        named = [path for path in files if _LABEL_NAME.search(case_identifier(path))]
        if not files:
            raise ConfigurationError(
                f"{where}: holds no NIfTI file; give a folder of label maps or an nnU-Net raw dataset"
            )
        return cls(tuple(named or files), mapping.target if mapping else scheme, mapping)

    def volumes_ml(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Name and structure volumes of each, read one by one.

        Raises:
            SynthAugError: a file cannot be read, or holds labels outside the scheme.
        """
        for path in self.paths:
            label, affine = read_label(path, self.file_scheme)
            if self.mapping:
                label = self.mapping.apply(label, str(path))
            yield case_identifier(path), structure_volumes_ml(label, self.scheme, voxel_volume_ml(affine))
