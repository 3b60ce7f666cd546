"""An image for a label map of your own: three noises, three images, one label map.

    python examples/own_label_map.py --out images
    python examples/own_label_map.py --labels my_labels.nii.gz --out images

The label map has the generator's labels (``synthaug sample --labels`` takes other label schemes too). Without --labels
one is made: that of a generated pair with left and right exchanged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.own_labels import PlacedLabel
from synthaug.generators.protocol import ImageForLabelGenerator, PairGenerator
from synthaug.precomputing import load_named_generator
from synthaug.reports.preview import preview_pairs
from synthaug.volumes import LabeledVolume, read_label, write_image, write_label
from synthaug.volumes.grid import Grid


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Edges of a voxel."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def mirrored(generator: PairGenerator) -> tuple[np.ndarray, np.ndarray]:
    """A generated label map turned into another subject's: left and right exchanged; and its affine."""
    (pair,) = generator.generate([Condition({"ventricles": 30.0})], [1])
    other_side = np.arange(generator.scheme.num_classes)
    for one, other in generator.scheme.mirror_ids().items():
        other_side[one] = other
    return other_side[pair.label[::-1]].astype(np.int16), pair.affine


def main() -> None:
    """Place the label map on the generator's grid, make images, bring them back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="NIfTI label map; default: one is made")
    parser.add_argument("--generator", default="ventricles-t1-1mm")
    parser.add_argument("--num", type=int, default=3, help="images")
    parser.add_argument("--out", type=Path, default=Path("images"))
    arguments = parser.parse_args()
    generator = load_named_generator(arguments.generator)
    if not isinstance(generator, ImageForLabelGenerator):
        raise ConfigurationError(f"{arguments.generator} makes no images for given label maps; take a guided LDM")

    if arguments.labels is not None:
        label, affine = read_label(arguments.labels, generator.scheme)
    else:
        label, affine = mirrored(generator)
    placed = PlacedLabel.place(label, spacing_mm(affine), Grid(generator.shape, spacing_mm(generator.affine)), "labels")

    arguments.out.mkdir(parents=True, exist_ok=True)
    write_label(arguments.out / "label.nii.gz", label, affine)
    pairs = []
    for seed in range(arguments.num):
        (made,) = generator.generate_images([placed.label], [seed])
        image = placed.bring_back(made, generator.background)  # on the label map's own voxels
        write_image(arguments.out / f"image_{seed}.nii.gz", image, affine)
        pairs.append(LabeledVolume(image, label, affine, generator.scheme, generator.channels))
        print(f"{arguments.out / f'image_{seed}.nii.gz'}: {image.shape[1:]} voxels", flush=True)
    preview_pairs(arguments.out / "preview.png", pairs, [f"seed {seed}" for seed in range(len(pairs))])


if __name__ == "__main__":
    main()
