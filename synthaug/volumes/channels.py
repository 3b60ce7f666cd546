"""Which generator channel serves which channel of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from synthaug.errors import ConfigurationError

# Spellings of one contrast. Contrast-enhanced T1 ("T1ce", "T1Gd", "T1c") is another one and not in the list.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "t1": ("t1", "t1w", "t1n", "t1weighted", "t1mri", "mrit1", "mrt1", "t1mr", "t1wmri", "t1mprage", "mprage"),
    "t2": ("t2", "t2w", "t2weighted", "t2mri", "mrit2", "t2mr"),
    "flair": ("flair", "t2flair", "t2f", "flairmri", "mriflair"),
    "ct": ("ct",),
}


def canonical_channel(name: str) -> str:
    """One spelling for each contrast: ``"T1-weighted"`` and ``"t1w"`` become ``"t1"``.

    A name that no list knows loses its case and its marks.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((canonical for canonical, spellings in SYNONYMS.items() if plain in spellings), plain)


def match_channels(
    dataset_channels: Sequence[str], generator_channels: Sequence[str], renamed: Mapping[str, str] | None = None
) -> tuple[int, ...]:
    """Generator channel for each channel of the dataset.

    Args:
        dataset_channels: Names in the dataset's order.
        generator_channels: Names in the generator's order.
        renamed: What the user declares to be the same: dataset's name to generator's name.

    Returns:
        Index into ``generator_channels`` for each of ``dataset_channels``.

    Raises:
        ConfigurationError: Another number of channels, or a channel that the generator lacks.
    """
    renamed = dict(renamed or {})
    unknown = sorted(set(renamed) - set(dataset_channels)) + sorted(set(renamed.values()) - set(generator_channels))
    if unknown:
        raise ConfigurationError(
            f"channels: {', '.join(map(repr, unknown))} is neither a channel of the dataset "
            f"({', '.join(dataset_channels)}) nor of the "
            f"generator ({', '.join(generator_channels)}); write {{dataset's name: generator's name}}"
        )
    if len(dataset_channels) != len(generator_channels):
        raise ConfigurationError(
            f"the dataset has {len(dataset_channels)} channel(s) ({', '.join(dataset_channels)}) and the "
            f"generator makes {len(generator_channels)} ({', '.join(generator_channels)}); use a generator fitted on "
            "this dataset (synthaug fit)"
        )
    available = {canonical_channel(name): index for index, name in enumerate(generator_channels)}
    by_name = {name: index for index, name in enumerate(generator_channels)}
    order = []
    for name in dataset_channels:
        index = by_name[renamed[name]] if name in renamed else available.get(canonical_channel(name))
        if index is None:
            raise ConfigurationError(
                f"channel {name!r} of the dataset: the generator makes {', '.join(map(repr, generator_channels))}; "
                'if one of them is the same contrast, say so in synthaug.json: "channels": '
                f'{{"{name}": "{generator_channels[0]}"}}'
            )
        order.append(index)
    if len(set(order)) != len(order):
        raise ConfigurationError(
            f"channels {', '.join(dataset_channels)} of the dataset: two of them would take the same generator "
            'channel; name the pairs in synthaug.json under "channels"'
        )
    return tuple(order)
