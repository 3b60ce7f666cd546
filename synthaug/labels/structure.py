"""One structure of a label scheme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """An anatomical structure and the integer that stands for it in a label map.

    Attributes:
        name: its name, unique in the scheme.
        id: its label, 1 to 32767 (label maps are int16; 0 is the background).
        mirror: name of the structure on the other side of the body; None for an unpaired or midline structure.
    """

    name: str
    id: int
    mirror: str | None = None
