"""A store with pairs of the stand-in generator."""

from __future__ import annotations

from collections.abc import Sequence

from synthaug.conditions import Condition
from synthaug.quality import check_pair
from synthaug.store import Store, case_name
from tests.stand_in_generator import StandInGenerator

VOLUMES_ML = (20.0, 35.0, 60.0)


def fill(store: Store, generator: StandInGenerator, volumes_ml: Sequence[float] = VOLUMES_ML) -> list[str]:
    """Add a pair for each volume, with the seeds 0, 1, ...; returns the names in that order."""
    names = []
    for seed, volume_ml in enumerate(volumes_ml):
        condition = Condition({"ventricles": volume_ml})
        pair = generator.generate([condition], [seed])[0]
        name = case_name(generator.fingerprint, "0" * 64, condition, seed)
        assert store.add(name, pair, check_pair(pair, condition))
        names.append(name)
    return names
