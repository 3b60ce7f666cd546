"""A small nnU-Net dataset whose cases stand in for real ones, for where there are none.

They come from the generator itself, at seeds of their own, and are then made unlike its pairs: warped, with another
contrast, a bias field and noise. They show that everything works together; a Dice on them says nothing about patients.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthaug.conditions import Condition
from synthaug.volumes import LabeledVolume, write_image, write_label

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

DESCRIPTION = (
    "STAND-INS, NOT PATIENTS: every case was made by a synthaug generator, then warped, re-contrasted and made noisy. "
    "For trying out the tools only; no figure measured on this dataset says anything about real images."
)
DATASET_NAME = "Dataset900_SynthAugStandIns"
FIRST_SEED = 9_000_000
"""Far from the seeds of any cache: precomputing derives 53-bit seeds by hashing, people type small ones."""
LARGEST_SIDE = 64
"""Voxels along the longest side of a stand-in: nnU-Net's networks then fit a CPU."""


def make_stand_ins(
    generator: PairGenerator, raw: Path, *, num: int = 6, on_case: Callable[[str], None] | None = None
) -> Path:
    """Write the dataset, unless a complete one is there already.

    Args:
        generator: makes the pairs that the stand-ins are derived from.
        raw: the folder ``nnUNet_raw``.
        num: number of cases; nnU-Net's five folds need at least five.
        on_case: called with each case's name once it is written.

    Returns:
        The dataset's folder.
    """
    folder = raw / DATASET_NAME
    if (folder / "dataset.json").is_file():
        return folder
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(num):
        name = f"standin_{number:03d}"
        pair = make_stand_in(generator, FIRST_SEED + number)
        for channel in range(len(pair.channels)):
            path = folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz"
            write_image(path, pair.image[channel : channel + 1], pair.affine)
        write_label(folder / "labelsTr" / f"{name}.nii.gz", pair.label, pair.affine)
        if on_case is not None:
            on_case(name)
    description = {
        "name": "SynthAugStandIns",
        "description": DESCRIPTION,
        "channel_names": {str(number): name for number, name in enumerate(generator.channels)},
        "labels": {"background": 0, **{name: generator.scheme.id_of(name) for name in generator.scheme.names}},
        "numTraining": num,
        "file_ending": ".nii.gz",
    }
    # last: says that the dataset is complete
    (folder / "dataset.json").write_text(json.dumps(description, indent=1) + "\n")
    return folder


def make_stand_in(generator: PairGenerator, seed: int) -> LabeledVolume:
    """One stand-in: ventricles of 10 to 60 mL as far as the generator goes, coarser, warped and degraded."""
    import torch

    from synthaug.warps.displacement import warp_image, warp_labels
    from synthaug.warps.random_warp import RandomWarp

    rng = np.random.default_rng(seed)
    low, high = generator.bounds.limits_ml["ventricles"]
    volume_ml = float(np.exp(rng.uniform(np.log(np.clip(10, low, high)), np.log(np.clip(60, low, high)))))
    (pair,) = generator.generate([Condition({"ventricles": volume_ml})], [seed])
    pair = coarsen(pair, factor=max(1, -(-max(pair.label.shape) // LARGEST_SIDE)))
    field = RandomWarp().draw(pair.label.shape, float(pair.spacing_mm[0]), rng)
    label = warp_labels(torch.from_numpy(pair.label), field).numpy().astype(np.int16)
    image = warp_image(torch.from_numpy(pair.image), field).numpy()
    image = np.stack([_degrade(channel, label > 0, rng) for channel in image])
    return LabeledVolume(
        image, label, pair.affine, pair.scheme, pair.channels, {**pair.provenance, "stand_in": DESCRIPTION}
    )


def coarsen(pair: LabeledVolume, factor: int) -> LabeledVolume:
    """Join blocks of ``factor`` voxels along each axis: mean of the image, most frequent label.

    The upper ends of the axes are cropped to a multiple of ``factor``.
    """
    if factor == 1:
        return pair
    shape = tuple(size // factor for size in pair.label.shape)
    cut = tuple(slice(0, size * factor) for size in shape)
    blocks = (shape[0], factor, shape[1], factor, shape[2], factor)
    image = np.stack([channel[cut].reshape(blocks).mean(axis=(1, 3, 5)) for channel in pair.image])
    cropped = pair.label[cut]
    votes = np.full(shape, -1.0)
    label = np.zeros(shape, np.int16)
    for value in np.unique(cropped):
        share = (cropped == value).reshape(blocks).mean(axis=(1, 3, 5))
        label[share > votes] = value
        votes = np.maximum(votes, share)
    affine = pair.affine.copy()
    affine[:3, :3] *= factor
    affine[:3, 3] += pair.affine[:3, :3] @ np.full(3, (factor - 1) / 2)  # centre of the first block
    image = np.where(label > 0, image, 0).astype(np.float32)
    return LabeledVolume(image, label, affine, pair.scheme, pair.channels, dict(pair.provenance))


def _degrade(channel: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another contrast (gamma), a slowly varying gain and Rician noise; the background stays exactly 0."""
    from scipy.ndimage import zoom

    bright = float(np.percentile(channel[inside], 99.5))
    values = np.clip(channel / bright, 0, None) ** rng.uniform(0.8, 1.25)
    corners = rng.normal(0, 0.12, (3, 3, 3))
    gain = np.exp(zoom(corners, [size / 3 for size in channel.shape], order=3, mode="nearest", grid_mode=True))
    real, imaginary = rng.normal(0, 0.02, (2, *channel.shape))
    values = np.hypot(values * gain + real, imaginary)
    return np.where(inside, values * bright, 0).astype(np.float32)
