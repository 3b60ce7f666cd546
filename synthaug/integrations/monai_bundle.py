"""A generator as a MONAI bundle, which ``monai.bundle`` runs.

    python -m synthaug.integrations.monai_bundle ventricles-t1-1mm --out bundle
    python -m monai.bundle run --bundle_root bundle --config_file bundle/configs/inference.json --output_dir pairs

The folder ``models/`` of a bundle is a generator's folder, as in ``pretrained/``: ``load_generator("bundle/models")``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, SynthAugError, shortened
from synthaug.files.atomic import folder_entries, parse_temporary_name, replace_file, sync_folder
from synthaug.files.canonical_json import canonical_json
from synthaug.files.json_object import read_json_object
from synthaug.generators.config_file import CONFIG_NAME, read_config_file
from synthaug.generators.hub import CARD_NAME, model_card, published_files, read_card
from synthaug.generators.registry import find_generator, load_generator
from synthaug.mistakes import (
    EXIT_INTERRUPTED,
    EXIT_MISTAKE,
    leave_broken_stdout,
    one_line,
    refuse_empty_text,
    system_mistake,
)
from synthaug.precomputing.requests import draw_conditions
from synthaug.quality import QualityConfig, generate_checked
from synthaug.schedules import parse_schedule
from synthaug.volumes import write_image, write_label

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""What ``monai.bundle verify_metadata`` compares ``metadata.json`` with."""
VERSION = re.compile(r"\d+\.\d+\.\d+")
METADATA, INFERENCE = Path("configs/metadata.json"), Path("configs/inference.json")
MODELS, LICENCE = Path("models"), "LICENSE"


def write_bundle(generator: str | Path, out: str | Path, *, bundle_version: str = "1.0.0") -> Path:
    """Write a generator with weights as a bundle.

    ``metadata.json`` is written last, and removed first where a bundle is written again: a folder without it is none of
    a whole bundle, and the same call makes it one.

    Args:
        generator: name or folder of the weights.
        out: the bundle's folder; must not exist, or hold this bundle, whole or half-written.
        bundle_version: three numbers.

    Returns:
        ``out``.

    Raises:
        ConfigurationError: no such generator, weights that do not open, a symbolic link out of the generator's folder,
            no licence, an ``out`` that holds something else, or a version of another form.
        OSError: the disk is full, or ``out`` cannot be written.
    """
    if VERSION.fullmatch(bundle_version) is None:
        raise ConfigurationError(f"bundle_version is {bundle_version!r}; three numbers are needed, such as 1.0.0")
    folder, out = find_generator(str(generator)), Path(out)
    contents = _contents(folder, bundle_version)
    if out.exists():
        _refuse_other(out, contents)
        _remove_leftovers(out, contents)
    if (out / METADATA).exists():
        (out / METADATA).unlink()
        sync_folder((out / METADATA).parent)
    for path, content in contents.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(out / path, content)
    return out


def _contents(folder: Path, bundle_version: str) -> dict[Path, bytes]:
    """The files of a bundle by their path in it, ``metadata.json`` last."""
    files = published_files(folder)
    load_generator(folder, device="cpu")  # what it refuses would be no generator in the bundle either
    config = read_config_file(folder)
    contents = {MODELS / path.name: path.read_bytes() for path in files}
    contents[Path("docs") / CARD_NAME] = model_card(config, read_card(folder)).encode()
    contents[Path(LICENCE)] = contents.get(MODELS / LICENCE) or _licence(config).encode()
    contents[INFERENCE] = _json(inference_config(config))
    contents[METADATA] = _json(metadata(config, bundle_version))
    return contents


