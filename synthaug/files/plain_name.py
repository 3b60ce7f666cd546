"""Names that become parts of paths, whoever chose them."""

from __future__ import annotations

MAX_LENGTH = 150
"""So that endings and temporary names still fit what file systems allow."""

ALLOWED = f"up to {MAX_LENGTH} printable characters without '/' and '\\', the first no '.'"
"""For errors."""


def is_plain_name(name: object) -> bool:
    """Whether a file of this name lies in the folder that it is put into, and nowhere else."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_LENGTH
        and name.isprintable()
        and not name.startswith(".")
        and "/" not in name
        and "\\" not in name
    )
