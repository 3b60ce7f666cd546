"""From the label maps that SynthSeg publishes to skull-stripped label maps of the ``ventricles-t1`` scheme.

    python examples/prepare_synthseg.py FOLDER_OF_SYNTHSEG_MAPS OUT

The maps cover the whole head, and their cerebrospinal fluid reaches the skull. Skull-stripped scans keep the fluid
of the sulci and little else: fluid is kept inside a closing of the tissue, the cord below the cerebellum is cut off,
and gaps inside the brain become fluid. Affines are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import read_label, write_label

CLOSING_MM = 4.0
CORD_BELOW_CEREBELLUM_MM = 6.0


def strip_skull(label: np.ndarray, scheme: LabelScheme, spacing_mm: np.ndarray) -> np.ndarray:
    """Keep what a skull-stripped scan shows of a label map ``(X, Y, Z)`` in RAS+ order."""
    (csf,) = scheme.resolve("csf")
    lowest = np.flatnonzero((label == scheme.id_of("cerebellar_cortex")).any(axis=(0, 1)))[0]
    label = label.copy()
    label[:, :, : max(int(lowest - CORD_BELOW_CEREBELLUM_MM / spacing_mm[2]), 0)] = 0
    tissue = (label > 0) & (label != csf)
    grown = ndimage.distance_transform_edt(~tissue, sampling=spacing_mm) <= CLOSING_MM
    hull = ndimage.distance_transform_edt(grown, sampling=spacing_mm) > CLOSING_MM
    label[(label == csf) & ~hull] = 0
    label[(label == 0) & hull & ndimage.binary_fill_holes(label > 0)] = csf
    return label


def main() -> None:
    """Convert every map of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="folder with training_seg_01.nii.gz and so on")
    parser.add_argument("out", type=Path, help="folder of the converted maps")
    arguments = parser.parse_args()
    mapping = LabelMapping.load("freesurfer-to-ventricles-t1")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(arguments.source.glob("*.nii.gz")):
        label, affine = read_label(path, mapping.source)
        spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
        stripped = strip_skull(mapping.apply(label), mapping.target, spacing_mm)
        write_label(arguments.out / path.name, stripped, affine)
        print(f"{path.name}: {stripped.astype(bool).sum() * spacing_mm.prod() / 1000:.0f} mL of head")


if __name__ == "__main__":
    main()
