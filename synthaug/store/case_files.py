"""The files of a case, from the arrays to the marker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthaug.errors import StoreError
from synthaug.files.canonical_json import canonical_json
from synthaug.quality import QualityReport
from synthaug.store.arrays import array_digest, digest, encode
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE, CaseEntry
from synthaug.volumes import LabeledVolume


def case_files(
    entry: CaseEntry, pair: LabeledVolume, report: QualityReport | None, request: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """Content of each file, in the order in which they are written.

    Args:
        entry: name, volumes in mL and seed.
        pair: image (C, X, Y, Z), label (X, Y, Z), affine and the generator's provenance.
        report: the verdict of quality control.
        request: what was asked for.

    Returns:
        The arrays, then the provenance with their digests, then the marker with the digest of the provenance.

    Raises:
        StoreError: the provenance cannot be written as JSON.
    """
    image = np.ascontiguousarray(pair.image, np.float32)
    label = np.ascontiguousarray(pair.label, np.int16)
    files = {IMAGE_FILE: encode(image), LABEL_FILE: encode(label)}
    described = {
        **entry.to_dict(),
        "generator": pair.provenance.get("generator"),
        "affine": np.asarray(pair.affine, np.float64).tolist(),
        "channels": list(pair.channels),
        "scheme": pair.scheme.name,
        "files": {
            file: {
                "sha256": digest(files[file]),
                "bytes": len(files[file]),
                "array_sha256": array_digest(array),
                "shape": list(array.shape),
                "dtype": str(array.dtype),
            }
            for file, array in ((IMAGE_FILE, image), (LABEL_FILE, label))
        },
        "quality": report.to_dict() if report is not None else None,
        "request": dict(request) if request is not None else None,
        "pair": pair.provenance,
    }
    try:
        files[PROVENANCE_FILE] = (canonical_json(described) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise StoreError(f"case {entry.name}: its provenance cannot be written as JSON ({error})") from None
    files[MARKER_FILE] = (digest(files[PROVENANCE_FILE]) + "\n").encode()
    return files