class PairSampler:
    """Makes pairs that pass quality control and writes them as NIfTI: what the bundle's inference runs.

    Args:
        generator: makes the pairs.
        output_dir: folder for the files.
        targets_ml: volume in mL by structure or group.
        schedule: volumes of several pairs instead, such as ``uniform:20:120``; its structure is not among the targets.
        num: pairs.
        seed: pair ``i`` has its volume and its noise from ``(seed, i)``.

    Raises:
        ConfigurationError: neither targets nor a schedule, or not one pair at least.
    """

    def __init__(
        self,
        generator: PairGenerator,
        output_dir: str | Path,
        targets_ml: Mapping[str, float] | None = None,
        schedule: str | None = None,
        num: int = 1,
        seed: int = 0,
    ) -> None:
        if not targets_ml and not schedule:
            raise ConfigurationError('targets_ml: none; give {"ventricles": 40}, or schedule="uniform:20:120"')
        if num < 1 or seed < 0:
            raise ConfigurationError(f"num is {num} and seed {seed}; one pair is the least, and a seed of 0 or more")
        self.generator, self.output_dir = generator, Path(output_dir)
        self.targets_ml = {name: float(one) for name, one in (targets_ml or {}).items()}
        self.schedule = parse_schedule(schedule) if schedule else None
        self.num, self.seed = num, seed

    def run(self) -> list[dict[str, str]]:
        """Make and write the pairs.

        Returns:
            Paths of ``image``, ``label`` and ``provenance`` of each.

        Raises:
            BoundsError: a volume outside the generator's bounds; nothing was made then.
            SynthAugError: no pair passed quality control.
        """
        drawn = draw_conditions(self.generator, self.schedule, num=self.num, seed=self.seed, targets_ml=self.targets_ml)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        labels = self.generator.scheme.structures_and_groups()
        replace_file(self.output_dir / "labels.json", _json(labels))
        return [
            self._write(f"pair_seed{self.seed}_{number:03d}", condition, own_seed)
            for number, (condition, own_seed) in enumerate(drawn)
        ]

    def _write(self, name: str, condition: Condition, seed: int) -> dict[str, str]:
        made = generate_checked(self.generator, condition, seed, QualityConfig())
        if made.pair is None:
            raise SynthAugError(
                f"{name}: no pair of {dict(condition.targets_ml)} mL passed quality control in {made.attempts} "
                "attempts; choose another volume or seed"
            )
        paths = {kind: self.output_dir / f"{name}_{kind}.nii.gz" for kind in ("image", "label")}
        write_image(paths["image"], made.pair.image, made.pair.affine)
        write_label(paths["label"], made.pair.label, made.pair.affine)
        paths["provenance"] = self.output_dir / f"{name}_provenance.json"
        replace_file(paths["provenance"], canonical_json(made.pair.provenance).encode())
        return {kind: str(path) for kind, path in paths.items()}


def inference_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """``configs/inference.json``; every top-level entry can be given on the command line of ``monai.bundle run``."""
    control, (low, high) = next(iter(config["limits_ml"].items()))
    return {
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "auto",
        "targets_ml": {control: float(f"{(low * high) ** 0.5:.2g}")},
        "schedule": None,
        "num": 1,
        "seed": 0,
        "network_def": {
            "_target_": "synthaug.load_generator",
            "name_or_folder": "$@bundle_root + '/models'",
            "device": "@device",
        },
        "sampler": {
            "_target_": "synthaug.integrations.monai_bundle.PairSampler",
            "generator": "@network_def",
            "output_dir": "@output_dir",
            "targets_ml": "@targets_ml",
            "schedule": "@schedule",
            "num": "@num",
            "seed": "@seed",
        },
        "run": ["$@sampler.run()"],
    }


def metadata(config: Mapping[str, Any], bundle_version: str) -> dict[str, Any]:
    """``configs/metadata.json`` in the form of MONAI's schema."""
    shape = list(config["grid"]["shape"])
    structures = {str(one["id"]): one["name"] for one in config["scheme"]["structures"]}
    array = {"format": "magnitude", "spatial_shape": shape, "is_patch_data": False}
    return {
        "schema": SCHEMA,
        "version": bundle_version,
        "changelog": {bundle_version: "written by synthaug"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {name: _version(name) for name in ("synthaug", "nibabel", "safetensors")},
        "name": config["name"],
        "task": "Label maps and images with the structure volumes asked for",
        "description": f"Pairs of label map and image ({', '.join(config['channels'])}) by {config['system']}, "
        f"{'x'.join(map(str, shape))} voxels of {config['grid']['spacing_mm']} mm",
        "authors": "The synthaug authors",
        "copyright": f"Weights: {config['licence']}; see LICENSE",
        "data_type": "nifti",
        "intended_use": "Research use only, not a medical device",
        "network_data_format": {
            "inputs": {
                "targets_ml": {
                    "type": "tuple",
                    "format": "condition",
                    "num_channels": len(config["limits_ml"]),
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(place): name for place, name in enumerate(config["limits_ml"])},
                }
            },
            "outputs": {
                "image": {
                    "type": "image",
                    **array,
                    "num_channels": len(config["channels"]),
                    "dtype": "float32",
                    "value_range": [],
                    "channel_def": {str(place): name for place, name in enumerate(config["channels"])},
                },
                "label": {
                    "type": "image",
                    **array,
                    "format": "segmentation",
                    "num_channels": 1,
                    "dtype": "int16",
                    "value_range": [0, max(map(int, structures))],
                    "channel_def": {"0": "background", **structures},
                },
            },
        },
    }


