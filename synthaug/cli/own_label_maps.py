"""The user's own label maps that a command line names: the files, their scheme, and what a generator takes of them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.errors import AmbiguousMappingError, ConfigurationError, LabelError

if TYPE_CHECKING:
    import numpy as np

    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.generators.own_labels import PlacedLabel
    from synthaug.labels import LabelMapping, LabelScheme
    from synthaug.volumes.grid import Grid


@dataclass(frozen=True, eq=False)
class OwnLabel:
    """A label map that was read.

    Attributes:
        label: ``(X, Y, Z)`` in RAS+ order, in its own ids.
        affine: its true voxel-to-mm matrix, ``(4, 4)``.
        placed: the same in the generator's ids, on the generator's grid.
    """

    label: np.ndarray
    affine: np.ndarray
    placed: PlacedLabel


def choose_mapping(target: LabelScheme, dataset: str | None, mapping: str | None) -> LabelMapping | None:
    """What turns the user's label maps into the generator's; None where they have the generator's scheme.

    Args:
        target: the generator's scheme.
        dataset: nnU-Net dataset whose label scheme the label maps have.
        mapping: shipped name or JSON file of a mapping; with ``dataset`` also ``{label: structure}`` of those labels
            that their names do not tell.

    Raises:
        AmbiguousMappingError: the dataset's labels have no clear mapping; lists the choices.
        SynthAugError: no such dataset or mapping, or one between other schemes; or a generator that splits structures
            by intensity.
    """
    from synthaug.files.json_object import read_json_object
    from synthaug.labels import LabelMapping, propose_mapping, split_structures
    from synthaug.labels.json_table import shipped_names

    if split := split_structures(target):
        raise ConfigurationError(
            f"--labels: the generator has {', '.join(split)} as classes by intensity, which a label map alone does not "
            "tell; take a generator that was fitted with split {} in its --settings"
        )

    source, decided = None, None
    if dataset is not None:
        from synthaug.integrations.nnunet.dataset import NnunetDataset

        source = NnunetDataset.find(dataset).scheme
    if mapping is not None:
        if source is not None and mapping not in shipped_names("mappings") and Path(mapping).is_file():
            content = read_json_object(Path(mapping), error=LabelError)
            decided = None if "table" in content else {label: str(structure) for label, structure in content.items()}
        if decided is None:
            loaded = LabelMapping.load(mapping)
            for which, scheme, wanted in (("from", loaded.source, source), ("to", loaded.target, target)):
                if wanted is not None and _ids(scheme) != _ids(wanted):
                    raise LabelError(
                        f"--mapping {mapping}: leads {which} {scheme.name!r}, whose names and ids are not those of "
                        f"{wanted.name!r}; give a mapping {which} {wanted.name!r}"
                    )
            return loaded
    if source is None:
        return None
    try:
        # who writes a mapping has decided which structures go without a label
        allow_missing = target.names if decided is not None else ()
        return propose_mapping(source, target, decided=decided, allow_missing=allow_missing)
    except AmbiguousMappingError as error:
        raise AmbiguousMappingError(
            f"--dataset {dataset}: {error}; in a JSON file {{label: structure}}, and give it with --mapping"
        ) from None
    except LabelError as error:
        raise LabelError(f"--mapping {mapping}: {error}") from None


def find_label_maps(texts: Sequence[str], target: LabelScheme, mapping: LabelMapping | None) -> LabelMaps:
    """The label maps that ``--labels`` names, each once.

    Args:
        texts: files, folders (see `LabelMaps.find`) and globs.
        target: the generator's scheme.
        mapping: to it, or None.

    Raises:
        ConfigurationError: nothing is there, two files have one name, or a folder says that its scheme is another.
    """
    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.volumes import case_identifier

    own = mapping.source if mapping else target
    found: dict[str, Path] = {}
    for text in texts:
        path = Path(text).expanduser()
        if path.is_dir():
            maps = LabelMaps.find(path, own)
            if _ids(maps.scheme) != _ids(own):
                raise ConfigurationError(
                    f"--labels {text}: its dataset.json has other labels than {own.name!r}; give --dataset too, with "
                    "the dataset's number or name"
                )
            files = list(maps.paths)
        else:
            files = [path] if path.is_file() else _matching(path)
        if not files:
            raise ConfigurationError(f"--labels {text}: no such file or folder, and no file matches; check the path")
        for file in files:
            other = found.setdefault(case_identifier(file), file)
            if other.resolve() != file.resolve():
                raise ConfigurationError(
                    f"--labels: {other} and {file} would have pairs of one name; rename one, or give each its own --out"
                )
    return LabelMaps(tuple(found.values()), target, mapping)


def read_own_label(path: Path, maps: LabelMaps, grid: Grid) -> OwnLabel:
    """Read a label map and place it on a generator's grid.

    Args:
        path: one of the label maps.
        maps: say what its labels mean.
        grid: the generator's.

    Raises:
        SynthAugError: it cannot be read, holds labels that its scheme does not know, holds nothing that the generator
            makes, or does not fit the field of view.
    """
    from synthaug.generators.own_labels import PlacedLabel
    from synthaug.volumes import read_label
    from synthaug.volumes.geometry import spacing_of

    label, affine = read_label(path, maps.file_scheme)
    mapped = maps.mapping.apply(label, str(path)) if maps.mapping else label
    replace(maps.scheme, ignore_id=None).check(mapped, str(path))  # no image shows a voxel that is to be ignored
    x, y, z = (float(edge) for edge in spacing_of(affine))
    return OwnLabel(label, affine, PlacedLabel.place(mapped, (x, y, z), grid, str(path)))


def _ids(scheme: LabelScheme) -> dict[str, int]:
    return {name: scheme.id_of(name) for name in scheme.names}


def _matching(path: Path) -> list[Path]:
    return [one for one in map(Path, sorted(glob.glob(str(path), recursive=True))) if one.is_file()]
