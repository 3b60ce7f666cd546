"""The augmentation bank: warped copies of the training label maps and pairs, made once and kept on disk.

Integrating a diffeomorphism costs seconds, a training step less than one: the warps are drawn beforehand, and the
training loop reads them. A bank is resumed file by file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from synthaug.configuration.limits import allowed
from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file
from synthaug.files.tensors import write_tensors
from synthaug.fitting.cases import FittingCase
from synthaug.fitting.inflated_case import fill_from_case, inflator_of
from synthaug.warps.displacement import compose, warp_image, warp_labels
from synthaug.warps.random_warp import RandomWarp

FINISHED = "finished.json"
"""In the folder of a bank to which nothing is added any more."""


@dataclass(frozen=True)
class BankSettings:
    """How the bank is filled.

    Attributes:
        label_variants: label maps for each case: the case itself, then warped copies with inflated or deflated
            ventricles.
        tail_variants: further label maps for each case whose volume is in the upper quarter of the range: few cases are
            naturally that large, and they are what the generator is for.
        pair_variants: pairs for each case that has an image: the case itself, then warped copies at their own volume.
        inflated_pair_variants: further pairs for each such case, with the first control inflated or deflated and its
            interior filled with the case's own fluid; for fluid that is dark in the image, as ventricles are in T1.
        volume_range_ml: inflation targets are log-uniform between these, in mL; None: nothing is inflated.
        max_factor: no case's ventricles grow or shrink by more than this factor.
        warp: ranges of the random warps.
        share: share of a fit's budget after which no further variants are made; 0: all are made, on top of the budget.
    """

    label_variants: int = field(default=6, metadata=allowed(low=0))
    tail_variants: int = field(default=1, metadata=allowed(low=0))
    pair_variants: int = field(default=3, metadata=allowed(low=1))
    inflated_pair_variants: int = field(default=0, metadata=allowed(low=0))
    volume_range_ml: tuple[float, float] | None = field(default=None, metadata=allowed(above=0))
    max_factor: float = field(default=6.0, metadata=allowed(low=1))
    warp: RandomWarp = field(default_factory=RandomWarp)
    share: float = field(default=0.0, metadata=allowed(low=0, below=1))


@dataclass(frozen=True)
class BankItem:
    """One label map, or pair, of the bank.

    Attributes:
        label: ``(X, Y, Z)`` uint8.
        image: ``(C, X, Y, Z)`` float16 in normalised units, or None.
    """

    label: torch.Tensor
    image: torch.Tensor | None


class Bank:
    """Folder of bank items, one safetensors file each.

    Args:
        folder: where the items are; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def paths(self, kind: str) -> list[Path]:
        """Files of one kind, ``labels`` or ``pairs``, in a fixed order."""
        return sorted(self.folder.glob(f"{kind}_*.safetensors"))

    def unwarped(self, kind: str) -> list[Path]:
        """Those of them that hold the cases as they are."""
        return [path for path in self.paths(kind) if path.stem.endswith("_00")]

    @staticmethod
    def read(path: Path) -> BankItem:
        """Read one item."""
        tensors = load_file(path)
        return BankItem(label=tensors["label"], image=tensors.get("image"))

    def build(
        self,
        cases: Sequence[FittingCase],
        settings: BankSettings,
        *,
        growth: Mapping[int, float],
        fluid_ids: Sequence[int],
        spacing_mm: float,
        seed: int,
        seconds: float = math.inf,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Make what is missing; once a bank is finished, or its time is spent, nothing is added to it.

        Args:
            cases: training cases on the generator's grid.
            settings: how many variants, and their ranges.
            growth: ids of the structures that are inflated and deflated, with their relative rates of growth.
            fluid_ids: ids that give way first.
            spacing_mm: isotropic spacing of the grid.
            seed: seed of all draws; each item has its own stream.
            seconds: after which, in this run, variants beyond each case's first are left out.
            progress: called with the items done and the items in all.

        Raises:
            ConfigurationError: two cases with one identifier, whose files would be the same.
        """
        refuse_repeated_identifiers(cases)
        finished = self.folder / FINISHED
        if finished.exists():
            return
        began = time.monotonic()
        work = list(_work(cases, settings))
        variants = _Variants(settings, growth, fluid_ids, spacing_mm)
        make = {"labels": variants.label, "pairs": variants.pair}
        for done, (kind, index, case, variant) in enumerate(work):
            path = self.folder / f"{kind}_{case.identifier}_{variant:02d}.safetensors"
            if variant > 0 and time.monotonic() - began > seconds:
                break
            if not path.exists():
                rng = np.random.default_rng([seed, index, variant, kind == "pairs"])
                _write(path, make[kind](case, variant, rng))
            progress(done + 1, len(work))
        replace_file(finished, b"{}")


def refuse_repeated_identifiers(cases: Sequence[FittingCase]) -> None:
    """Refuse two cases with one identifier: they would share their files, and the second would be left out.

    Raises:
        ConfigurationError: names them.
    """
    identifiers = [case.identifier for case in cases]
    repeated = sorted({name for name in identifiers if identifiers.count(name) > 1})
    if repeated:
        raise ConfigurationError(
            f"cases to fit on: {', '.join(repeated)} more than once; give each case once and each file its own name"
        )


def _work(cases: Sequence[FittingCase], settings: BankSettings) -> Iterator[tuple[str, int, FittingCase, int]]:
    """All items, the first variant of every case before the second of any: a bank cut short is still balanced."""
    label_variants = settings.label_variants + settings.tail_variants
    pair_variants = settings.pair_variants + settings.inflated_pair_variants
    for variant in range(max(label_variants, pair_variants)):
        for index, case in enumerate(cases):
            if variant < pair_variants and case.image is not None:
                yield "pairs", index, case, variant
            if variant < label_variants:
                yield "labels", index, case, variant


@dataclass(frozen=True)
class _Variants:
    """Makes the items of a bank.

    Attributes:
        settings: how many variants, and their ranges.
        growth: ids that grow, with their relative rates.
        fluid_ids: ids that give way first.
        spacing_mm: isotropic spacing of the grid.
    """

    settings: BankSettings
    growth: Mapping[int, float]
    fluid_ids: Sequence[int]
    spacing_mm: float

    def label(self, case: FittingCase, variant: int, rng: np.random.Generator) -> BankItem:
        """The label map itself, then inflated and warped copies."""
        if variant == 0:
            return BankItem(case.label, None)
        field = self._inflated(case, self._random_warp(case, rng), variant - 1, self.settings.label_variants - 1, rng)
        return BankItem(warp_labels(case.label.long(), field).to(torch.uint8), None)

    def pair(self, case: FittingCase, variant: int, rng: np.random.Generator) -> BankItem:
        """The pair itself, then warped copies, then inflated, warped and filled ones."""
        assert case.image is not None
        if variant == 0:
            return BankItem(case.label, case.image.half())
        field = self._random_warp(case, rng)
        number = variant - self.settings.pair_variants
        if number >= 0:
            field = self._inflated(case, field, number, self.settings.inflated_pair_variants, rng)
        label = warp_labels(case.label.long(), field)
        # Background stays exactly zero: the generator's contract.
        image = warp_image(case.image.float(), field) * (label > 0)
        if number >= 0:
            seed, growing = int(rng.integers(2**53)), list(self.growth)
            image = fill_from_case(case, image, label, growing, spacing_mm=self.spacing_mm, seed=seed)
        return BankItem(label.to(torch.uint8), image.half())

    def _random_warp(self, case: FittingCase, rng: np.random.Generator) -> torch.Tensor:
        return self.settings.warp.draw(case.label.shape, self.spacing_mm, rng)

    def _inflated(
        self, case: FittingCase, field: torch.Tensor, number: int, among: int, rng: np.random.Generator
    ) -> torch.Tensor:
        """Field after an inflation of what grows: the ``number``-th of ``among``, or beyond them one of the tail."""
        label = case.label.long()
        if self.settings.volume_range_ml is None or not bool(torch.isin(label, torch.tensor(list(self.growth))).any()):
            return field
        inflator = inflator_of(label, self.growth, self.fluid_ids, self.spacing_mm)
        limits = (self.settings.volume_range_ml, self.settings.max_factor)
        factor = math.exp(_draw_log_factor(inflator.volume_ml, number, among, *limits, rng))
        return compose(field, inflator.search_field(inflator.volume_ml * factor))


def _draw_log_factor(
    volume_ml: float,
    number: int,
    among: int,
    range_ml: tuple[float, float],
    max_factor: float,
    rng: np.random.Generator,
) -> float:
    """Logarithm of the growth of a case's ventricles, within what the settings allow from its own volume."""
    reach = math.log(max_factor)
    lowest, highest = (math.log(limit) for limit in range_ml)
    if number >= among:
        lowest = highest - (highest - lowest) / 4
        share = rng.random()
    else:
        # Stratified over the variants, so that a handful of them covers the range evenly.
        share = (number + rng.random()) / max(among, 1)
    low, high = (min(max(limit - math.log(volume_ml), -reach), reach) for limit in (lowest, highest))
    return low + share * (high - low)


def _write(path: Path, item: BankItem) -> None:
    write_tensors(path, {"label": item.label} if item.image is None else {"label": item.label, "image": item.image})
