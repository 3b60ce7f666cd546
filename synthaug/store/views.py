"""What is derived from a store's cases for nnU-Net: ``views/KEY/cases`` with three files a case, and their digests."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from synthaug.files.atomic import folder_entries

VIEWS_FOLDER = "views"

CASE_FILES = (".b2nd", "_seg.b2nd", ".pkl")
"""Endings, in the order in which they are put into place; the last one says that the case is complete."""


def view_folders(store: Path) -> list[Path]:
    """The views of a store that are folders of their own."""
    entries = folder_entries(store / VIEWS_FOLDER)
    names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    return [store / VIEWS_FOLDER / name for name in names]


def names_in(view: Path) -> set[str]:
    """The complete cases of a view."""
    entries = folder_entries(view / "cases")
    return {entry.name.removesuffix(CASE_FILES[-1]) for entry in entries if entry.name.endswith(CASE_FILES[-1])}


def remove_from_view(view: Path, names: Collection[str]) -> None:
    """Delete cases from a view, the mark of completeness first; a folder that is a link elsewhere is left alone."""
    endings = {"cases": tuple(reversed(CASE_FILES)), "digests": (".json",)}
    for place in [one for one in endings if not (view / one).is_symlink()]:
        for name in names:
            for ending in endings[place]:
                (view / place / f"{name}{ending}").unlink(missing_ok=True)


def stale(store: Path, stored: Collection[str]) -> Iterator[tuple[Path, str]]:
    """View and name of each case that is in a view and no longer in the store."""
    for view in view_folders(store):
        for name in sorted(names_in(view).difference(stored)):
            yield view, name
