"""Licences of weights: which are stated, and what the Hugging Face Hub calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable

HUB_LICENCES = {
    "apache20": "apache-2.0", "mit": "mit", "bsd3clause": "bsd-3-clause", "cc010": "cc0-1.0", "ccby40": "cc-by-4.0",
    "ccbysa40": "cc-by-sa-4.0", "ccbync40": "cc-by-nc-4.0", "ccbyncsa40": "cc-by-nc-sa-4.0", "ccbynd40": "cc-by-nd-4.0",
    "ccbyncnd40": "cc-by-nc-nd-4.0",
}  # fmt: skip
"""The Hub's name of a licence by its letters and digits."""

NOT_STATED = ("", "unknown", "none", "that of the training data")
"""What a configuration says where nobody stated a licence."""

_JOINT = "; "


def is_stated(licence: str | None) -> bool:
    """Whether a configuration states a licence, for each part of one that was joined."""
    parts = (licence or "").split(_JOINT.strip())
    return all(part.strip().lower() not in NOT_STATED for part in parts)


def joined_licences(licences: Iterable[str | None]) -> str | None:
    """The licences of parts as one text; None where any states none."""
    given = list(dict.fromkeys(licences))
    return _JOINT.join(str(one) for one in given) if all(map(is_stated, given)) else None


def hub_licence(licence: str) -> str | None:
    """The Hub's name of a licence; None for one that it has no name of."""
    return HUB_LICENCES.get(_letters(licence))


def is_same_licence(one: str, other: str) -> bool:
    """Whether two texts name one licence: ``CC BY-NC 4.0`` and ``cc-by-nc-4.0``."""
    return _letters(one) == _letters(other)


def _letters(licence: str) -> str:
    return re.sub("[^a-z0-9]", "", licence.lower())
