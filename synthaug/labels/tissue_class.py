"""Names of classes by intensity, in the place of tissue that labels do not tell apart."""

from __future__ import annotations

import re

from synthaug.labels.scheme import LabelScheme

UNLABELLED = "unlabelled"
"""Tissue without a label; its classes are ``unlabelled_1`` and so on. Mappings to a dataset drop them, since it has no
structures of these names."""

OF_UNLABELLED = re.compile(UNLABELLED + r"_\d+")


def tissue_class_names(name: str, classes: int) -> list[str]:
    """Names of the classes of a structure, or of `UNLABELLED` tissue, from 1."""
    infix = "" if name == UNLABELLED else "_tissue"
    return [f"{name}{infix}_{number}" for number in range(1, classes + 1)]


def split_structures(scheme: LabelScheme) -> tuple[str, ...]:
    """Structures of a dataset that a generator's scheme has as classes by intensity: the groups of their classes."""
    return tuple(
        group
        for group, members in scheme.groups.items()
        if list(members) == tissue_class_names(group, len(members)) and len(members) > 1
    )


def whole_of_tissue_classes(scheme: LabelScheme) -> dict[str, str]:
    """Classes of structures that are split by intensity, each with its structure."""
    return {member: group for group in split_structures(scheme) for member in scheme.groups[group]}


def is_tissue_class(name: str, scheme: LabelScheme) -> bool:
    """Whether a structure of a generator's scheme is a class by intensity, which no dataset has."""
    return name in whole_of_tissue_classes(scheme) or bool(OF_UNLABELLED.fullmatch(name))
