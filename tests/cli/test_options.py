"""One name for one thing, over all commands."""

from __future__ import annotations

import inspect
import re
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from typer.models import OptionInfo

from synthaug.cli import app

MEANINGS: dict[str, tuple[str, str]] = {
    "--out": ("Path", "(Folder|cache)"),
    "--seed": ("int", "(same seed|[Ss]eed)"),
    "--num": ("int", "(Number|pairs)"),
    "--device": ("str", "auto"),
    "--generator": ("str", "(generator|System)"),
    "--dataset": ("str", "nnU-Net dataset"),
    "--fold": ("str", "[Ff]old.*0 to 4, or all"),
    "--schedule": ("str", "(uniform|log-uniform|mL)"),
    "--mapping": ("str", "JSON file"),
    "--json": ("bool", "one JSON document"),
    "--quiet": ("bool", "results and errors"),
    "--verbose": ("bool", "decided"),
    "--preview": ("Path", "Draw"),
}
"""Type of each shared option, and what its help speaks of."""
REPEATED_IN = {("evaluate", "--schedule")}
SHORT = {"--quiet": "-q", "--verbose": "-v", "--generator": "-g"}
OTHER_MEANINGS = {
    # (command, option): why it is not what other commands mean by it
    ("evaluate", "--control"): "the number of pairs to measure control on; of fit, the structures to control",
}


@dataclass(frozen=True)
class Given:
    """An option or argument as a command declares it."""

    name: str
    kind: str
    help: str
    repeats: bool
    short: tuple[str, ...]


def declared(command: Any) -> list[Given]:
    """The parameters of a command, from its annotations: releases of typer keep them elsewhere."""
    found = []
    for parameter in inspect.signature(command).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue  # the context
        annotation, info = get_args(parameter.annotation)
        members = [one for one in get_args(annotation) or (annotation,) if one is not type(None)]
        if isinstance(annotation, types.UnionType) and get_origin(members[0]) is list:
            inner, repeats = get_args(members[0])[0], True
        else:
            inner, repeats = members[0], get_origin(annotation) is list
        # in an annotation the first name stands where a default would
        said = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
        names = [one for one in said if one.startswith("--")]
        default = f"--{parameter.name.replace('_', '-')}" if isinstance(info, OptionInfo) else parameter.name
        short = tuple(one for one in said if not one.startswith("--"))
        found.append(Given((names or [default])[0], inner.__name__, info.help or "", repeats, short))
    return found


def commands() -> Iterator[tuple[str, list[Given]]]:
    """Each command with its parameters, ``cache info`` and the like included."""
    for name in app.COMMANDS:
        built = app.build_app(name)
        groups = {group.name: group.typer_instance for group in built.registered_groups if group.typer_instance}
        if name in groups:
            for sub in groups[name].registered_commands:
                assert sub.callback is not None
                yield f"{name} {sub.name or sub.callback.__name__}", declared(sub.callback)
        else:
            (own,) = (one for one in built.registered_commands if one.name == name)
            yield name, declared(own.callback)


ALL = dict(commands())


def options(name: str) -> dict[str, Given]:
    return {one.name: one for one in ALL[name] if one.name.startswith("--")}


@pytest.mark.parametrize("name", ALL)
def test_a_shared_option_is_the_same_in_each_command(name: str) -> None:
    for option, given in options(name).items():
        if option in MEANINGS:
            kind, meaning = MEANINGS[option]
            assert given.kind == kind, option
            assert re.search(meaning, given.help), (option, given.help)
            assert given.repeats == ((name, option) in REPEATED_IN), option


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_quiet_verbose_and_json(name: str) -> None:
    assert {"--quiet", "--verbose", "--json"} <= set(options(name))


def test_an_option_of_one_name_has_one_type_and_the_same_short_form() -> None:
    found: dict[str, set[tuple[str, tuple[str, ...]]]] = defaultdict(set)
    for name in ALL:
        for option, given in options(name).items():
            if (name, option) not in OTHER_MEANINGS:
                found[option].add((given.kind, given.short))
    assert {option: forms for option, forms in found.items() if len(forms) > 1} == {}
    assert {option: next(iter(found[option]))[1] for option in SHORT} == {key: (one,) for key, one in SHORT.items()}


@pytest.mark.parametrize("name", ALL)
def test_every_option_and_argument_explains_itself(name: str) -> None:
    assert [one.name for one in ALL[name] if not one.help] == []


def test_documents_are_printed_by_one_function() -> None:
    printing = re.compile(r"echo\((json\.dumps|canonical_json)")
    folder = Path(app.__file__).parent
    found = [path.name for path in sorted(folder.glob("*.py")) if printing.search(path.read_text())]
    assert found == ["app.py", "verbosity.py"]  # errors, and the document
