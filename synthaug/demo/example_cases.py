"""What the scripts in ``examples/`` train on: the user's data set and cache, or stand-ins and a small cache."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.demo.stand_ins import make_stand_ins
from synthaug.errors import ConfigurationError
from synthaug.labels import LabelMapping, LabelScheme, propose_mapping
from synthaug.precomputing import load_named_generator, precompute
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo

SCHEDULE = "uniform:20:120"
"""Ventricular volumes of the small cache, in mL."""
STAND_INS = 4


@dataclass(frozen=True)
class ExampleCases:
    """Files of real cases, and pairs to mix with them.

    Attributes:
        training: ``{"image": file (or one for each channel), "label": file}`` of each case.
        held_out: the same, for validation: every fifth case.
        scheme: of the real label maps.
        cache: folder of synthetic pairs.
        mapping: from the pairs' labels to the real ones'.
    """

    training: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    scheme: LabelScheme
    cache: Path
    mapping: LabelMapping


def example_parser(description: str | None, *, steps: int = 30) -> argparse.ArgumentParser:
    """Options that the examples share.

    Args:
        description: of the script.
        steps: how many training steps it makes unless told.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="raw nnU-Net data set folder; default: stand-ins are made")
    parser.add_argument("--cache", type=Path, help="cache of synthaug precompute; default: a small one is made")
    parser.add_argument("--generator", default="ventricles-t1-1mm", help="makes what is not given")
    parser.add_argument("--num", type=int, default=3, help="pairs in the small cache")
    parser.add_argument("--steps", type=int, default=steps, help="training steps")
    return parser


@contextlib.contextmanager
def example_cases(arguments: argparse.Namespace) -> Iterator[ExampleCases]:
    """Read what the options name and make the rest in a temporary folder, which goes with the block.

    Raises:
        SynthAugError: no data set or cache there, or one whose labels do not go with the other's.
    """
    with tempfile.TemporaryDirectory(prefix="synthaug-example-") as temporary:
        data = arguments.data
        if data is None:
            print(
                "no --data: making stand-ins for real cases; no figure below says anything about patients", flush=True
            )
            data = make_stand_ins(load_named_generator(arguments.generator), Path(temporary), num=STAND_INS)
        cache = example_cache(arguments, Path(temporary))
        files = nnunet_files(data)
        scheme = LabelScheme.from_nnunet(data / "dataset.json")
        mapping = propose_mapping(Store.open(cache).info.scheme, scheme)
        number = max(1, len(files) // 5)
        yield ExampleCases(files[number:], files[:number], scheme, cache, mapping)


def example_cache(arguments: argparse.Namespace, work: Path) -> Path:
    """The cache that the options name, or one that is made in a folder."""
    if arguments.cache is not None:
        return Path(arguments.cache)
    print(f"no --cache: making {arguments.num} pairs", flush=True)
    generator = load_named_generator(arguments.generator)
    store = Store.create(work / "cache", StoreInfo.of(generator))
    precompute(generator, store, num=arguments.num, schedule=parse_schedule(SCHEDULE))
    return store.folder


def nnunet_files(folder: Path) -> list[dict[str, Any]]:
    """Image and label files of a raw nnU-Net data set, by case; a list of images where there are several channels.

    Raises:
        ConfigurationError: there are fewer than two cases.
    """
    files = []
    for label in sorted((folder / "labelsTr").glob("*.nii.gz")):
        images = sorted((folder / "imagesTr").glob(label.name.replace(".nii.gz", "_[0-9][0-9][0-9][0-9].nii.gz")))
        names = [str(image) for image in images]
        files.append({"image": names if len(names) > 1 else names[0], "label": str(label)})
    if len(files) < 2:
        raise ConfigurationError(
            f"--data {folder}: {len(files)} cases in imagesTr and labelsTr (.nii.gz); two are needed, one to learn and "
            "one to validate: name a folder of nnUNet_raw"
        )
    return files
