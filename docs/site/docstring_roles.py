"""Extension of Griffe: names in docstrings become links.

Docstrings write names as reStructuredText roles (``:class:`~synthaug.store.Store```), which Markdown does not know.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|exc|data):`(~?)([\w.]+)`")


class DocstringRoles(griffe.Extension):
    """Writes each role as code, of the last part of the name where it is marked with ``~``."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_as_code, obj.docstring.value)


def _as_code(found: re.Match[str]) -> str:
    name = found[2].rpartition(".")[2] if found[1] else found[2]
    return f"`{name}`"
