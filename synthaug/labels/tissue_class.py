"""Names of classes by intensity, in the place of tissue that labels do not tell apart."""

from __future__ import annotations

import re

from synthaug.labels.scheme import LabelScheme

UNLABELLED = "unlabelled"
"""Tissue without a label; its classes are ``unlabelled_1`` and so on. Mappings to a dataset drop them, since it has no
structures of these names."""

OF_STRUCTURE = re.compile(r"(?P<structure>.+)_tissue_\d+")
OF_UNLABELLED = re.compile(UNLABELLED + r"_\d+")


def tissue_class_names(name: str, classes: int) -> list[str]:
    """Names of the classes of a structure, or of `UNLABELLED` tissue, from 1."""
    infix = "" if name == UNLABELLED else "_tissue"
    return [f"{name}{infix}_{number}" for number in range(1, classes + 1)]


def is_tissue_class(name: str) -> bool:
    """Whether a structure of a generator is a class by intensity, which no dataset has."""
    return bool(OF_STRUCTURE.fullmatch(name) or OF_UNLABELLED.fullmatch(name))


def split_structures(scheme: LabelScheme) -> tuple[str, ...]:
    """Structures of a dataset that a generator's scheme has as classes by intensity."""
    found = [OF_STRUCTURE.fullmatch(name) for name in scheme.names]
    return tuple(dict.fromkeys(one["structure"] for one in found if one))
