"""``synthaug sample --labels``: images for the user's own label maps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.cli.generator_options import DEFAULT_GENERATOR, GeneratorChoice
from synthaug.cli.own_label_maps import choose_mapping, find_label_maps, read_own_label
from synthaug.cli.progress import track
from synthaug.cli.sample_files import finish_folder, refuse_other_pairs, write_labels, write_pair
from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.generators.protocol import ImageForLabelGenerator
    from synthaug.labels import LabelMapping
    from synthaug.volumes import LabeledVolume
    from synthaug.volumes.grid import Grid

MOST_IN_PREVIEW = 8
"""The picture shows the first pairs; all of them would not fit into memory, nor on a screen."""


FRAME = 5
"""Voxels of background around the labels in the picture."""


@dataclass(frozen=True)
class LabelRequest:
    """The images to make for one label map.

    Attributes:
        path: file of the label map.
        label_sha256: `fingerprint_array` of what it holds.
        seeds: seed of each image by the pair's name.
    """

    path: Path
    label_sha256: str
    seeds: Mapping[str, int]


def sample_for_labels(
    labels: Sequence[str],
    out: Path,
    *,
    generator: str,
    options: Mapping[str, Any],
    device: str,
    dataset: str | None,
    mapping: str | None,
    num: int,
    seed: int,
    quiet: bool,
) -> dict[str, Any]:
    """Make images for label maps and write the pairs; what ``--json`` prints.

    Args:
        labels: files, folders and globs.
        out: folder for the files.
        generator: by name; it must make images for given label maps.
        options: of the generator.
        device: where it runs.
        dataset: nnU-Net dataset whose label scheme the label maps have.
        mapping: from the label maps' scheme to the generator's.
        num: images for each label map.
        seed: of them all.
        quiet: no progress bar.

    Raises:
        SynthAugError: what :func:`open_image_generator`, :func:`choose_mapping`, :func:`find_label_maps` and
            :func:`plan_requests` refuse; nothing has been written then.
    """
    opened = open_image_generator(generator, options, device)
    chosen = choose_mapping(opened.scheme, dataset, mapping)
    maps = find_label_maps(labels, opened.scheme, chosen)
    requests = plan_requests(opened, maps, out, num=num, seed=seed, quiet=quiet)
    return write_samples(opened, maps, requests, out, quiet=quiet)


def open_image_generator(name: str, options: Mapping[str, Any], device: str) -> ImageForLabelGenerator:
    """Load a generator that makes images for label maps.

    Raises:
        SynthAugError: no such generator, or one that makes no such images.
    """
    from synthaug.generators.protocol import ImageForLabelGenerator
    from synthaug.generators.registry import draws_from_cases

    if not draws_from_cases(name, options):
        generator = GeneratorChoice(name, options, device).open()
        if isinstance(generator, ImageForLabelGenerator):
            return generator
    raise ConfigurationError(
        f"--generator {name}: makes no image for a label map that it is given, which --labels needs; take a guided-ldm "
        f"generator, such as {DEFAULT_GENERATOR}, or domain-randomization with --option masks={DEFAULT_GENERATOR}"
    )


def plan_requests(
    generator: ImageForLabelGenerator, maps: LabelMaps, out: Path, *, num: int, seed: int, quiet: bool
) -> list[LabelRequest]:
    """Name and seed of each image; all label maps are read and checked before the first image is made.

    Raises:
        SynthAugError: a label map cannot be read, holds labels that its scheme does not know or too little that the
            generator makes, or does not fit its field of view; there would be more images than are made at a time; the
            folder is that of the label maps, or holds pairs that were asked for otherwise.
    """
    from synthaug.precomputing.requests import check_number, request_seed
    from synthaug.volumes import case_identifier, fingerprint_array

    if out.resolve() in {path.resolve().parent for path in maps.paths}:
        raise ConfigurationError(
            f"--out {out}: is the folder of the label maps, where pairs would be taken for label maps the next time; "
            "give another folder"
        )
    check_number(num * len(maps.paths), seed)
    grid = _grid_of(generator)
    requests, expected = [], {}
    for path in track(maps.paths, "checking", quiet=quiet):
        label_sha256 = fingerprint_array(read_own_label(path, maps, grid).label)
        # a noise that label maps share would give all of them one contrast
        own_stream = int(label_sha256[:12], 16)
        seeds = {
            f"{case_identifier(path)}_seed{seed}_{number:03d}": request_seed(request_seed(seed, number), own_stream)
            for number in range(num)
        }
        requests.append(LabelRequest(path, label_sha256, seeds))
        same = {
            "generator_sha256": generator.fingerprint,
            "label_sha256": label_sha256,
            "label_mapping": _table_of(maps.mapping),
        }
        expected.update(dict.fromkeys(seeds, same))
    refuse_other_pairs(out, expected, "another label map, label mapping or generator")
    return requests


def write_samples(
    generator: ImageForLabelGenerator,
    maps: LabelMaps,
    requests: Sequence[LabelRequest],
    out: Path,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make the images one by one and write them beside their label maps; what ``--json`` prints.

    Image and label map of a pair have the shape, voxel order and affine of the label map's file. The label map keeps
    its own ids, where the image shows them: what the mapping sends to the background and what lies outside the
    generator's field of view becomes 0, and its volume is noted as ``not_shown_ml``.

    Raises:
        SynthAugError: the folder holds pairs of another label scheme.
    """
    labels = write_labels(out, maps.file_scheme)
    shown: dict[str, LabeledVolume] = {}
    facts = []
    total = sum(len(request.seeds) for request in requests)
    for name, pair, stored_affine in track(_pairs(generator, maps, requests), "sampling", total=total, quiet=quiet):
        paths = write_pair(out, name, pair, stored_affine=stored_affine)
        if len(shown) < MOST_IN_PREVIEW:
            shown[name] = _framed(pair)
        keys = ("label_file", "label_sha256", "seed", "realised_ml", "not_shown_ml", "seconds", "generator_sha256")
        facts.append({"name": name, **paths, **{key: pair.provenance[key] for key in keys}})
    return finish_folder(out, generator, labels, shown, facts)


