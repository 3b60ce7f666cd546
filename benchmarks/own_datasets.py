"""Generators of datasets unlike the shipped one's: fitted within a budget, asked for pairs, in figures and pictures.

    python benchmarks/own_datasets.py --data FOLDER --work own-datasets --budget 20m --json own-datasets.json

FOLDER holds ``malf/`` and ``totalsegmentator_ct/``. Raw nnU-Net datasets are made of them: a dozen structures of T1
brains (also of ten and of five of them), four tissues, their ventricles alone, two regions, warped copies of one trunk
CT with its organs, and drawn bodies with two channels in thick slices. Each is fitted by ``synthaug fit``, with the
system of `--generator`, and ``synthaug precompute`` makes pairs with the volumes of its first control. `--only` takes
some of them; what is there is not made again: a run can be interrupted.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
VENTRICLES = ("lateral_ventricle_left", "lateral_ventricle_right", "third_ventricle", "fourth_ventricle")
TRUNKS, BODIES = 8, 6
DEVIATION_VOXELS = 200
"""Structures with fewer voxels are left out of the comparison of intensities."""


@dataclass(frozen=True)
class Case:
    """A case to write.

    Attributes:
        name: identifier.
        image: float32 ``(C, X, Y, Z)``.
        label: int16 ``(X, Y, Z)``.
        affine: float64 ``(4, 4)``.
        held_out: whether fold 0 is validated on it.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    held_out: bool


@dataclass(frozen=True)
class Kind:
    """A dataset to make.

    Attributes:
        number: of the dataset.
        title: for the table.
        channels: names of the image channels.
        make: its labels, as dataset.json has them, and its cases, from the data folder.
        training_cases: so many of the cases that are not held out are trained on; None: all.
    """

    number: int
    title: str
    channels: tuple[str, ...]
    make: Callable[[Path], tuple[dict[str, Any], list[Case]]]
    training_cases: int | None = None


def brains(data: Path, labels: Mapping[str, Any], of: Callable[[Mapping[str, int]], Mapping[str, int]]) -> Any:
    """T1 brains; ``of`` says which id each structure of `ventricles-t1` gets, from their ids there."""
    from examples.prepare_malf import ENLARGED
    from synthaug.labels import LabelMapping
    from synthaug.volumes import read_image, read_label

    mapping = LabelMapping.load("neuromorphometrics-to-ventricles-t1")
    own = {structure.name: structure.id for structure in mapping.target.structures}
    table = np.zeros(max(own.values()) + 1, np.int16)
    for name, number in of(own).items():
        table[own[name]] = number
    cases = []
    for path in sorted((data / "malf").glob("*_T1.nii.gz")):
        subject = path.name.removesuffix("_T1.nii.gz")
        image, affine = read_image(path)
        label = mapping.apply(read_label(path.with_name(f"{subject}_labels.nii.gz"), mapping.source)[0])
        label[(image[0] != 0) & (label == 0)] = own["csf"]
        cases.append(Case(f"malf_{subject}", image, table[label], affine, f"malf_{subject}" in ENLARGED))
    return dict(labels), cases


def dozen(data: Path) -> Any:
    """Thirteen structures."""
    from synthaug.labels import LabelScheme

    scheme = LabelScheme.load("ventricles-t1")
    return brains(data, {"background": 0, **dict(zip(scheme.names, scheme.ids, strict=True))}, lambda own: own)


TISSUES = {
    "cortex": ("cerebral_cortex", "cerebellar_cortex"),
    "subcortical_grey_matter": ("basal_ganglia", "thalamus", "hippocampus_amygdala"),
    "white_matter": ("cerebral_white_matter", "cerebellar_white_matter", "brainstem"),
    "csf": ("csf", *VENTRICLES),
}
"""The four classes of MedGen3D (arXiv 2304.04106, section 4.1)."""


def four_tissues(data: Path) -> Any:
    """Four tissues; the ventricles are csf."""
    numbers = {name: number for number, name in enumerate(TISSUES, start=1)}
    of_structure = {one: numbers[tissue] for tissue, members in TISSUES.items() for one in members}
    return brains(data, {"background": 0, **numbers}, lambda own: of_structure)


