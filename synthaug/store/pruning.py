"""Taking cases out of a store by what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthaug.errors import StoreError
from synthaug.store.layout import refuse_linked_case
from synthaug.store.predicate import Predicate
from synthaug.store.views import remove_from_view, stale, view_folders

if TYPE_CHECKING:
    from synthaug.store.case import CaseEntry
    from synthaug.store.store import Store


@dataclass(frozen=True)
class Pruned:
    """What was taken out.

    Attributes:
        names: the cases.
        remaining: how many are left.
    """

    names: tuple[str, ...]
    remaining: int


def matching(store: Store, predicate: Predicate) -> list[CaseEntry]:
    """The cases that a predicate holds for, by name.

    Raises:
        StoreError: a case is damaged whose provenance is asked for, or one that matches is a symbolic link; nothing has
            been changed.
    """
    found = [
        entry
        for entry in store.entries()
        if predicate.holds(entry, store.provenance(entry.name) if predicate.needs_record else {})
    ]
    for entry in found:
        refuse_linked_case(store.folder / "cases" / entry.name)
    return found


def prune(store: Store, predicate: Predicate, *, progress: Callable[[int, int], None] | None = None) -> Pruned:
    """Take out the cases that a predicate holds for, and what views hold of them.

    Each disappears by one rename; a source that has the store open draws another case in its place. A run that is
    interrupted has taken out whole cases, and goes on when it is called again.

    Args:
        store: other processes may read it, and add to it, meanwhile.
        predicate: which cases.
        progress: called with (cases taken out, all that are to be).

    Raises:
        StoreError: a record cannot be read, a case is a symbolic link, or the disk refuses.
    """
    names = [entry.name for entry in matching(store, predicate)]
    views = view_folders(store.folder)
    for number, name in enumerate(names, start=1):
        try:
            store.remove(name)
            for view in views:
                remove_from_view(view, [name])
        except OSError as error:
            raise StoreError(
                f"{store.folder}: case {name} cannot be removed ({error.strerror or error}); mend the permissions and "
                f"run it again: {number - 1} of {len(names)} are removed, the others whole"
            ) from None
        if progress is not None:
            progress(number, len(names))
    remaining = set(store.names())
    for view, name in stale(store.folder, remaining):  # of a run that was interrupted
        remove_from_view(view, [name])
    return Pruned(tuple(names), len(remaining))


def described(entry: CaseEntry) -> str:
    """One line about a case for people to read."""
    asked = {name: round(volume_ml, 1) for name, volume_ml in entry.requested_ml.items()}
    made = {name: round(entry.realised_ml[name], 1) for name in asked if name in entry.realised_ml}
    return f"{entry.name}  requested {json.dumps(asked)} mL, realised {json.dumps(made)} mL, attempts {entry.attempts}"
