"""Configurations from JSON, environment and command line."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from synthaug.configuration.conversion import Wrong, read_tree
from synthaug.configuration.limits import limits_of
from synthaug.configuration.problem import InvalidConfigurationError, Problem
from synthaug.configuration.text import Text
from synthaug.files.json_object import read_json_object

PREFIX = "SYNTHAUG_"
"""Environment variables that begin with it are settings."""

T = TypeVar("T")


def load_config(
    cls: type[T],
    mapping: Mapping[str, Any] | str | Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    where: str = "configuration",
    prefix: str = PREFIX,
    ignore: Collection[str] = (),
) -> T:
    """Read a frozen dataclass tree.

    Later sources win: defaults, ``mapping``, ``environment``, ``overrides``. Fields may be int, float, bool, str, Path,
    Literal, Optional and unions, tuples, lists, dictionaries with text keys, further dataclasses, or anything for which
    the field's metadata names a parser (`allowed`), which also bounds numbers. A bool is no number, and a whole number
    is a float.

    Args:
        cls: the dataclass.
        mapping: its content as JSON gives it, or the path of a JSON file; None for none.
        environment: variables to look in (``os.environ``); None reads none. ``SYNTHAUG_RATIO=0.5`` sets ``ratio`` and
            ``SYNTHAUG_QUALITY__MAX_ATTEMPTS=6`` sets ``quality.max_attempts``. Variables that resemble no field belong
            to others and are left alone.
        overrides: values by dotted key path (``{"quality.max_attempts": "6"}``), texts or typed; None means not given.
        where: file or command that the error names.
        prefix: how environment variables begin.
        ignore: environment variables that are no settings of this configuration, however near their names are.

    Raises:
        InvalidConfigurationError: all wrong entries together, each with key path, value, what is allowed and the
            nearest name.
        SynthAugError: the file is missing or unreadable.
    """
    if isinstance(mapping, (str, Path)):
        where = str(mapping) if where == "configuration" else where
        mapping = read_json_object(Path(mapping))
    if mapping is not None and not isinstance(mapping, Mapping):
        raise InvalidConfigurationError(where, [Problem("the whole", f"is {mapping!r}", "an object of settings")])
    tree = _copy(mapping or {})
    problems: list[Problem] = []
    for name, value in sorted((environment or {}).items()):
        if name.startswith(prefix) and name not in ignore:
            problems.extend(_set_from_variable(tree, cls, name, name.removeprefix(prefix), value))
    for path, value in (overrides or {}).items():
        if value is not None:
            _set(tree, path.split("."), Text(value, f"--{path}") if type(value) is str else value)
    try:
        result: T = read_tree(cls, tree)
    except Wrong as wrong:
        problems.extend(wrong.problems)
    if problems:
        raise InvalidConfigurationError(where, problems)
    return result


def _set_from_variable(tree: dict[str, Any], cls: type[Any], name: str, rest: str, value: str) -> list[Problem]:
    words = rest.split("__")
    fields = {field.name.upper(): field.name for field in dataclasses.fields(cls)}
    if words[0] not in fields:
        # other parts of the program have variables of their own; only what looks like a slip is reported
        known = _variables(cls)
        near = difflib.get_close_matches(rest, known, n=1, cutoff=0.8)
        if not near:
            return []
        meant = name.removesuffix(rest) + near[0]
        return [Problem(name, f"is {value!r}: unknown variable (did you mean {meant!r}?)", ", ".join(known))]
    _set(tree, [word.lower() for word in words], Text(value, name))
    return []


def _variables(cls: type[Any]) -> list[str]:
    kinds = get_type_hints(cls)
    names: list[str] = []
    for field in dataclasses.fields(cls):
        names.append(field.name.upper())
        kind = kinds[field.name]
        is_parsed = limits_of(field).parse is not None
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not is_parsed:
            names.extend(f"{field.name.upper()}__{inner}" for inner in _variables(kind))
    return names


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(tree.get(key), dict):
            tree[key] = {}
        tree = tree[key]
    tree[keys[-1]] = value


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}
