"""Values converted to the types that a configuration's fields declare."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from synthaug.configuration.limits import Limits, limits_of
from synthaug.configuration.problem import Problem
from synthaug.configuration.text import Text
from synthaug.errors import SynthAugError, did_you_mean

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}
_NONE = {"none", "null", ""}


class Wrong(Exception):
    """One or several problems with a value."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def read_tree(cls: type[Any], mapping: Any, path: str = "") -> Any:
    """Make a dataclass from a mapping.

    Args:
        cls: a dataclass.
        mapping: its fields by name; `Text` values are read by type, others must have the type already.
        path: key path of the mapping.

    Raises:
        Wrong: with all problems of all fields.
    """
    if isinstance(mapping, cls):
        return mapping
    if isinstance(mapping, Text):
        mapping = mapping.pairs()
    if not isinstance(mapping, Mapping):
        raise Wrong(Problem(path or "the whole", _is(mapping), "an object of settings"))
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    types_by_name = get_type_hints(cls)
    unknown: list[Problem] = []
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in fields:
            what = f"{_is(value)}: unknown key{did_you_mean(str(key), fields)}"
            unknown.append(Problem(_join(path, key), what, ", ".join(fields)))
            continue
        try:
            values[key] = convert(value, types_by_name[key], limits_of(fields[key]), _join(path, key))
        except Wrong as wrong:
            problems.extend(wrong.problems)
    for name, field in fields.items():
        is_due = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if is_due and name not in mapping:
            problems.append(
                Problem(_join(path, name), "is missing", describe_type(types_by_name[name], limits_of(field)))
            )
    if problems:
        raise Wrong(*unknown, *problems)
    try:
        tree = cls(**values)
    except (SynthAugError, ValueError, TypeError) as error:  # what only the whole can check, in its __post_init__
        raise Wrong(*unknown, Problem(path or "the whole", f"is refused: {error}")) from error
    if unknown:
        raise Wrong(*unknown)
    return tree


def convert(value: Any, kind: Any, limits: Limits, path: str) -> Any:
    """Convert a value to a type.

    Args:
        value: as JSON gives it, a `Text`, or an object that already has the type.
        kind: the declared type.
        limits: what the field allows beyond its type.
        path: key path for the report.

    Raises:
        Wrong: the value is not of the type, or not allowed.
    """
    if limits.parse is not None:
        if type(None) in get_args(kind) and _convert_scalar(value, type(None)) is None:
            return None
        try:
            return limits.parse(str(value) if isinstance(value, Text) else value)
        except (SynthAugError, TypeError, ValueError) as error:
            raise Wrong(Problem(path, f"{_is(value)}: {error}")) from error
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return read_tree(kind, value, path)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _convert_union(value, get_args(kind), limits, path)
    if origin in (tuple, list, Sequence) or kind in (tuple, list):
        return _convert_sequence(value, kind, limits, path)
    if origin in (dict, Mapping) or kind in (dict, Mapping):
        return _convert_mapping(value, kind, limits, path)
    converted = _convert_scalar(value, kind)
    is_out_of_range = isinstance(converted, (int, float)) and not limits.allows_number(converted)
    is_no_choice = limits.choices is not None and converted not in limits.choices
    if converted is _NOT_CONVERTED or is_out_of_range or is_no_choice:
        options = get_args(kind) if origin is Literal else limits.choices or ()
        raise Wrong(
            Problem(path, _is(value) + did_you_mean(str(value), map(str, options)), describe_type(kind, limits))
        )
    return converted


def describe_type(kind: Any, limits: Limits | None = None) -> str:
    """A type and its limits, in a user's words."""
    limits = limits or Limits()
    if limits.parse is not None:
        return limits.help or "see the documentation of this setting"
    if limits.choices is not None:
        return " or ".join(_shown(choice) for choice in limits.choices)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(_shown(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(one, limits) for one in arguments)
    if origin in (tuple, list, Sequence) and arguments:
        if origin is tuple and arguments[-1] is not Ellipsis:
            return f"{len(arguments)} values: " + ", ".join(describe_type(one, limits) for one in arguments)
        return f"a list, each {describe_type(arguments[0], limits)}"
    if origin in (dict, Mapping) and arguments:
        return f"an object, each entry {describe_type(arguments[1], limits)}"
    if dataclasses.is_dataclass(kind):
        return "an object of settings"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", Path: "a path",
             type(None): "null", Any: "anything", tuple: "a list", list: "a list", dict: "an object"}  # fmt: skip
    described = words.get(kind, getattr(kind, "__name__", str(kind)))
    limited = limits.describe_range() if kind in (int, float) else ""
    return f"{described}, {limited}" if limited else described


