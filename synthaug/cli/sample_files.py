"""What ``synthaug sample`` leaves in its folder: pairs, what their labels mean, and no pair of another request lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

    from synthaug.generators.protocol import PairGenerator
    from synthaug.labels import LabelScheme
    from synthaug.volumes import LabeledVolume


def write_pair(
    out: Path,
    name: str,
    pair: LabeledVolume,
    *,
    request: Mapping[str, Any] | None = None,
    stored_affine: np.ndarray | None = None,
) -> dict[str, str]:
    """Write image, label map and provenance of a pair.

    Args:
        out: folder for the files.
        name: their common beginning.
        pair: what to write.
        request: what was asked for, for the record.
        stored_affine: voxel-to-mm matrix of the file whose voxel order the two are to have; None: that of the pair.

    Returns:
        Paths of ``image``, ``label`` and ``provenance``.
    """
    from synthaug.files.atomic import replace_file
    from synthaug.files.canonical_json import canonical_json
    from synthaug.precomputing.remaking import recorded_arrays
    from synthaug.volumes import write_image, write_label
    from synthaug.volumes.voxel_order import to_voxel_order

    affine = pair.affine if stored_affine is None else stored_affine
    paths = {kind: out / f"{name}_{kind}.nii.gz" for kind in ("image", "label")}
    write_image(paths["image"], to_voxel_order(pair.image, affine), affine)
    write_label(paths["label"], to_voxel_order(pair.label, affine), affine)
    paths["provenance"] = provenance_path(out, name)
    content = {**pair.provenance, **({} if request is None else {"request": dict(request)}), **recorded_arrays(pair)}
    replace_file(paths["provenance"], canonical_json(content).encode())
    return {kind: str(path) for kind, path in paths.items()}


def provenance_path(out: Path, name: str) -> Path:
    """File with the provenance of a pair."""
    return out / f"{name}_provenance.json"


def refuse_other_pairs(out: Path, requests: Mapping[str, Mapping[str, Any]], what: str) -> None:
    """Names say little of what was asked for, so that another request would replace pairs without a word.

    Args:
        out: folder for the files.
        requests: name of each pair, and what its provenance says if it was made by the same request.
        what: what may differ, for the error.

    Raises:
        ConfigurationError: a pair of the same name was made by another request.
    """
    from synthaug.files.json_object import read_json_object

    for name, expected in requests.items():
        path = provenance_path(out, name)
        if not path.exists():
            continue
        try:
            made = read_json_object(path)
            same = all(made[key] == value for key, value in expected.items())
        except (ConfigurationError, KeyError):
            same = False
        if not same:
            raise ConfigurationError(f"{path}: is of a pair with {what}; give another --out or --seed")


def finish_folder(
    out: Path, generator: PairGenerator, labels: Path, shown: Mapping[str, LabeledVolume], facts: Sequence[Any]
) -> dict[str, Any]:
    """Draw the picture of a folder of pairs, and sum up what ``--json`` prints.

    Args:
        out: the folder.
        generator: what made the pairs.
        labels: file that says what their labels mean.
        shown: pairs in the picture, by their names.
        facts: of each pair.
    """
    from synthaug.files.canonical_json import canonical_json
    from synthaug.reports.preview import preview_pairs

    preview = out / "preview.png"
    preview_pairs(preview, list(shown.values()), list(shown), title=generator.name)
    summary = {
        "generator": generator.name,
        "generator_sha256": generator.fingerprint,
        "labels": str(labels),
        "preview": str(preview),
        "pairs": facts,
    }
    plain: dict[str, Any] = json.loads(canonical_json(summary))
    return plain


def write_labels(out: Path, scheme: LabelScheme) -> Path:
    """Write ``labels.json``, which says what the labels of a folder's pairs mean.

    Raises:
        ConfigurationError: the folder holds pairs of another label scheme.
    """
    from synthaug.files.atomic import replace_file
    from synthaug.files.json_object import read_json_object

    path = out / "labels.json"
    content = scheme.structures_and_groups()
    if path.exists():
        try:
            existing = read_json_object(path)
        except ConfigurationError:
            existing = None
        if existing != content:
            raise ConfigurationError(
                f"{path}: belongs to pairs with other labels than those of {scheme.name}; give another --out"
            )
    out.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
