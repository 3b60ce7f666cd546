"""A report as one HTML file: no script, nothing fetched, pictures within it; all text is escaped. And as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthaug.files.atomic import replace_file

TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names it.

    Attributes:
        columns: headings.
        rows: as many cells each as there are columns.
        caption: line above it.
        folded: shown only when opened.
        prose: the last column holds sentences, not figures.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: bool = False
    prose: bool = False

    def to_markdown(self) -> list[str]:
        """Lines, with the caption; none for a folded table, which is too long for a text."""
        if self.folded:
            return []
        return [*([cell(self.caption), ""] if self.caption else []), *markdown_table(self.columns, self.rows), ""]


@dataclass(frozen=True)
class Picture:
    """A picture with what is said below it.

    Attributes:
        png: for light pages, and for dark ones where there is no other.
        alternative: what it shows, for those who do not see it.
        title: line below it.
        provenance: facts below the title, by name.
        dark_png: the same picture for dark pages.
        wide: takes the page's whole width.
    """

    png: bytes
    alternative: str
    title: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    dark_png: bytes | None = None
    wide: bool = False

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return _data_uri(self.png)

    @property
    def dark_uri(self) -> str | None:
        """The picture for dark pages as a data URI."""
        return None if self.dark_png is None else _data_uri(self.dark_png)


@dataclass(frozen=True)
class Gallery:
    """Pictures that belong together.

    Attributes:
        title: heading.
        pictures: in reading order.
        note: line below the heading.
        colours: structure and its colour, ``#rrggbb``: the legend of the pictures.
    """

    title: str
    pictures: Sequence[Picture]
    note: str = ""
    colours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: heading.
        notes: paragraphs: what was measured, and how to read it.
        tables: below the paragraphs.
        galleries: below the tables.
    """

    title: str
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()

    def to_markdown(self) -> list[str]:
        """Lines: the heading, the paragraphs, the tables that are not folded."""
        notes = (line for note in self.notes for line in (cell(note), ""))
        return [f"## {cell(self.title)}", "", *notes, *(line for table in self.tables for line in table.to_markdown())]


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: heading.
        facts: what the report is about, by name.
        sections: its parts, listed at the top.
        lead: what a reader should know at a glance.
        footnotes: paragraphs at the end.
    """

    title: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
    lead: Sequence[str] = ()
    footnotes: Sequence[str] = ()

    def to_html(self) -> str:
        """The whole file as text."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("synthaug.reports", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template(TEMPLATE).render(page=self)

    def to_markdown(self) -> str:
        """Everything but the pictures and the folded tables, as text."""
        lead = [f"- {cell(line)}" for line in self.lead]
        sections = [line for one in self.sections for line in one.to_markdown()]
        facts = [f"- {cell(name)}: {cell(value)}" for name, value in self.facts.items()]
        notes = [line for note in self.footnotes for line in ("", cell(note))]
        return "\n".join([f"# {cell(self.title)}", "", *lead, "", *sections, "## About", "", *facts, *notes]) + "\n"

    def write(self, path: Path) -> None:
        """Write the file; an existing one is replaced at once or not at all."""
        # names of files may hold bytes that are no UTF-8, which Python keeps as lone surrogates
        replace_file(path, self.to_html().encode(errors="replace"))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[str]:
    """Lines of a table whose first columns hold words and whose others hold figures."""
    rule = "|" + "---|" * text_columns + "---:|" * (len(columns) - text_columns)
    head, *lines = (f"| {' | '.join(map(cell, row))} |" for row in (columns, *rows))
    return [head, rule, *lines]


def cell(text: str) -> str:
    """Text that stays within its line and its cell in Markdown."""
    return " ".join(text.replace("|", "\\|").split())


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
