"""How fast the ventricles of one head grow relative to each other."""

from __future__ import annotations

from collections.abc import Sequence

from synthaug.labels import LabelScheme

GROWTH_EXPONENTS: dict[str, float] = {"third": 0.65, "fourth": 0.25}
"""Word in a structure's name -> exponent ``a`` of ``volume ~ lateral ventricles ** a`` between heads; 1 for all others.

Regression of log volumes over 17 manually labelled and 20 FreeSurfer-labelled adult brains (lateral ventricles of 6 to
83 mL) gives 0.63 and 0.65 for the third ventricle, 0.14 and 0.30 for the fourth.
"""


def growth_rates(scheme: LabelScheme, ids: Sequence[int]) -> dict[int, float]:
    """Exponent of each structure, by id; a structure alone grows at rate 1."""
    names = dict(zip(scheme.ids, scheme.names, strict=True))
    rates = {}
    for number in ids:
        words = names[number].lower().replace("-", "_").replace(" ", "_").split("_")
        rates[number] = min([GROWTH_EXPONENTS[word] for word in words if word in GROWTH_EXPONENTS], default=1.0)
    if max(rates.values()) < 1:
        return dict.fromkeys(rates, 1.0)
    return rates
