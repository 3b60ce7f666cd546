"""Total mappings from the structures of one label scheme to those of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import LabelError, did_you_mean
from synthaug.files.json_object import read_json_object
from synthaug.labels.json_table import shipped_names, shipped_table
from synthaug.labels.scheme import BACKGROUND, LARGEST_ID, LabelScheme, as_scheme


@dataclass(frozen=True)
class LabelMapping:
    """Says for each structure of a source scheme which structure of the target scheme, or background, it becomes.

    Attributes:
        source: scheme of the label maps that come in.
        target: scheme of the label maps that go out.
        table: source structure to target structure or ``"background"``; every source structure is in it.

    Raises:
        LabelError: a source structure is not in the table, or a name that its scheme does not have.
    """

    source: LabelScheme
    target: LabelScheme
    table: Mapping[str, str] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", dict(self.table))
        where = f"mapping from {self.source.name!r} to {self.target.name!r}"
        for name in self.table:
            if name not in self.source.names:
                raise LabelError(
                    f"{where}: {name!r} is no structure of {self.source.name!r}"
                    f"{did_you_mean(name, self.source.names)}; "
                    f"allowed: {', '.join(self.source.names)}"
                )
        allowed = (BACKGROUND, *self.target.names)
        for name, goal in self.table.items():
            if goal not in allowed:
                raise LabelError(
                    f"{where}: {name!r} goes to {goal!r}{did_you_mean(str(goal), allowed)}; "
                    f"allowed: {', '.join(allowed)}"
                )
        unmapped = [name for name in self.source.names if name not in self.table]
        if unmapped:
            raise LabelError(
                f"{where} leaves out {', '.join(unmapped)}; "
                f"map each to a structure of {self.target.name!r} or to '{BACKGROUND}'"
            )

    def apply(self, label: np.ndarray, where: str = "") -> np.ndarray:
        """Translate a label map.

        Args:
            label: integer label map of any shape, in the source scheme.
            where: file or case that an error names.

        Returns:
            int16 array of the same shape, in the target scheme.

        Raises:
            LabelError: a label that the source scheme does not have, or ignored voxels where the target scheme has no
                ignore label.
        """
        self.source.check(label, where)
        lookup = np.zeros(LARGEST_ID + 1, dtype=np.int16)
        for name, goal in self.table.items():
            lookup[self.source.id_of(name)] = self.target.id_of(goal)
        if self.source.ignore_id is not None:
            if self.target.ignore_id is not None:
                lookup[self.source.ignore_id] = self.target.ignore_id
            elif (label == self.source.ignore_id).any():
                raise LabelError(
                    f"{where + ': ' if where else ''}holds the ignore label {self.source.ignore_id}, which "
                    f"{self.target.name!r} does not have; give that scheme an ignore_id or leave such cases out"
                )
        return lookup[label]

    def own_labels(self, structure: str) -> set[int]:
        """Labels of the target that are a structure or group of the source: all of it, and nothing else.

        Raises:
            LabelError: there is no such structure, or it has no label of its own in the target.
        """
        wanted = set(self.source.resolve(structure))
        goals = {goal for name, goal in self.table.items() if self.source.id_of(name) in wanted}
        numbers = {self.target.id_of(goal) for goal in goals}
        reason = self._other_labels(wanted, goals) or self._other_meaning(structure, numbers)
        if reason:
            raise LabelError(
                f"{structure} cannot be measured in {self.target.name}: {reason}; name another structure or group, or "
                f"give a schedule that needs no real cases, such as {structure}=uniform:20:120"
            )
        return numbers

    def _other_labels(self, wanted: set[int], goals: set[str]) -> str:
        """Why the goals of a structure's parts are not its own, or nothing."""
        if BACKGROUND in goals:
            return "a part of it is background there"
        others = sorted(
            name for name, goal in self.table.items() if goal in goals and self.source.id_of(name) not in wanted
        )
        return f"it is {', '.join(sorted(goals))} there, as are {', '.join(others)}" if others else ""

    def _other_meaning(self, structure: str, numbers: set[int]) -> str:
        """Why what the target calls by this name is not what it becomes, or nothing."""
        if structure not in (*self.target.names, *self.target.groups):
            return ""
        there = set(self.target.resolve(structure))
        more, fewer = (
            ", ".join(name for name in self.target.names if self.target.id_of(name) in ids)
            for ids in (there - numbers, numbers - there)
        )
        if more:
            return f"there it has {more}, too"
        return f"there it is without {fewer}" if fewer else ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with both schemes in full; `from_dict` reads it back."""
        return {"source": self.source.to_dict(), "target": self.target.to_dict(), "table": dict(self.table)}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> LabelMapping:
        """Read the form that `to_dict` writes; a scheme may also be a shipped name or a path.

        Raises:
            LabelError: a missing or unknown key, or what the constructor refuses.
        """
        known = ("source", "target", "table")
        wrong = sorted(set(d) - set(known)) + [key for key in known if key not in d]
        if wrong:
            raise LabelError(
                f"label mapping: missing or unknown keys {', '.join(wrong)}; allowed and due: {', '.join(known)}"
            )
        if not isinstance(d["table"], Mapping):
            raise LabelError("label mapping: 'table' must be an object from source structure to target structure")
        return cls(as_scheme(d["source"]), as_scheme(d["target"]), d["table"])

    @classmethod
    def load(cls, name_or_path: str | Path) -> LabelMapping:
        """Read a shipped mapping by its name (``"freesurfer-to-ventricles-t1"``) or a JSON file of the same form.

        Raises:
            LabelError: no shipped mapping has the name and no file has the path, or the file is not a mapping.
        """
        table = shipped_table("mappings", str(name_or_path))
        if table is not None:
            return cls.from_dict(table)
        path = Path(name_or_path)
        if not path.is_file():
            shipped = shipped_names("mappings")
            raise LabelError(
                f"no label mapping {str(name_or_path)!r}{did_you_mean(str(name_or_path), shipped)}: "
                f"neither a file nor one of the shipped ones: {', '.join(shipped)}"
            )
        return cls.from_dict(read_json_object(path, error=LabelError))