def ventricles_alone(data: Path) -> Any:
    """One structure; all the rest of the brain has no label."""
    return brains(data, {"background": 0, "ventricles": 1}, lambda own: dict.fromkeys(VENTRICLES, 1))


def two_regions(data: Path) -> Any:
    """A region within another."""
    labels = {"background": 0, "brain": [1, 2], "ventricles": 2}
    return brains(data, labels, lambda own: {name: 2 if name in VENTRICLES else 1 for name in own})


def trunks(data: Path) -> Any:
    """Warped copies of one CT, with as many organs as it has, numbered without gaps."""
    import torch

    from synthaug.volumes import read_image, read_label
    from synthaug.warps.displacement import warp_image, warp_labels
    from synthaug.warps.random_warp import RandomWarp

    folder = data / "totalsegmentator_ct"
    image, affine = read_image(folder / "ct.nii.gz")
    label, _ = read_label(folder / "labels.nii.gz")
    with open(folder / "labels.tsv", newline="") as file:
        names = {int(row[0]): row[1] for row in csv.reader(file, delimiter="\t") if row and row[0].isdigit()}
    present = [int(number) for number in np.unique(label) if number > 0]
    table = np.zeros(label.max() + 1, np.int64)
    table[present] = np.arange(1, len(present) + 1)
    spacing = float(np.linalg.norm(affine[:3, 0]))
    darkest = float(image.min())
    cases = []
    for number in range(TRUNKS):
        warp = RandomWarp(rotation_degrees=4.0, scale=0.06, translation_mm=6.0, bump_mm=5.0)
        field = warp.draw(label.shape, spacing, np.random.default_rng(number))
        moved = warp_image(torch.from_numpy(image - darkest), field).numpy() + darkest
        organs = warp_labels(torch.from_numpy(table[label]), field).numpy().astype(np.int16)
        cases.append(Case(f"trunk_{number}", moved.astype(np.float32), organs, affine, number == TRUNKS - 1))
    return {"background": 0, **{names[one]: place + 1 for place, one in enumerate(present)}}, cases


def two_channels(data: Path) -> Any:
    """Drawn bodies with an organ and a tumour, in voxels of 1 x 1 x 4 mm, stored from right to left."""
    spacing, shape = np.array([1.0, 1.0, 4.0]), (96, 110, 24)
    affine = np.diag([-1.0, -1.0, 4.0, 1.0])
    cases = []
    for number in range(BODIES):
        rng = np.random.default_rng(number)
        place = np.indices(shape).reshape(3, -1).T * spacing
        middle = np.array(shape) / 2 * spacing + rng.normal(0, 2, 3)

        def within(centre: np.ndarray, radii: Any, place: np.ndarray = place) -> np.ndarray:
            return ((((place - centre) / radii) ** 2).sum(axis=1) < 1).reshape(shape)

        body, organ = within(middle, (42, 48, 44)), within(middle, (20, 24, 24))
        tumor = within(middle + rng.normal(0, 5, 3), rng.uniform(6, 11))
        label = np.select([tumor, organ], [2, 1], 0).astype(np.int16)
        parts = [tumor, organ, body]
        first = np.select(parts, [60.0, 180.0, 100.0], 20.0) + rng.normal(0, 4, shape)
        second = np.select(parts, [500.0, 150.0, 300.0], 5.0) + rng.normal(0, 8, shape)
        image = np.stack([first, second]).astype(np.float32)
        cases.append(Case(f"body_{number}", image, label, affine, number == BODIES - 1))
    return {"background": 0, "organ": 1, "tumor": 2}, cases


