"""Which structures lie within which, so that names of two label schemes can be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from synthaug.labels.anatomical_name import AnatomicalName, parse_anatomical_name

MATTER = ("white_matter", "gray_matter")
"""What structures must have for all that lies within the brain to be a whole one."""

BRAIN_ALONE = ("ventricles", "deep_gray_matter", "cerebellum", "brainstem")
"""One of these, too, which no other organ has: spinal cords have white and grey matter, kidneys a cortex."""


def concept_of(name: AnatomicalName) -> str:
    """The concept that a name stands for; a name that no table knows is its own concept.

    ``ventricle`` with a side is not a brain ventricle without more words: hearts have such structures too.
    """
    concept = _concept_by_words().get(name.words)
    if concept is None or (concept == "ventricles" and name.side is not None):
        return " ".join(sorted(name.words))
    return concept


def wholes_of(concept: str) -> frozenset[str]:
    """All concepts that a concept lies within, itself left out."""
    wholes: set[str] = set()
    waiting = list(_table().get(concept, {}).get("within", ()))
    while waiting:
        whole = waiting.pop()
        if whole not in wholes:
            wholes.add(whole)
            waiting.extend(_table()[whole]["within"])
    return frozenset(wholes)


def guess_groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Groups ``ventricles``, ``lateral_ventricles`` and, with white and grey matter, ``brain``, as the names say."""
    parts = {}
    for name in names:
        concept = concept_of(parse_anatomical_name(name))
        parts[name] = {concept, *wholes_of(concept)}
    wholes = {"ventricles": "ventricles", "lateral_ventricles": "lateral_ventricle"}
    found = set().union(*parts.values())
    if found.issuperset(MATTER) and found.intersection(BRAIN_ALONE):
        wholes["brain"] = "brain"
    members = {group: tuple(name for name in names if whole in parts[name]) for group, whole in wholes.items()}
    return {group: some for group, some in members.items() if some}


def guess_mirrors(names: Sequence[str]) -> dict[str, str]:
    """For each structure whose name differs from exactly one other in the side alone: that other one."""
    sides: dict[tuple[frozenset[str], str], list[str]] = {}
    for name in names:
        parsed = parse_anatomical_name(name)
        if parsed.side is not None:
            sides.setdefault((parsed.words, parsed.side), []).append(name)
    mirrors = {}
    for (words, side), found in sides.items():
        others = sides.get((words, "right" if side == "left" else "left"), [])
        if len(found) == len(others) == 1:
            mirrors[found[0]] = others[0]
    return mirrors


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    text = (resources.files("synthaug.labels") / "tables" / "anatomy.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, list[str]]] = json.loads(text)
    return table


@cache
def _concept_by_words() -> dict[frozenset[str], str]:
    return {
        parse_anatomical_name(phrase).words: concept
        for concept, entry in _table().items()
        for phrase in entry["phrases"]
    }