_NOT_CONVERTED = object()


def _convert_scalar(value: Any, kind: Any) -> Any:
    text = str(value).strip() if isinstance(value, Text) else None
    if kind is Any:
        return value if text is None else _json_or_text(text)
    if kind is type(None):
        is_none = value is None if text is None else text.casefold() in _NONE
        return None if is_none else _NOT_CONVERTED
    if get_origin(kind) is Literal:
        # True == 1, so that the type has to agree too
        same = [one for one in get_args(kind) if (text == str(one) if text is not None else _equal(value, one))]
        return same[0] if same else _NOT_CONVERTED
    if kind is bool:
        if text is None:
            return value if isinstance(value, bool) else _NOT_CONVERTED
        folded = text.casefold()
        return True if folded in _TRUE else False if folded in _FALSE else _NOT_CONVERTED
    if kind in (int, float):
        return _convert_number(value if text is None else _json_or_text(text), kind)
    if kind is str:
        return str(value) if isinstance(value, str) else _NOT_CONVERTED
    if kind is Path:
        return Path(value) if isinstance(value, (str, Path)) and str(value) else _NOT_CONVERTED
    return value if isinstance(kind, type) and isinstance(value, kind) and text is None else _NOT_CONVERTED


def _convert_number(value: Any, kind: type[Any]) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _NOT_CONVERTED
    if kind is int:
        return value if isinstance(value, int) else _NOT_CONVERTED
    try:
        number = float(value)
    except OverflowError:
        return _NOT_CONVERTED
    return number if math.isfinite(number) else _NOT_CONVERTED


def _convert_union(value: Any, kinds: tuple[Any, ...], limits: Limits, path: str) -> Any:
    # a text fits str always, and so the other types come first
    ordered = sorted(kinds, key=lambda kind: kind is str) if isinstance(value, Text) else kinds
    failures: list[Wrong] = []
    for kind in ordered:
        try:
            return convert(value, kind, limits, path)
        except Wrong as wrong:
            if isinstance(value, Mapping) and dataclasses.is_dataclass(kind):
                raise  # an object can only be meant for this member, which may refuse it as a whole
            failures.append(wrong)
    inner = [wrong for wrong in failures if any(problem.path != path for problem in wrong.problems)]
    if inner:  # the value has the form of this member, and something within it is wrong
        raise inner[0]
    raise Wrong(Problem(path, _is(value), describe_type(Union[kinds], limits)))  # noqa: UP007 - built at run time


def _convert_sequence(value: Any, kind: Any, limits: Limits, path: str) -> Any:
    as_list = list in (kind, get_origin(kind))
    items = value.items() if isinstance(value, Text) else value
    arguments = get_args(kind) or (Any, Ellipsis)
    is_fixed = get_origin(kind) is tuple and arguments[-1] is not Ellipsis
    if not isinstance(items, (list, tuple)) or (is_fixed and len(items) != len(arguments)):
        raise Wrong(Problem(path, _is(value), describe_type(kind, limits)))
    kinds = arguments if is_fixed else (arguments[0],) * len(items)
    problems: list[Problem] = []
    converted = []
    for index, (item, one) in enumerate(zip(items, kinds, strict=True)):
        try:
            converted.append(convert(item, one, limits, f"{path}[{index}]"))
        except Wrong as wrong:
            problems.extend(wrong.problems)
    if problems:
        raise Wrong(*problems)
    return converted if as_list else tuple(converted)


def _convert_mapping(value: Any, kind: Any, limits: Limits, path: str) -> dict[str, Any]:
    entries = value.pairs() if isinstance(value, Text) else value
    if not isinstance(entries, Mapping) or not all(isinstance(key, str) for key in entries):
        raise Wrong(Problem(path, _is(value), describe_type(kind, limits)))
    one = (get_args(kind) or (str, Any))[1]
    problems: list[Problem] = []
    converted = {}
    for key, entry in entries.items():
        try:
            converted[str(key)] = convert(entry, one, limits, _join(path, key))
        except Wrong as wrong:
            problems.extend(wrong.problems)
    if problems:
        raise Wrong(*problems)
    return converted


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _number_or_text(text)


def _number_or_text(text: str) -> Any:
    # forms that JSON lacks, as people type them: "+5", ".5", "1."
    try:
        return float(text)
    except ValueError:
        return text


def _equal(value: Any, option: Any) -> bool:
    return type(value) is type(option) and value == option


def _is(value: Any) -> str:
    origin = f" (from {value.origin})" if isinstance(value, Text) else ""
    return f"is {_shown(value)}{origin}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(str(value))
    try:
        shown = json.dumps(value)
    except (TypeError, ValueError):
        shown = repr(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
