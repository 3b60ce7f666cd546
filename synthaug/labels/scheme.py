"""Label schemes: which integer in a label map stands for which structure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import LabelError, did_you_mean, shortened
from synthaug.files.json_object import read_json_object
from synthaug.labels.json_table import shipped_names, shipped_table
from synthaug.labels.label_counts import count_labels
from synthaug.labels.structure import Structure

BACKGROUND = "background"
"""Name of label 0, which is in every scheme and is not one of its structures."""

LARGEST_ID = 32767
"""Label maps are int16."""


@dataclass(frozen=True)
class LabelScheme:
    """An ordered set of structures with their label ids, and named groups of them.

    Attributes:
        name: name of the scheme.
        structures: the structures in the scheme's order; the background (0) is not one of them.
        groups: group name to the names of its structures (``{"ventricles": ("lateral_ventricle_left", ...)}``).
        ignore_id: label of voxels that a loss must ignore, or None. It is allowed in a label map and is no structure.

    Raises:
        LabelError: ids or names that occur twice or are out of range, groups or mirrors that name no structure.
    """

    name: str
    structures: tuple[Structure, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    ignore_id: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "structures", tuple(self.structures))
        object.__setattr__(self, "groups", {group: tuple(members) for group, members in self.groups.items()})
        _check_structures(self)
        _check_groups(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures, in the scheme's order."""
        return tuple(structure.name for structure in self.structures)

    @property
    def ids(self) -> tuple[int, ...]:
        """Label ids of the structures, in the scheme's order."""
        return tuple(structure.id for structure in self.structures)

    @property
    def num_classes(self) -> int:
        """Number of structures, and one more for the background."""
        return len(self.structures) + 1

    def id_of(self, name: str) -> int:
        """Label id of a structure; ``background`` is 0.

        Raises:
            LabelError: no such structure.
        """
        if name == BACKGROUND:
            return 0
        for structure in self.structures:
            if structure.name == name:
                return structure.id
        raise LabelError(
            f"scheme {self.name!r} has no structure {name!r}{did_you_mean(name, self.names)}; "
            f"it has: {', '.join(self.names)}"
        )

    def resolve(self, name_or_group: str) -> tuple[int, ...]:
        """Label ids of a structure (one) or of a group (all its members).

        Raises:
            LabelError: neither a structure nor a group of this scheme.
        """
        if name_or_group in self.names:
            return (self.id_of(name_or_group),)
        if name_or_group in self.groups:
            return tuple(self.id_of(member) for member in self.groups[name_or_group])
        known = self.names + tuple(self.groups)
        raise LabelError(
            f"scheme {self.name!r} has no structure or group {shortened(name_or_group)!r}"
            f"{did_you_mean(name_or_group, known)}; "
            f"structures: {', '.join(self.names)}; groups: {', '.join(self.groups) or 'none'}"
        )

    def check(self, label: np.ndarray, where: str = "") -> None:
        """Refuse a label map that holds ids outside the scheme.

        Args:
            label: integer label map of any shape.
            where: file or case that the error names.

        Raises:
            LabelError: lists the ids that the scheme does not have, with their voxel counts.
        """
        allowed = {0, *self.ids} if self.ignore_id is None else {0, *self.ids, self.ignore_id}
        foreign = {number: count for number, count in count_labels(label).items() if number not in allowed}
        if foreign:
            found = ", ".join(f"{number} ({count} voxels)" for number, count in foreign.items())
            raise LabelError(
                f"{where + ': ' if where else ''}labels outside the scheme {self.name!r}: {found}; "
                f"allowed: {', '.join(str(number) for number in sorted(allowed))}; "
                "mend the label map, name its labels in the scheme (dataset.json of nnU-Net), or map them with a "
                "LabelMapping first"
            )

    def mirror_ids(self) -> dict[int, int]:
        """Label ids after a left-right flip: total over background, structures and the ignore label."""
        mirrored = {0: 0}
        for structure in self.structures:
            mirrored[structure.id] = self.id_of(structure.mirror) if structure.mirror else structure.id
        if self.ignore_id is not None:
            mirrored[self.ignore_id] = self.ignore_id
        return mirrored

    def structures_and_groups(self) -> dict[str, Any]:
        """``{"structures": {name: id}, "groups": {group: [names]}}``, which ``labels.json`` beside label maps holds."""
        return {
            "structures": {name: self.id_of(name) for name in self.names},
            "groups": {group: list(names) for group, names in self.groups.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        structures: list[dict[str, Any]] = []
        for structure in self.structures:
            entry: dict[str, Any] = {"name": structure.name, "id": structure.id}
            if structure.mirror:
                entry["mirror"] = structure.mirror
            structures.append(entry)
        result: dict[str, Any] = {
            "name": self.name,
            "structures": structures,
            "groups": {group: list(members) for group, members in self.groups.items()},
        }
        if self.ignore_id is not None:
            result["ignore_id"] = self.ignore_id
        return result

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> LabelScheme:
        """Read the form that `to_dict` writes.

        Raises:
            LabelError: a missing or unknown key, or what the constructor refuses.
        """
        known = {"name", "structures", "groups", "ignore_id"}
        wrong = sorted(set(d) - known) + [key for key in ("name", "structures") if key not in d]
        if wrong:
            raise LabelError(
                f"label scheme: missing or unknown keys {', '.join(wrong)}; allowed: {', '.join(sorted(known))}"
            )
        try:
            structures = tuple(Structure(one["name"], one["id"], one.get("mirror")) for one in d["structures"])
            groups = {str(group): tuple(members) for group, members in d.get("groups", {}).items()}
        except (TypeError, KeyError, AttributeError) as error:
            raise LabelError(
                f"label scheme {d['name']!r}: structures must be a list of {{'name', 'id'}}, groups an object of lists"
            ) from error
        return cls(str(d["name"]), structures, groups, d.get("ignore_id"))

    @classmethod
    def load(cls, name_or_path: str | Path) -> LabelScheme:
        """Read a shipped scheme by its name, or a JSON file: one of this library's, or an nnU-Net ``dataset.json``.

        Raises:
            LabelError: no shipped scheme has the name and no file has the path, or the file is not a label scheme.
        """
        table = shipped_table("schemes", str(name_or_path))
        if table is not None:
            return cls.from_dict(table)
        path = Path(name_or_path)
        if not path.is_file():
            shipped = shipped_names("schemes")
            raise LabelError(
                f"no label scheme {str(name_or_path)!r}{did_you_mean(str(name_or_path), shipped)}: "
                f"neither a file nor one of the shipped ones: {', '.join(shipped)}"
            )
        content = read_json_object(path, error=LabelError)
        if "labels" in content and "structures" not in content:
            return cls.from_nnunet(path)
        return cls.from_dict(content)

    @classmethod
    def from_nnunet(cls, dataset_json: Mapping[str, Any] | str | Path, name: str | None = None) -> LabelScheme:
        """Read the labels of an nnU-Net ``dataset.json``, regions and ignore label included.

        Args:
            dataset_json: the file, or its content.
            name: name of the scheme; by default the dataset's name or its folder's.

        Raises:
            LabelError: no labels, or labels that nnU-Net would not take either.
        """
        from synthaug.labels.nnunet_labels import scheme_from_nnunet  # imports this module

        return scheme_from_nnunet(dataset_json, name)


def as_scheme(value: LabelScheme | Mapping[str, Any] | str | Path) -> LabelScheme:
    """A scheme from itself, its dictionary, its shipped name or its file."""
    if isinstance(value, LabelScheme):
        return value
    if not isinstance(value, (Mapping, str, Path)):
        raise LabelError(f"label scheme {value!r}: allowed are an object of its structures, a shipped name, or a path")
    return LabelScheme.from_dict(value) if isinstance(value, Mapping) else LabelScheme.load(value)


def scheme_as_json(scheme: LabelScheme) -> str:
    """Canonical one-line JSON of a scheme, for comparing and hashing."""
    return json.dumps(scheme.to_dict(), sort_keys=True, separators=(",", ":"))


def _check_structures(scheme: LabelScheme) -> None:
    where = f"label scheme {scheme.name!r}"
    if not scheme.structures:
        raise LabelError(f"{where} has no structures; name at least one beside the background")
    for structure in scheme.structures:
        if not isinstance(structure.name, str) or not structure.name or structure.name == BACKGROUND:
            raise LabelError(f"{where}: structure name {structure.name!r}; allowed: any text but '' and '{BACKGROUND}'")
    special = [("ignore_id", scheme.ignore_id)] if scheme.ignore_id is not None else []
    numbered: list[tuple[str, Any]] = [(structure.name, structure.id) for structure in scheme.structures] + special
    for name, number in numbered:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 1 <= number <= LARGEST_ID:
            raise LabelError(f"{where}: {name!r} has id {number!r}; allowed: a whole number from 1 to {LARGEST_ID}")
    _refuse_repeats(where, "id", [number for _, number in numbered])
    _refuse_repeats(where, "name", [structure.name for structure in scheme.structures])
    mirrors = {structure.name: structure.mirror for structure in scheme.structures}
    for name, mirror in mirrors.items():
        if mirror is not None and mirrors.get(mirror) != name:
            raise LabelError(
                f"{where}: {name!r} has mirror {mirror!r}, which is no structure whose mirror is {name!r}; "
                "name the two sides as each other's mirror"
            )


def _check_groups(scheme: LabelScheme) -> None:
    for group, members in scheme.groups.items():
        where = f"label scheme {scheme.name!r}, group {group!r}"
        missing = [member for member in members if member not in scheme.names]
        if missing or not members:
            raise LabelError(
                f"{where}: {', '.join(map(repr, missing)) or 'no members'}; "
                f"allowed: one or more of {', '.join(scheme.names)}"
            )
        _refuse_repeats(where, "member", list(members))
        if group == BACKGROUND or group in scheme.names:
            raise LabelError(f"{where} has the name of a structure or of the background; give it another name")


def _refuse_repeats(where: str, what: str, values: list[Any]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise LabelError(f"{where}: {what} {', '.join(map(repr, repeated))} occurs more than once; each may occur once")
