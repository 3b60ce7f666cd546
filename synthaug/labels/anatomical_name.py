"""Structure names as people write them, brought to one form: the side, and the words that say which structure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIDES = {
    "left": "left", "lh": "left", "sin": "left", "sinister": "left",
    "right": "right", "rh": "right", "dx": "right", "dexter": "right",
}  # fmt: skip
_SIDE_LETTERS = {"l": "left", "r": "right"}

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "vent": ("ventricle",), "ventr": ("ventricle",), "latvent": ("lateral", "ventricle"),
    "lat": ("lateral",), "inf": ("inferior",),
    "3rd": ("third",), "iii": ("third",), "4th": ("fourth",), "iv": ("fourth",), "5th": ("fifth",),
    "wm": ("white", "matter"), "gm": ("gray", "matter"), "grey": ("gray",), "ctx": ("cortex",), "cortical": ("cortex",),
    "cerebellar": ("cerebellum",), "thalami": ("thalamus",),
    "hippocampi": ("hippocampus",), "hippocampal": ("hippocampus",),
    "vdc": ("ventral", "dc"), "cc": ("corpus", "callosum"),
}  # fmt: skip

_FILLERS = {"proper", "area", "the", "of", "and", "nucleus", "nuclei", "tissue", "structure"}


@dataclass(frozen=True)
class AnatomicalName:
    """A structure's name apart from the way it is written.

    Attributes:
        side: ``"left"``, ``"right"`` or None.
        words: the other words, in one spelling, without order.
    """

    side: str | None
    words: frozenset[str]


def parse_anatomical_name(text: str) -> AnatomicalName:
    """Bring a name to one form.

    ``Left-Inf-Lat-Vent``, ``lh inferior lateral ventricles`` and ``InfLatVent_L`` come out equal.

    Args:
        text: a name in any of the usual spellings: CamelCase, dashes, underscores, spaces; side first or last.
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    tokens = [token for token in re.split(r"[^a-z0-9]+", spaced.casefold()) if token]
    side: str | None = None
    rest: list[str] = []
    for position, token in enumerate(tokens):
        found = _SIDES.get(token)
        # a lone letter is a side only at an end of the name: "hepatitis L segment" has no side
        if found is None and len(tokens) > 1 and position in (0, len(tokens) - 1):
            found = _SIDE_LETTERS.get(token)
        if found is not None and side is None:
            side = found
        else:
            rest.append(token)
    is_ventricle = any(token.startswith("vent") for token in rest)
    words: set[str] = set()
    for token in rest:
        if is_ventricle and token in ("3", "4", "5"):  # elsewhere a number is only a number
            token = {"3": "third", "4": "fourth", "5": "fifth"}[token]
        words.update(_SYNONYMS.get(token) or (_singular(token),))
    return AnatomicalName(side, frozenset(words - _FILLERS) or frozenset(words))


def _singular(token: str) -> str:
    if token == "ventricular":
        return token
    is_plural = len(token) > 4 and token.endswith("s") and not token.endswith(("ss", "us", "is"))
    singular = token[:-1] if is_plural else token
    return _SYNONYMS.get(singular, (singular,))[0]
