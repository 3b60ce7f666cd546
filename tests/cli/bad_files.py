"""Files that are wrong, each in one way, and the commands that read them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.store import Store, StoreInfo
from synthaug.store.info import _sealed
from synthaug.volumes import write_image, write_label
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

STAND_IN = "python:tests.stand_in_generator:make"


Words = list[str]


def write_sound(folder: Path) -> None:
    """A case, a cache, a generator and a data set that are read without complaint."""
    generator = StandInGenerator()
    (pair,) = generator.generate([Condition({"ventricles": 40.0})], [1])
    write_image(folder / "image.nii.gz", pair.image, pair.affine)
    write_label(folder / "label.nii.gz", pair.label, pair.affine)
    fill(Store.create(folder / "cache", StoreInfo.of(generator)), generator, (40.0,))
    write_tiny_generator(folder / "generator")
    write_raw_dataset(folder / "raw" / "Dataset007_Heads", ["a", "b"])
    preprocessed = folder / "preprocessed" / "Dataset007_Heads"
    preprocessed.mkdir(parents=True)
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    (preprocessed / "dataset.json").write_bytes((folder / "raw" / "Dataset007_Heads" / "dataset.json").read_bytes())


# ------------------------------------------------------------------ commands


def sample(folder: Path, *words: str) -> Words:
    """A command that draws from the case."""
    case = f"{folder}/image.nii.gz,{folder}/label.nii.gz"
    target = [] if words else ["--target", "ventricles=42"]
    return ["sample", "--generator", "counterfactual", "--cases", case, *target, *words, "--out", str(folder / "out")]


def own_labels(folder: Path) -> Words:
    return fitted(folder, "--labels", str(folder / "label.nii.gz"))


def fitted(folder: Path, *words: str) -> Words:
    further = words or ("--target", "ventricles=40")
    return [
        "sample",
        "--generator",
        str(folder / "generator"),
        *further,
        "--device",
        "cpu",
        "--out",
        str(folder / "out"),
    ]


def precompute(folder: Path, *words: str) -> Words:
    return ["precompute", "--generator", STAND_IN, "--num", "1", *words, "--out", str(folder / "out")]


def cache(folder: Path, word: str = "info") -> Words:
    return ["cache", word, str(folder / "cache")]


def of_dataset(folder: Path) -> Words:
    return [
        "sample",
        "--generator",
        "counterfactual",
        "--dataset",
        "7",
        "--target",
        "ventricles=42",
        "--out",
        str(folder / "out"),
    ]


# ------------------------------------------------------------------ NIfTI


def header(name: str, place: int, form: str, *values: float) -> Callable[[Path], Words]:
    """Another number in the header of a gzipped NIfTI-1 file."""

    def spoil(folder: Path) -> Words:
        path = folder / name
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<" + form, content, place, *values)
        path.write_bytes(gzip.compress(bytes(content), mtime=0))
        return own_labels(folder)

    return spoil


def overwritten(
    name: str, content: bytes | Callable[[bytes], bytes], command: Callable[[Path], Words]
) -> Callable[[Path], Words]:
    """A file with another content."""

    def spoil(folder: Path) -> Words:
        path = folder / name
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)
        return command(folder)

    return spoil


def label_voxel(value: float) -> Callable[[Path], Words]:
    """A label map of real numbers with one voxel of another value."""

    def spoil(folder: Path) -> Words:
        import nibabel

        data = np.zeros((4, 4, 4), np.float32)
        data[1, 1, 1] = value
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / "label.nii.gz")
        return own_labels(folder)

    return spoil


def other_ending(folder: Path) -> Words:
    (folder / "image.nii.gz").rename(folder / "image.mgz")
    words = sample(folder)
    return [word.replace("image.nii.gz", "image.mgz") for word in words]


# ------------------------------------------------------------------ generators


def setting(name: str, key: str, value: Any, command: Callable[[Path], Words]) -> Callable[[Path], Words]:
    """A JSON file with another value at a dotted key."""

    def spoil(folder: Path) -> Words:
        path = folder / name
        tree = content = json.loads(path.read_text())
        *parents, last = key.split(".")
        for parent in parents:
            tree = tree[parent]
        tree[last] = value
        path.write_text(json.dumps(content))
        return command(folder)

    return spoil


def weights_header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], Words]:
    """Weights whose header says something else."""

    def spoil(folder: Path) -> Words:
        path = folder / "generator" / "mask_diffusion.safetensors"
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        told = json.loads(content[8 : 8 + length])
        change(told)
        head = json.dumps(told).encode()
        path.write_bytes(struct.pack("<Q", len(head)) + head + content[8 + length :])
        return fitted(folder)

    return spoil


def overlap(told: dict[str, Any]) -> None:
    first, second = [one for key, one in told.items() if key != "__metadata__"][:2]
    second["data_offsets"] = [
        first["data_offsets"][0],
        first["data_offsets"][0] + np.ptp(second["data_offsets"]).item(),
    ]


def sparse(name: str, size: int, command: Callable[[Path], Words]) -> Callable[[Path], Words]:
    """A file of that many bytes, of which the disk holds none."""

    def spoil(folder: Path) -> Words:
        os.truncate(folder / name, size)
        return command(folder)

    return spoil


# ------------------------------------------------------------------ caches


def head(key: str, value: Any) -> Callable[[Path], Words]:
    """Another value in the head of a cache, and a checksum that fits."""

    def spoil(folder: Path) -> Words:
        path = folder / "cache" / "cache.json"
        path.write_bytes(_sealed({**json.loads(path.read_text()), key: value}))
        return cache(folder)

    return spoil


def record(change: Callable[[dict[str, Any]], object], word: str = "verify") -> Callable[[Path], Words]:
    """Another record of a case, and a marker that fits."""

    def spoil(folder: Path) -> Words:
        (case,) = (folder / "cache" / "cases").iterdir()
        described = json.loads((case / "provenance.json").read_text())
        change(described)
        content = json.dumps(described).encode()
        (case / "provenance.json").write_bytes(content)
        (case / "done").write_text(hashlib.sha256(content).hexdigest() + "\n")
        return [*cache(folder, word), *(["--out", str(folder / "out")] if word == "export" else [])]

    return spoil


def terabytes(described: dict[str, Any]) -> None:
    described["files"]["image.b2nd"]["shape"] = [1, 100_000, 100_000, 100_000]


def without_head(folder: Path) -> Words:
    (folder / "cache" / "cache.json").unlink()
    return cache(folder)


def linked_case(folder: Path) -> Words:
    (case,) = (folder / "cache" / "cases").iterdir()
    case.rename(folder / "elsewhere")
    case.symlink_to(folder / "elsewhere")
    return cache(folder, "export") + ["--out", str(folder / "out")]


def linked_cases(folder: Path) -> Words:
    (folder / "cache" / "cases").rename(folder / "elsewhere")
    (folder / "cache" / "cases").symlink_to(folder / "elsewhere")
    return cache(folder)


def linked_array(folder: Path) -> Words:
    (case,) = (folder / "cache" / "cases").iterdir()
    (case / "image.b2nd").rename(folder / "elsewhere")
    (case / "image.b2nd").symlink_to(folder / "elsewhere")
    return cache(folder, "verify")


def flipped(folder: Path) -> Words:
    (case,) = (folder / "cache" / "cases").iterdir()
    content = bytearray((case / "image.b2nd").read_bytes())
    content[len(content) // 2] ^= 1
    (case / "image.b2nd").write_bytes(content)
    return cache(folder, "verify")


def escaping_case(folder: Path) -> Words:
    path = folder / "raw" / "Dataset007_Heads" / "dataset.json"
    entry = {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": {"../../escaped": entry}}))
    return of_dataset(folder)


def scheme_file(content: Any) -> Callable[[Path], Words]:
    def spoil(folder: Path) -> Words:
        (folder / "scheme.json").write_text(json.dumps(content))
        return sample(folder, "--scheme", str(folder / "scheme.json"), "--target", "ventricles=42")

    return spoil


def schedule_file(content: bytes) -> Callable[[Path], Words]:
    def spoil(folder: Path) -> Words:
        (folder / "schedule.json").write_bytes(content)
        return precompute(folder, "--schedule", str(folder / "schedule.json"))

    return spoil


CONFIG, WEIGHTS = "generator/config.json", "generator/mask_diffusion.safetensors"
DATASET = "raw/Dataset007_Heads/dataset.json"
DEEP = 100_000
