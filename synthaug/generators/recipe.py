"""How a generator was loaded, for the provenance of its pairs: enough to load it again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

from synthaug.files.canonical_json import canonical_json
from synthaug.volumes import CaseRecord, LabeledVolume

_LIBRARIES = ("synthaug", "numpy", "scipy", "monai")


def remember(generator: Any, name: str, options: Mapping[str, Any], cases: Sequence[CaseRecord] | None = None) -> None:
    """Let a generator know how it was loaded.

    Args:
        generator: gets the attribute ``recipe``; one that takes no attributes goes without.
        name: a registered name, ``org/name@commit``, or a folder, of which the last part is kept.
        options: as they were given, but for folders and files; where they cannot be written as JSON, there is no
            recipe.
        cases: records of the real cases that it draws from, if it draws from any.
    """
    recipe: dict[str, Any] = {
        "generator": without_folders(str(name)),
        "options": {key: without_folders(value) for key, value in options.items()},
    }
    if cases is not None:
        recipe["cases"] = {"number": len(cases), "sha256": records_digest(cases)}
    try:
        generator.recipe = json.loads(canonical_json(recipe))
    except (TypeError, ValueError, AttributeError):
        return


def without_folders(value: Any) -> Any:
    """A value with the last part alone of each path in it: where it lies tells of people, and its hash says what it is.

    Args:
        value: a text that begins as a path does, or stands for what is there, is one; in lists and objects too.
    """
    if isinstance(value, Mapping):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    if not isinstance(value, PurePath) and not (isinstance(value, str) and _is_path(value)):
        return value
    text = str(value).replace("\\", "/")
    return Path(text).name if Path(text).name not in ("", "..") else Path(text).resolve().name


def _is_path(text: str) -> bool:
    separated = "/" in text or "\\" in text
    begins = text.startswith(("/", "\\", "~", ".")) or text[1:3] in (":/", ":\\")
    return text in (".", "..") or (separated and (begins or os.path.exists(text)))


def recipe_of(generator: Any) -> dict[str, Any]:
    """``{"recipe": ...}`` for the provenance; empty for a generator that was not loaded by its name."""
    recipe = getattr(generator, "recipe", None)
    return {} if recipe is None else {"recipe": recipe}


def origins_of(**generators: Any) -> dict[str, str]:
    """``org/name@commit`` by the option that names a generator, for those that come from the Hub."""
    origins = {option: getattr(generator, "origin", None) for option, generator in generators.items()}
    return {option: str(origin) for option, origin in origins.items() if origin is not None}


def unrecorded_recipe(generator: Any, pair: LabeledVolume) -> dict[str, Any]:
    """``recipe_of`` a generator whose pairs do not say it themselves, as those of a user's own classes."""
    return {} if "recipe" in pair.provenance else recipe_of(generator)


def records_digest(cases: Sequence[CaseRecord]) -> str:
    """sha256 (hex) of the records of cases, in their order."""
    return hashlib.sha256(json.dumps([asdict(case) for case in cases]).encode()).hexdigest()


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide about the numbers, for the provenance."""
    import torch

    return {**_installed(), "torch": str(torch.__version__)}


def processor(device: Any) -> dict[str, Any]:
    """What else the last bits of a pair depend on, for the provenance.

    Sums are cut into parts by the number of threads, and instructions round in their own ways: on a CPU ``threads`` and
    ``processor`` (the widest instructions that torch uses), on a GPU ``processor`` (its name).

    Args:
        device: torch device that networks run on.
    """
    import torch

    if torch.device(device).type == "cuda":
        return {"processor": torch.cuda.get_device_name(device)}
    return {"threads": torch.get_num_threads(), "processor": torch.backends.cpu.get_cpu_capability()}
