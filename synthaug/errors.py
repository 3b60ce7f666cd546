"""Errors that a user can mend: one line each that says what is wrong, where, what is allowed, and the mend.

The command line prints such an error without a traceback and exits with code 2. Whatever is not a `SynthAugError`
is a defect of the program and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthAugError(ValueError):
    """A mistake that the user can mend: base of all errors below, and raised itself for missing or unreadable files."""


class LabelError(SynthAugError):
    """A label, structure or group that the label scheme does not have, or a mapping that is not total."""


class AmbiguousMappingError(LabelError):
    """A proposed label mapping with more than one choice, or with none, for a structure."""


class GeometryError(SynthAugError):
    """A shape, affine or number of dimensions that does not fit."""


class BoundsError(SynthAugError):
    """A number outside the range that is allowed for it, a target volume in the first place."""


class ConfigurationError(SynthAugError):
    """One or several wrong entries in a configuration."""


class StoreError(SynthAugError):
    """A cache that is damaged, or that was made with something else than what is asked for."""


class LeakageError(SynthAugError):
    """Validation cases among the cases that a generator or a cache was fitted on."""


LONGEST_QUOTE = 80


def shortened(value: object, longest: int = LONGEST_QUOTE) -> str:
    """What a file or an argument holds, as a message quotes it: of a long text its beginning and its length."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def did_you_mean(wrong: str, options: Iterable[str]) -> str:
    """Suggest the nearest of the allowed names.

    Args:
        wrong: what the user wrote.
        options: the allowed names.

    Returns:
        `` (did you mean 'NAME'?)`` with a leading space, or an empty string where nothing is near.
    """
    by_folded = {option.casefold(): option for option in options}
    nearest = difflib.get_close_matches(wrong.casefold(), list(by_folded), n=1, cutoff=0.6)
    return f" (did you mean {by_folded[nearest[0]]!r}?)" if nearest else ""
