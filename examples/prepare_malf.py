"""From the multi-atlas challenge's brains to a raw nnU-Net dataset with about a dozen structures, ventricles apart.

    python examples/prepare_malf.py FOLDER --dataset 501

FOLDER holds ``ID_T1.nii.gz`` and ``ID_labels.nii.gz`` (Neuromorphometrics labels). ``nnUNet_raw`` and
``nnUNet_preprocessed`` say where the dataset goes. Voxels that the skull-stripped image keeps but the protocol leaves
unlabelled are fluid and meninges of the sulci: they become ``csf``.

Fold 0 is the question that synthaug answers: it trains on the subjects with normal ventricles and is validated on
the four with enlarged ones, which the shipped weights have not seen. Folds 1 to 4 are an ordinary cross-validation of
all subjects; fold 5 is as fold 0, but every fourth of the subjects with normal ventricles is held out, too: what do
pairs with large ventricles do to small ones? The shipped weights are refused in folds 1 to 5, since they were fitted
on subjects that these folds validate on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from synthaug.errors import GeometryError, SynthAugError
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import read_image, read_label, write_image, write_label

ENLARGED = ("malf_1006", "malf_1036", "malf_1116", "malf_1122")
CROSS_VALIDATION_FOLDS = 4


def convert_case(folder: Path, subject: str, raw: Path, mapping: LabelMapping) -> str:
    """Write one subject's image and label map; returns its identifier."""
    image, affine = read_image(folder / f"{subject}_T1.nii.gz")
    source_label, label_affine = read_label(folder / f"{subject}_labels.nii.gz", mapping.source)
    if not np.allclose(affine, label_affine, atol=1e-3):
        raise GeometryError(f"{subject}: image and label map have different affines; fetch the subject again")
    label = mapping.apply(source_label)
    label[(image[0] != 0) & (label == 0)] = mapping.target.id_of("csf")
    identifier = f"malf_{subject}"
    write_image(raw / "imagesTr" / f"{identifier}_0000.nii.gz", image, affine)
    write_label(raw / "labelsTr" / f"{identifier}.nii.gz", label, affine)
    return identifier


def describe(scheme: LabelScheme, cases: int) -> dict[str, object]:
    """Content of ``dataset.json``."""
    return {
        "name": "Malf",
        "description": "MICCAI 2012 multi-atlas challenge: OASIS T1, Neuromorphometrics labels merged to a dozen",
        "licence": "CC BY-NC 4.0",
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, **{structure.name: structure.id for structure in scheme.structures}},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


def make_splits(identifiers: list[str]) -> list[dict[str, list[str]]]:
    """Fold 0 holds out enlarged ventricles; folds 1 to 4 every fourth subject in turn; fold 5 is made of both."""
    enlarged = [one for one in identifiers if one in ENLARGED]
    normal = [one for one in identifiers if one not in ENLARGED]
    held_out = [enlarged]
    held_out += [identifiers[fold::CROSS_VALIDATION_FOLDS] for fold in range(CROSS_VALIDATION_FOLDS)]
    held_out += [sorted(enlarged + normal[::CROSS_VALIDATION_FOLDS])]
    return [{"train": [one for one in identifiers if one not in val], "val": val} for val in held_out]


def main() -> None:
    """Convert the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with ID_T1.nii.gz and ID_labels.nii.gz")
    parser.add_argument("--dataset", type=int, default=501, help="number of the nnU-Net dataset")
    arguments = parser.parse_args()
    roots = {name: os.environ.get(name) for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    missing = [name for name, value in roots.items() if not value]
    if missing:
        parser.error(f"{' and '.join(missing)} not set: export them as nnU-Net's documentation says")
    subjects = sorted(path.name.split("_")[0] for path in arguments.folder.glob("*_labels.nii.gz"))
    if not subjects:
        parser.error(f"{arguments.folder} holds no ID_labels.nii.gz")
    name = f"Dataset{arguments.dataset:03d}_Malf"
    raw, preprocessed = (Path(str(root)) / name for root in roots.values())
    for part in (raw / "imagesTr", raw / "labelsTr", preprocessed):
        part.mkdir(parents=True, exist_ok=True)
    mapping = LabelMapping.load("neuromorphometrics-to-ventricles-t1")
    try:
        identifiers = [convert_case(arguments.folder, subject, raw, mapping) for subject in subjects]
    except SynthAugError as error:
        sys.exit(f"prepare_malf: {error}")
    description = describe(mapping.target, len(identifiers))
    (raw / "dataset.json").write_text(json.dumps(description, indent=2), encoding="utf-8")
    splits = make_splits(identifiers)
    (preprocessed / "splits_final.json").write_text(json.dumps(splits, indent=2), encoding="utf-8")
    print(f"{len(identifiers)} subjects in {raw}; fold 0 validates on {', '.join(splits[0]['val'])}")


if __name__ == "__main__":
    main()
