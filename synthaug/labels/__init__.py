"""Label schemes, the mappings between them, and proposals for such mappings."""

from synthaug.errors import AmbiguousMappingError
from synthaug.labels.label_counts import count_labels
from synthaug.labels.mapping import LabelMapping
from synthaug.labels.proposal import propose_mapping
from synthaug.labels.scheme import BACKGROUND, LabelScheme, as_scheme, scheme_as_json
from synthaug.labels.structure import Structure
from synthaug.labels.tissue_class import (
    UNLABELLED,
    is_tissue_class,
    split_structures,
    tissue_class_names,
    whole_of_tissue_classes,
)

__all__ = [
    "BACKGROUND",
    "UNLABELLED",
    "AmbiguousMappingError",
    "LabelMapping",
    "LabelScheme",
    "Structure",
    "as_scheme",
    "count_labels",
    "is_tissue_class",
    "propose_mapping",
    "scheme_as_json",
    "split_structures",
    "tissue_class_names",
    "whole_of_tissue_classes",
]
