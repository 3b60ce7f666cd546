"""Where a real case lies on disk, and the record of it that a generator keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from synthaug.volumes import CaseRecord


@dataclass(frozen=True)
class CasePaths:
    """The files of one real case.

    Attributes:
        identifier: Name of the case, as the dataset calls it (``"malf_1000"``).
        images: One image file for each channel, in the dataset's channel order.
        label: The label map.
    """

    identifier: str
    images: tuple[Path, ...]
    label: Path


def case_record(case: CasePaths) -> CaseRecord:
    """Fingerprint a case by content, so that renamed and re-oriented copies of it are recognised.

    Args:
        case: The files; each is read once. A single image may have its channels as a fourth dimension.

    Returns:
        Identifier with the SHA-256 of the image (all channels together) and of the label map.

    Raises:
        SynthAugError: A file is missing, unreadable, of other dimensions, or holds NaN or infinite values.
    """
    from synthaug.volumes import CaseRecord, fingerprint_array, fingerprint_label, read_image, read_label

    channels = [read_image(path, multichannel=len(case.images) == 1)[0] for path in case.images]
    label, _ = read_label(case.label)
    return CaseRecord(
        identifier=case.identifier,
        image_sha256=fingerprint_array(np.concatenate(channels)),
        label_sha256=fingerprint_label(label),
    )
