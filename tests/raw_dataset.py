"""An nnU-Net raw data set of heads of the stand-in generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from synthaug.conditions import Condition
from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume, write_image, write_label
from tests.stand_in_generator import StandInGenerator


def write_raw_dataset(
    folder: Path, names: Sequence[str], *, volume_ml: float = 30.0, scheme: LabelScheme | None = None
) -> dict[str, LabeledVolume]:
    """Write a T1 case for each name; the seeds are 100, 101, ...; ``scheme`` gives the labels other names."""
    generator = StandInGenerator()
    named = scheme or generator.scheme
    (folder / "labelsTr").mkdir(parents=True)
    (folder / "imagesTr").mkdir()
    labels = {"background": 0, **{name: named.id_of(name) for name in named.names}}
    described = {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(described))
    pairs = {}
    for index, name in enumerate(names):
        (pairs[name],) = generator.generate([Condition({"ventricles": volume_ml})], [100 + index])
        write_label(folder / "labelsTr" / f"{name}.nii.gz", pairs[name].label, pairs[name].affine)
        write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", pairs[name].image, pairs[name].affine)
    return pairs