KINDS = {
    "dozen": Kind(961, "T1, a dozen structures", ("T1",), dozen),
    "tissues": Kind(968, "T1, four tissues", ("T1",), four_tissues),
    "ventricles": Kind(962, "T1, ventricles alone", ("T1",), ventricles_alone),
    "regions": Kind(963, "T1, two regions", ("T1",), two_regions),
    "trunk": Kind(964, "CT, organs of the trunk", ("CT",), trunks),
    "channels": Kind(965, "two channels, thick slices", ("T1", "FLAIR"), two_channels),
    "dozen-10": Kind(966, "T1, a dozen structures, ten cases", ("T1",), dozen, 10),
    "dozen-5": Kind(967, "T1, a dozen structures, five cases", ("T1",), dozen, 5),
}


def write_dataset(kind: Kind, raw: Path, preprocessed: Path, data: Path) -> None:
    """Write a raw dataset with its split, unless it is there."""
    from synthaug.volumes import write_image, write_label

    folder = raw / f"Dataset{kind.number}_Own"
    if (folder / "dataset.json").exists():
        return
    labels, cases = kind.make(data)
    for case in cases:
        for channel, image in enumerate(case.image):
            write_image(folder / "imagesTr" / f"{case.name}_{channel:04d}.nii.gz", image[None], case.affine)
        write_label(folder / "labelsTr" / f"{case.name}.nii.gz", case.label, case.affine)
    split = {
        "train": [one.name for one in cases if not one.held_out][: kind.training_cases],
        "val": [one.name for one in cases if one.held_out],
    }
    target = preprocessed / folder.name
    target.mkdir(parents=True, exist_ok=True)
    (target / "splits_final.json").write_text(json.dumps([split]))
    regions = [one for one in labels.values() if isinstance(one, list)]
    description: dict[str, Any] = {
        "channel_names": {str(number): name for number, name in enumerate(kind.channels)},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    if regions:
        description["regions_class_order"] = sorted({number for region in regions for number in region})
    (folder / "dataset.json").write_text(json.dumps(description, indent=1))


def measure(kind: Kind, cache: Path) -> dict[str, Any]:
    """Control, and intensities of the cache's pairs beside those of the training cases."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.store import Store
    from synthaug.volumes import read_pair

    found = NnunetDataset.find(kind.number)
    training, _ = found.split(0)
    store = Store.open(cache)
    errors, made = [], []
    for entry in store.entries():
        pair = store.read(entry.name)
        for name, asked_ml in pair.provenance["requested_ml"].items():
            errors.append(abs(pair.volumes_ml()[name] / asked_ml - 1))
        made.append(pair)
    real = [
        read_pair(found.cases[one].images, found.cases[one].label, found.scheme, found.channels) for one in training
    ]
    differences = {}
    for name in found.scheme.names:
        here, there = _means(real, name), _means(made, name)
        if here is not None and there is not None:
            differences[name] = np.abs(there - here).tolist()
    spread = [float(np.percentile(one, 99) - np.percentile(one, 1)) for one in np.concatenate(
        [pair.image.reshape(len(kind.channels), -1) for pair in real], axis=1)]  # fmt: skip
    errors_by_channel = [value for values in differences.values() for value in values]
    return {
        "title": kind.title,
        "cases": len(real),
        "pairs": len(made),
        "volume_error": float(np.mean(errors)),
        "structures": len(differences),
        "intensity_error": float(np.mean(errors_by_channel)),
        "worst_intensity_error": max(errors_by_channel),
        "within_20": sum(value <= 20 for value in errors_by_channel),
        "intensity_range": max(spread),
        "explained": _explained(made, found.scheme.names),
        "explained_in_real": _explained(real, found.scheme.names),
        "by_structure": differences,
    }


def _explained(pairs: Sequence[Any], structures: Sequence[str]) -> float | None:
    """Share of the variance of these structures' intensities that label maps explain, mean over pairs and channels.

    Labels beside the tissue that they name explain less; images without texture have nothing else to explain. A single
    structure explains nothing: None.
    """
    if len(structures) < 2:
        return None
    shares = []
    for pair in pairs:
        whole = np.zeros(pair.label.shape, np.int64)  # structures that a generator splits by intensity count as one
        for number, name in enumerate(structures, start=1):
            whole[np.isin(pair.label, pair.scheme.resolve(name))] = number
        inside = whole > 0
        label = whole[inside]
        for channel in pair.image:
            values = channel[inside].astype(np.float64)
            means = np.bincount(label, values) / np.maximum(np.bincount(label), 1)
            shares.append(float(np.square(means[label] - values.mean()).mean() / values.var()))
    return float(np.mean(shares))


def _means(pairs: Sequence[Any], structure: str) -> np.ndarray | None:
    """Mean intensity of a structure by channel, over the pairs that have more than a few voxels of it, if half do."""
    inside = [np.isin(pair.label, pair.scheme.resolve(structure)) for pair in pairs]
    large = [(pair, one) for pair, one in zip(pairs, inside, strict=True) if int(one.sum()) >= DEVIATION_VOXELS]
    if 2 * len(large) <= len(pairs):
        return None
    return np.mean([pair.image[:, one].mean(axis=1) for pair, one in large], axis=0)


def run_kind(kind: Kind, options: argparse.Namespace) -> dict[str, Any]:
    """Make, fit, precompute and measure one dataset."""
    trees = {f"nnUNet_{one}": options.work.resolve() / one for one in ("raw", "preprocessed", "results")}
    os.environ |= {name: str(folder) for name, folder in trees.items()}
    raw, preprocessed = trees["nnUNet_raw"], trees["nnUNet_preprocessed"]
    write_dataset(kind, raw, preprocessed, options.data)
    suffix = str(kind.number) if options.generator == "guided-ldm" else f"{kind.number}-{options.generator}"
    generator, cache = options.work / f"generator{suffix}", options.work / f"cache{suffix}"
    began = time.monotonic()
    fit = ["--fold", "0", "--generator", options.generator, "--budget", options.budget, "--out", str(generator)]
    _synthaug("fit", str(kind.number), *fit)
    fitted_s = time.monotonic() - began
    config = json.loads((generator / "config.json").read_text())
    control, (low, high) = next(iter(config["limits_ml"].items()))
    middle = (low * high) ** 0.5
    schedule = f"uniform:{(low + middle) / 2:.4g}:{(high + middle) / 2:.4g}"
    arguments = ["--generator", str(generator), "--num", str(options.num), "--out", str(cache)]
    _synthaug("precompute", *arguments, "--schedule", f"{control}={schedule}")
    _synthaug("cache", "export", str(cache), "--format", "nifti", "--out", str(options.work / f"pairs{suffix}"))
    return {**measure(kind, cache), "fitted_s": fitted_s, "grid": config["grid"]}


def _synthaug(*arguments: str) -> None:
    print("synthaug", *arguments, file=sys.stderr, flush=True)
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, "-m", "synthaug", *arguments], check=True, env={**os.environ, "PYTHONPATH": search_path}
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| dataset | cases | fit | voxels, mm | volume error | structures | mean intensity off by | at most | "
        "of a range of | labels explain | in real cases |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows.values():
        lines.append(
            f"| {row['title']} | {row['cases']} | {row['fitted_s'] / 60:.0f} min | {row['grid']['spacing_mm'][0]:g} | "
            f"{row['volume_error']:.1%} | {row['structures']} | {row['intensity_error']:.1f} | "
            f"{row['worst_intensity_error']:.1f} | {row['intensity_range']:.0f} | {_percent(row['explained'])} | "
            f"{_percent(row['explained_in_real'])} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen datasets one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with malf/ and totalsegmentator_ct/")
    parser.add_argument("--work", type=Path, default=Path("own-datasets"), help="datasets, generators and caches")
    parser.add_argument("--generator", default="guided-ldm", help="system to fit")
    parser.add_argument("--budget", default="20m", help="training time of each fit")
    parser.add_argument("--num", type=int, default=4, help="pairs of each generator")
    parser.add_argument("--only", action="append", choices=list(KINDS), help="only these; repeats")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(REPOSITORY))
    rows = {name: run_kind(KINDS[name], options) for name in options.only or KINDS}
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
