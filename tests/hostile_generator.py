"""A generator, and real cases, whose names would run as scripts in a page that does not escape them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthaug.conditions import Condition, VolumeBounds
from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

SCRIPT = "<script>alert(1)</script>"
HANDLER = 'x"onerror="alert(2)'


def hostile_scheme() -> LabelScheme:
    """The structures of ``ventricles-t1``; cortex and the group of the ventricles have hostile names."""
    plain = LabelScheme.load("ventricles-t1")
    structures = tuple(replace(one, name=HANDLER) if one.name == "cerebral_cortex" else one for one in plain.structures)
    return LabelScheme(
        "hostile", structures, {"ventricles": plain.groups["ventricles"], SCRIPT: plain.groups["ventricles"]}
    )


class HostileGenerator(StandInGenerator):
    """The stand-in, with hostile names in its scheme and its provenance."""

    name = f"{SCRIPT}$\\frac$"

    def __init__(self) -> None:
        super().__init__()
        self.scheme = hostile_scheme()
        self.bounds = VolumeBounds({SCRIPT: (5.0, 150.0)})

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Pairs of the stand-in under other names."""
        asked = [Condition({"ventricles": one.targets_ml[SCRIPT]}) for one in conditions]
        pairs = StandInGenerator().generate(asked, seeds)
        provenance = {"generator": self.name, "generator_sha256": HANDLER}
        return [
            replace(
                pair,
                scheme=self.scheme,
                provenance={**pair.provenance, **provenance, "requested_ml": dict(condition.targets_ml)},
            )
            for pair, condition in zip(pairs, conditions, strict=True)
        ]


def make(**options: Any) -> HostileGenerator:
    """Factory for ``--generator python:tests.hostile_generator:make``."""
    return HostileGenerator()


def write_hostile_dataset(folder: Path, count: int) -> list[str]:
    """Write a raw dataset of the stand-in's heads with hostile names; gives those of the cases."""
    from tests.raw_dataset import write_raw_dataset

    names = [f"{HANDLER}<i>{index}" for index in range(count)]
    write_raw_dataset(folder, names, scheme=hostile_scheme())
    return names
