"""Real cases of some folders, told apart by whether a generator was fitted on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthaug.evaluation.memorisation import CaseFeatures
from synthaug.evaluation.real_cases import read_real_cases
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid


def seen_and_unseen(
    folders: Sequence[Path],
    scheme: LabelScheme,
    mapping: LabelMapping | None,
    seen: Sequence[CaseRecord],
    grid: Grid,
) -> tuple[list[CaseFeatures], list[CaseFeatures]]:
    """Features of the cases that a generator was fitted on, and of those that it never saw.

    A case counts as seen by its name or by its content. The images are those of an nnU-Net raw dataset; label maps
    alone are compared as such.

    Args:
        folders: nnU-Net raw datasets or folders of label maps.
        scheme: the generator's.
        mapping: from the label maps' scheme, or None.
        seen: what the generator was fitted on.
        grid: of the features.

    Raises:
        SynthAugError: a folder without label maps, or a file that cannot be read.
    """
    fitted: list[CaseFeatures] = []
    unseen: list[CaseFeatures] = []
    for case in read_real_cases(folders, scheme, mapping):
        features = CaseFeatures.of(case.identifier, case.label, case.image, case.affine, scheme, grid)
        (fitted if case.is_among(seen) else unseen).append(features)
    return fitted, unseen
