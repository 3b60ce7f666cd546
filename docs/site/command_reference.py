"""Commands and their options as Markdown, from the command line's own help."""

from __future__ import annotations

import re
from typing import Any

import typer

from synthaug.cli import app


def command_reference() -> str:
    """A section for each command, and for each command within a group."""
    sections = []
    for name in app.COMMANDS:
        command: Any = typer.main.get_command(app.build_app(name))
        sections.append(_section(command.commands[name], f"synthaug {name}", 2))
    return "\n".join(sections)


def _section(command: Any, path: str, level: int) -> str:
    """Heading, text and options of a command, then those of the commands within it."""
    lines = [f"{'#' * level} {path}", "", _prose(command.help or ""), ""]
    inner = getattr(command, "commands", None)
    if inner:
        return "\n".join(lines + [_section(one, f"{path} {name}", level + 1) for name, one in inner.items()])
    context = command.context_class(command, info_name=path)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    usage = [path, *(_argument(one) for one in arguments), *(["[OPTIONS]"] if options else [])]
    lines += ["```text", " ".join(usage), "```", "", "| | default | |", "|---|---|---|"]
    lines += [_row(f"`{_argument(one)}`", one) for one in arguments]
    lines += [_row(_option(one, context), one) for one in options]
    return "\n".join([*lines, ""])


def _prose(text: str) -> str:
    """Help text, its examples as code."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        line = " ".join(paragraph.split())
        before, _, example = line.partition("Example: ")
        paragraphs.append(f"```text\n{example}\n```" if not before and example else _escaped(line))
    return "\n\n".join(paragraphs)


def _row(name: str, parameter: Any) -> str:
    """A table's row: name, default, help."""
    default = parameter.default
    told = default is not None and default is not False and not callable(default)
    shown = "due" if parameter.required else f"`{default}`" if told else ""
    return f"| {name} | {shown} | {_escaped(' '.join((parameter.help or '').split()))} |"


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _option(parameter: Any, context: Any) -> str:
    """Names of an option and of its value, as the help has them."""
    names = parameter.get_help_record(context)[0].replace(" range>", ">")
    return "`{}`".format(" ".join(names.split()).replace("|", "\\|"))


def _escaped(text: str) -> str:
    """Text in which Markdown finds nothing to mark, and no column ends."""
    return re.sub(r"([|*_<>\[\]])", r"\\\1", text)
