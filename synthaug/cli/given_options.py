"""Options that the command line gives, apart from those that have their default."""

from __future__ import annotations

import typer


def given_options(context: typer.Context) -> dict[str, list[str]]:
    """Values, as text, of the options that the command line gives, by long name; none for a flag."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name) if parameter.name else None
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[parameter.name]
        several = value if isinstance(value, (list, tuple)) else [value]
        names = parameter.secondary_opts if value is False else parameter.opts
        given[names[0]] = [] if isinstance(value, bool) else [str(one) for one in several]
    return given