def print_table(facts: Mapping[str, Any]) -> None:
    """Print what was made for people to read."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{facts['generator']} ({facts['generator_sha256'][:12]})")
    table.add_column("pair", no_wrap=True)
    for heading in ("labelled mL", "not shown mL", "seconds"):
        table.add_column(heading, justify="right")
    structures = json.loads(Path(facts["labels"]).read_text())["structures"]
    for pair in facts["pairs"]:
        labelled_ml = sum(pair["realised_ml"][name] for name in structures)
        not_shown_ml = sum(pair["not_shown_ml"].values())
        table.add_row(pair["name"], f"{labelled_ml:.1f}", f"{not_shown_ml:.1f}", f"{pair['seconds']:.1f}")
    console = Console()
    console.print(table)
    console.print(f"preview: {facts['preview']}", highlight=False, soft_wrap=True)


def _framed(pair: LabeledVolume) -> LabeledVolume:
    """What the picture shows of a pair: the box of its labels, with a little room."""
    import numpy as np

    from synthaug.volumes.grid import box_of

    box = [slice(max(one.start - FRAME, 0), one.stop + FRAME) for one in box_of(pair.label > 0)]
    affine = pair.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    image, label = pair.image[(slice(None), *box)], pair.label[tuple(box)]
    return replace(pair, image=np.ascontiguousarray(image), label=np.ascontiguousarray(label), affine=affine)


def _pairs(
    generator: ImageForLabelGenerator, maps: LabelMaps, requests: Sequence[LabelRequest]
) -> Iterator[tuple[str, LabeledVolume, np.ndarray]]:
    """Name, pair in RAS+ order, and affine of the label map's file."""
    import numpy as np

    from synthaug.volumes import LabeledVolume, structure_volumes_ml
    from synthaug.volumes.voxel_order import stored_affine

    scheme, grid = maps.file_scheme, _grid_of(generator)
    for request in requests:
        own = read_own_label(request.path, maps, grid)
        label = np.where(own.placed.shown, own.label, 0).astype(np.int16)
        file_affine = stored_affine(request.path)
        for name, seed in request.seeds.items():
            started = time.perf_counter()
            (made,) = generator.generate_images([own.placed.label], [seed])
            image = own.placed.bring_back(made, generator.background)
            seconds = time.perf_counter() - started
            pair = LabeledVolume(image, label, own.affine, scheme, generator.channels)
            realised_ml = pair.volumes_ml()
            before_ml = structure_volumes_ml(own.label, scheme, pair.voxel_volume_ml)
            lost_ml = {one: before_ml[one] - realised_ml[one] for one in scheme.names}
            pair.provenance.update(
                generator=generator.name,
                generator_sha256=generator.fingerprint,
                seed=seed,
                label_file=request.path.name,
                label_sha256=request.label_sha256,
                label_mapping=_table_of(maps.mapping),
                realised_ml=realised_ml,
                not_shown_ml={one: lost for one, lost in lost_ml.items() if lost > 0},
                seconds=round(seconds, 3),
                **generator.computed_with,
            )
            yield name, pair, file_affine


def _grid_of(generator: ImageForLabelGenerator) -> Grid:
    from synthaug.volumes.geometry import spacing_of
    from synthaug.volumes.grid import Grid

    x, y, z = (float(edge) for edge in spacing_of(generator.affine))
    return Grid(generator.shape, (x, y, z))


def _table_of(mapping: LabelMapping | None) -> dict[str, str] | None:
    return dict(mapping.table) if mapping else None
