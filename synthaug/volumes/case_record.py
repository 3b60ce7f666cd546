"""What a generator remembers of a case that it was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


def case_identifier(file: Path | str) -> str:
    """Name of a case by that of its file, without ``.nii`` or ``.nii.gz``."""
    return Path(file).name.removesuffix(".gz").removesuffix(".nii")


@dataclass(frozen=True)
class CaseRecord:
    """Identity of a training case, by name and by content, for the leakage guard.

    Attributes:
        identifier: name of the case.
        image_sha256: `fingerprint_array` of its image with all channels; None where only the label map was used.
        label_sha256: `fingerprint_label` of its label map; None where only the image was used, or where too few voxels
            are labelled to tell patients apart.
    """

    identifier: str
    image_sha256: str | None
    label_sha256: str | None

    def is_of(self, identifier: str, label_sha256: str | None) -> bool:
        """Whether this is the record of a case with such a name, or with such a label map under another one."""
        return self.identifier == identifier or (label_sha256 is not None and self.label_sha256 == label_sha256)
