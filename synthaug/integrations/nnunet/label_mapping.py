"""From the generator's structures to the labels of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from synthaug.errors import AmbiguousMappingError, ConfigurationError, LabelError
from synthaug.labels import LabelMapping, LabelScheme, propose_mapping


def map_labels(
    generator: LabelScheme,
    dataset: LabelScheme,
    decided: Mapping[str, str],
    allow_missing: Collection[str] = (),
    *,
    where: str,
) -> LabelMapping:
    """The mapping that a configuration leads to.

    Args:
        generator: Scheme of the synthetic label maps.
        dataset: Scheme of the dataset.
        decided: Structures whose label stands in the configuration; the others are proposed.
        allow_missing: Labels of the dataset that may go without synthetic examples.
        where: File that holds the configuration, for errors.

    Raises:
        AmbiguousMappingError: A structure could become several labels, or a label gets none; lists the choices.
        ConfigurationError: The configuration names what neither scheme has.
    """
    try:
        return propose_mapping(generator, dataset, decided=decided, allow_missing=allow_missing)
    except AmbiguousMappingError as error:
        raise AmbiguousMappingError(
            f'{where}: {error}; under "mapping", or in the file that --mapping names; a label that synthetic cases may '
            'lack goes under "allow_missing_labels"'
        ) from None
    except LabelError as error:
        raise ConfigurationError(f"{where}, mapping: {error}") from None


def describe_mapping(mapping: LabelMapping) -> str:
    """One line: each label of the dataset with the structures that it takes, those of the same name only counted."""
    taken: dict[str, list[str]] = {}
    for structure, label in mapping.table.items():
        taken.setdefault(label, []).append(structure)
    same = [label for label, structures in taken.items() if structures == [label]]
    parts = [f"{label} <- {', '.join(structures)}" for label, structures in taken.items() if structures != [label]]
    return "; ".join(parts + ([f"{len(same)} structure(s) keep their names"] if same else []))