def _refuse_other(out: Path, contents: Mapping[Path, bytes]) -> None:
    """Refuse a folder that holds something else than this bundle, whole or half-written."""
    if not out.is_dir():
        raise ConfigurationError(f"--out {out}: is no folder; give a new one")
    paths = [MODELS / entry.name for entry in folder_entries(out / MODELS) if entry.is_file()]
    there = _sha256({path: (out / path).read_bytes() for path in paths if _is_of_weights(path)})
    if there == (here := _sha256(contents)):
        return
    written = out / MODELS / CONFIG_NAME
    if (out / METADATA).is_file() and written.is_file():
        name = shortened(read_json_object(written, mend="give another --out").get("name"))
        raise ConfigurationError(
            f"--out {out}: holds a bundle of {name!r} with weights of sha256 {there[:12]}, and {here[:12]} is to be "
            "written; give a new folder"
        )
    files = (path.relative_to(out) for path in out.rglob("*") if not path.is_dir())
    if not all(_belongs(out, path, contents) for path in files):
        raise ConfigurationError(f"--out {out}: holds other files; give a new folder")


def _belongs(out: Path, path: Path, contents: Mapping[Path, bytes]) -> bool:
    """Whether a file is one that a writer of this bundle leaves where it is killed."""
    final = _final_path(path)
    if final not in contents or final != path:
        return final in contents
    return not _is_of_weights(path) or (out / path).read_bytes() == contents[path]


def _final_path(path: Path) -> Path:
    """The path that a file has once it is written."""
    parsed = parse_temporary_name(path.name)
    return path.parent / parsed[0] if parsed else path


def _is_of_weights(path: Path) -> bool:
    return path.parent == MODELS and (path.suffix == ".safetensors" or path.name == CONFIG_NAME)


def _sha256(contents: Mapping[Path, bytes]) -> str:
    """Of weights and configuration among the files of a bundle."""
    digest = hashlib.sha256()
    for path in sorted(filter(_is_of_weights, contents)):
        digest.update(path.name.encode() + hashlib.sha256(contents[path]).digest())
    return digest.hexdigest()


def _remove_leftovers(out: Path, contents: Mapping[Path, bytes]) -> None:
    """Remove what a writer that was killed left under temporary names."""
    for folder in {path.parent for path in contents}:
        for entry in folder_entries(out / folder):
            parsed = parse_temporary_name(entry.name)
            if parsed and folder / parsed[0] in contents and parsed[1] is not None and parsed[1].is_alive() is False:
                Path(entry.path).unlink(missing_ok=True)


def _licence(config: Mapping[str, Any]) -> str:
    return (
        f"The weights in models/ are licensed {config['licence']}, the licence of the data that they were fitted on.\n"
        "docs/README.md names the data and whom to credit. The code that runs them is synthaug (Apache-2.0).\n"
    )


def _version(package: str) -> str:
    try:
        found = version(package)
    except PackageNotFoundError:  # a checkout on the Python path, if it is there at all
        try:
            found = str(importlib.import_module(package).__version__)
        except ImportError:
            raise ConfigurationError(
                f"{package}: is not installed, and {METADATA.name} names its version; run `pip install {package}`"
            ) from None
    return found.split("+")[0]


def _json(content: Mapping[str, Any]) -> bytes:
    """Readable, in the order in which it is explained; people edit these files."""
    return (json.dumps(content, indent=4) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a bundle from the command line; the exit code is 2 for a mistake, which is one line on stderr."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        refuse_empty_text(given)
        out = _write_as_told(given)
        print(
            f"{out}: run it with\n  python -m monai.bundle run --bundle_root {out} --config_file {out / INFERENCE}",
            flush=True,
        )
        return 0
    except KeyboardInterrupt:
        told, code = "interrupted; run the same command again", EXIT_INTERRUPTED
    except SynthAugError as mistake:
        told, code = str(mistake), EXIT_MISTAKE
    except OSError as mistake:
        found = system_mistake(mistake)
        if found is None:
            raise
        told, code = found, EXIT_MISTAKE
    print(f"synthaug: {one_line(told)}", file=sys.stderr)
    leave_broken_stdout()
    return code


def _write_as_told(given: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.integrations.monai_bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("generator", help="name or folder of a generator with weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--bundle-version", default="1.0.0", help="three numbers")
    arguments = parser.parse_args(given)
    return write_bundle(arguments.generator, arguments.out, bundle_version=arguments.bundle_version)


if __name__ == "__main__":
    sys.exit(main())
