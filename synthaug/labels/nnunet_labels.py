"""The labels of an nnU-Net ``dataset.json`` as a label scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthaug.errors import LabelError
from synthaug.files.json_object import read_json_object
from synthaug.labels.anatomy import guess_groups, guess_mirrors
from synthaug.labels.scheme import BACKGROUND, LabelScheme
from synthaug.labels.structure import Structure

IGNORE = "ignore"
"""The name that nnU-Net reserves for voxels without a label."""


def scheme_from_nnunet(dataset_json: Mapping[str, Any] | str | Path, name: str | None = None) -> LabelScheme:
    """Read labels in any form that nnU-Net takes or once took.

    ``{"a": 1}``, ``{"a": "1"}`` and nnU-Net v1's ``{"1": "a"}`` name structures. A list (``{"tumour": [1, 2]}``) is a
    region: it becomes a group, and the label ids in it that no single entry names become structures ``label_ID``.
    Sides and groups (ventricles, brain) are guessed from the names.

    Args:
        dataset_json: the file, or its content.
        name: name of the scheme; by default the dataset's name, or its folder's.

    Raises:
        LabelError: no labels, an id that is no whole number, or one id under two names.
    """
    if isinstance(dataset_json, Mapping):
        content, folder = dataset_json, ""
    else:
        path = Path(dataset_json)
        content, folder = read_json_object(path, error=LabelError), path.resolve().parent.name
    where = str(folder or content.get("name") or "dataset.json")
    labels = content.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise LabelError(f"{where}: no 'labels'; write them as {{'background': 0, 'NAME': 1, ...}}")
    ids_by_name = {label: _ids(value, label, where) for label, value in _by_name(labels).items()}
    ids_by_name.pop(BACKGROUND, None)
    ignore = ids_by_name.pop(IGNORE, None)
    if ignore is not None and len(ignore) != 1:
        raise LabelError(f"{where}: label '{IGNORE}' is {list(ignore)}; allowed: one whole number")
    singles = {label: ids[0] for label, ids in ids_by_name.items() if len(ids) == 1}
    regions = {label: ids for label, ids in ids_by_name.items() if len(ids) > 1}
    structures = _structures(singles, regions, where)
    by_id = {structure.id: structure.name for structure in structures}
    mirrors = guess_mirrors([structure.name for structure in structures])
    groups = {label: tuple(by_id[number] for number in ids) for label, ids in regions.items()}
    taken = {*groups, *by_id.values()}
    guessed = {group: members for group, members in guess_groups(list(by_id.values())).items() if group not in taken}
    return LabelScheme(
        name=name or str(content.get("name") or folder or "nnunet"),
        structures=tuple(Structure(one.name, one.id, mirrors.get(one.name)) for one in structures),
        groups={**groups, **guessed},
        ignore_id=ignore[0] if ignore else None,
    )


def _by_name(labels: Mapping[str, Any]) -> dict[str, Any]:
    # nnU-Net v1 wrote the number as the key
    is_old_form = all(str(key).strip().isdigit() for key in labels) and any(
        isinstance(value, str) and not value.strip().isdigit() for value in labels.values()
    )
    return {str(value): key for key, value in labels.items()} if is_old_form else {str(k): v for k, v in labels.items()}


def _ids(value: Any, label: str, where: str) -> tuple[int, ...]:
    listed = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    ids = []
    for one in listed:
        text = str(one).strip()
        is_whole = text.isdigit() or (isinstance(one, float) and one.is_integer() and one >= 0)
        if isinstance(one, bool) or not is_whole:
            raise LabelError(
                f"{where}: label {label!r} is {one!r}; allowed: whole numbers from 0, or a list of them for a region"
            )
        ids.append(int(float(text)))
    if not ids:
        raise LabelError(f"{where}: label {label!r} is an empty list; name at least one label id")
    return tuple(dict.fromkeys(ids))


def _structures(singles: Mapping[str, int], regions: Mapping[str, Sequence[int]], where: str) -> list[Structure]:
    named: dict[int, str] = {}
    for label, number in singles.items():
        if number in named:
            raise LabelError(
                f"{where}: labels {named[number]!r} and {label!r} are both {number}; give each its own number"
            )
        named[number] = label
    for ids in regions.values():
        for number in ids:
            if number != 0:
                named.setdefault(number, f"label_{number}")
    return [Structure(named[number], number) for number in sorted(named)]
