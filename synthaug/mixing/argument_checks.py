"""Arguments of SynthAugment that are wrong are told when it is made, not in a worker at the first synthetic item."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Hashable, Mapping
from typing import Any

from torch import distributed as dist
from torch.utils.data import IterableDataset

from synthaug.errors import ConfigurationError
from synthaug.labels import LabelMapping
from synthaug.schedules import MixSchedule


def check_whole(name: str, value: Any, least: int) -> int:
    """A whole number, as a plain int.

    Raises:
        ConfigurationError: it is none, or below ``least``.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    return int(value)


def check_progress_told(value: Any) -> float | None:
    """Progress that a training loop tells, or None.

    Raises:
        ConfigurationError: not a number between 0 and 1.
    """
    if value is None:
        return None
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise ConfigurationError(f"progress is {value!r}; it must be a number from 0 to 1, or None")
    return float(value)


def what_moves(mix: MixSchedule, source: Any) -> str:
    """What of a mix and of a source's schedule moves with progress, in words; empty where nothing does."""
    schedule = getattr(source, "schedule", None)
    if not mix.is_constant:
        return f"ratio {mix.name}"
    return "" if schedule is None or schedule.is_constant else f"volume schedule ({schedule.kind})"


def check_countable(mix: MixSchedule, source: Any, epochs: int | None) -> None:
    """Epochs that are counted where items are asked for, often in workers, are known there alone.

    Raises:
        ConfigurationError: something moves with progress, and the training's length is not given or the source has to
            be told.
    """
    moving = what_moves(mix, source)
    if moving and epochs is None:
        raise ConfigurationError(f"count_epochs: the {moving} moves with the training's progress; give epochs= too")
    if moving and hasattr(source, "set_epoch"):
        raise ConfigurationError(
            f"count_epochs: the {moving} moves, and a live source has to be told; call set_epoch instead"
        )


def count_appended(mix: MixSchedule, real_length: int) -> int:
    """How many synthetic items stand behind the real ones, so that they are the share of the whole.

    Raises:
        ConfigurationError: the share moves, or leaves no room for real items.
    """
    share = mix.fraction(0.0)
    if not mix.is_constant or not share < 1:
        raise ConfigurationError(
            "ratio: mode 'append' has one length for all epochs, so that the ratio must be one number below 1; "
            "use mode 'replace'"
        )
    return round(real_length * share / (1 - share))


def check_state(state: Mapping[str, Any]) -> None:
    """Refuse what is no ``state_dict`` of a SynthAugment.

    Raises:
        ConfigurationError: names what it lacks.
    """
    missing = {"epoch", "progress", "seed", "rank"} - set(state)
    if missing:
        raise ConfigurationError(
            f"state lacks {', '.join(sorted(missing))}; give what state_dict() of a SynthAugment returned"
        )


def warn_of_shared_items() -> None:
    """Of several processes, each sees a part of the items in a pass: counted epochs fall behind, and nothing tells."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        warnings.warn(
            f"count_epochs: {dist.get_world_size()} processes are at work; where a sampler shares the items out among "
            "them, epochs are counted too slowly: call set_epoch(epoch) before each pass instead",
            stacklevel=3,
        )


def check_dataset(dataset: Any) -> int:
    """Number of real samples.

    Raises:
        ConfigurationError: the dataset is not map-style, or empty.
    """
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise ConfigurationError(
            f"dataset is a {type(dataset).__name__}; a map-style dataset is needed, with len(dataset) and "
            "dataset[index]: wrap it in one"
        )
    if not len(dataset):
        raise ConfigurationError("dataset: is empty; give at least one real sample")
    return len(dataset)


def check_keys(keys: Any) -> tuple[Any, Any]:
    """Keys of image and label.

    Raises:
        ConfigurationError: not two different keys.
    """
    if isinstance(keys, (tuple, list)) and len(keys) == 2 and all(isinstance(key, Hashable) for key in keys):
        image, label = keys
        if image != label:
            return image, label
    raise ConfigurationError(f'keys is {keys!r}; give the keys of image and label, for example ("image", "label")')


def check_companions(mapping: Any, extras: Any, provenance_key: Any) -> None:
    """What goes with the synthetic samples.

    Raises:
        ConfigurationError: one of them is of another kind.
    """
    if mapping is not None and not isinstance(mapping, LabelMapping):
        hint = f"LabelMapping.load({mapping!r})" if isinstance(mapping, str) else "one of LabelMapping.load(...)"
        raise ConfigurationError(f"mapping is {mapping!r}; a LabelMapping is needed: give {hint}")
    if extras is not None and not isinstance(extras, Mapping):
        raise ConfigurationError(f"extras is {extras!r}; give a dictionary of key and value, or of key and function")
    if not isinstance(provenance_key, str) or not provenance_key:
        raise ConfigurationError(f"provenance_key is {provenance_key!r}; give a text that no other key has")


def check_transformed(sample: Any, keys: tuple[Any, Any]) -> None:
    """What a transform made of a synthetic sample.

    Raises:
        ConfigurationError: no dictionary, or one without image or label.
    """
    if not isinstance(sample, Mapping):
        raise ConfigurationError(
            f"transform: gives {type(sample).__name__}; it must return the dictionary (or a list of dictionaries)"
        )
    lost = [key for key in keys if key not in sample]
    if lost:
        raise ConfigurationError(
            f"transform: drops {', '.join(map(repr, lost))}; its result must keep {keys[0]!r} and {keys[1]!r}"
        )
