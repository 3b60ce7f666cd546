"""The augmentation bank: warped copies of the training label maps and pairs, made once and kept on disk.

Integrating a diffeomorphism costs seconds, a training step less than one: the warps are drawn beforehand, and the
training loop reads them. A bank is resumed file by file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from synthaug.errors import ConfigurationError
from synthaug.files.tensors import write_tensors
from synthaug.fitting.cases import FittingCase
from synthaug.warps.displacement import compose, warp_image, warp_labels
from synthaug.warps.fluid_fill import fill_fluid
from synthaug.warps.head import movable_head
from synthaug.warps.inflation import VentricleInflator
from synthaug.warps.random_warp import RandomWarp


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
        volume_range_ml: inflation targets are log-uniform between these, in mL.
        max_factor: no case's ventricles grow or shrink by more than this factor.
        warp: ranges of the random warps.
    """

    label_variants: int = 6
    tail_variants: int = 1
    pair_variants: int = 3
    inflated_pair_variants: int = 0
    volume_range_ml: tuple[float, float] = (5.0, 160.0)
    max_factor: float = 6.0
    warp: RandomWarp = field(default_factory=RandomWarp)


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
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Make what is missing.

        Args:
            cases: training cases on the generator's grid.
            settings: how many variants, and their ranges.
            growth: ids of the structures that are inflated and deflated, with their relative rates of growth.
            fluid_ids: ids that give way first.
            spacing_mm: isotropic spacing of the grid.
            seed: seed of all draws; each item has its own stream.
            progress: called with the items done and the items in all.

        Raises:
            ConfigurationError: two cases with one identifier, whose files would be the same.
        """
        refuse_repeated_identifiers(cases)
        work = list(_work(cases, settings))
        for done, (kind, index, case, variant) in enumerate(work):
            path = self.folder / f"{kind}_{case.identifier}_{variant:02d}.safetensors"
            if not path.exists():
                rng = np.random.default_rng([seed, index, variant, kind == "pairs"])
                if kind == "labels":
                    item = _label_variant(case, variant, settings, growth, fluid_ids, spacing_mm, rng)
                else:
                    item = _pair_variant(case, variant, settings, growth, fluid_ids, spacing_mm, rng)
                _write(path, item)
            progress(done + 1, len(work))


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


def _label_variant(
    case: FittingCase,
    variant: int,
    settings: BankSettings,
    growth: Mapping[int, float],
    fluid_ids: Sequence[int],
    spacing_mm: float,
    rng: np.random.Generator,
) -> BankItem:
    if variant == 0:
        return BankItem(case.label, None)
    inflation = Inflation(variant - 1, settings.label_variants - 1, growth, fluid_ids)
    field = _draw_field(case, settings, spacing_mm, rng, inflation)
    return BankItem(warp_labels(case.label.long(), field).to(torch.uint8), None)


def _pair_variant(
    case: FittingCase,
    variant: int,
    settings: BankSettings,
    growth: Mapping[int, float],
    fluid_ids: Sequence[int],
    spacing_mm: float,
    rng: np.random.Generator,
) -> BankItem:
    assert case.image is not None
    if variant == 0:
        return BankItem(case.label, case.image.half())
    inflation = None
    if variant >= settings.pair_variants:
        number = variant - settings.pair_variants
        inflation = Inflation(number, settings.inflated_pair_variants, growth, fluid_ids)
    field = _draw_field(case, settings, spacing_mm, rng, inflation)
    label = warp_labels(case.label.long(), field)
    # Background stays exactly zero: the generator's contract.
    image = warp_image(case.image.float(), field) * (label > 0)
    if inflation is not None:
        growing = torch.tensor(list(growth))
        inside, own = torch.isin(label, growing).numpy(), torch.isin(case.label.long(), growing)
        seed, spacing = int(rng.integers(2**53)), (spacing_mm,) * 3
        filled = [
            fill_fluid(warped.numpy(), inside, before[own].numpy(), spacing_mm=spacing, seed=seed)
            for warped, before in zip(image, case.image.float(), strict=True)
        ]
        image = torch.from_numpy(np.stack(filled))
    return BankItem(label.to(torch.uint8), image.half())


@dataclass(frozen=True)
class Inflation:
    """Ventricles taken to another volume.

    Attributes:
        number: 0, 1... within the range; as many as ``among`` or more for the upper quarter of it.
        among: variants that cover the range between them.
        growth: ids that grow, with their relative rates.
        fluid_ids: ids that give way first.
    """

    number: int
    among: int
    growth: Mapping[int, float]
    fluid_ids: Sequence[int]


def _draw_field(
    case: FittingCase,
    settings: BankSettings,
    spacing_mm: float,
    rng: np.random.Generator,
    inflation: Inflation | None,
) -> torch.Tensor:
    """Displacement field of a random warp, after an inflation where there is something to inflate."""
    field = settings.warp.draw(case.label.shape, spacing_mm, rng)
    label = case.label.long()
    if inflation is None or not bool(torch.isin(label, torch.tensor(list(inflation.growth))).any()):
        return field
    growing = torch.tensor(list(inflation.growth))
    head = movable_head(label, label > 0, growing, spacing_mm)
    inflator = VentricleInflator(
        label,
        list(inflation.growth),
        fluid_ids=inflation.fluid_ids,
        spacing_mm=spacing_mm,
        head=head,
        rates=inflation.growth,
    )
    target_ml = inflator.volume_ml * math.exp(_draw_log_factor(inflator.volume_ml, inflation, settings, rng))
    return compose(field, inflator.search_field(target_ml))


def _draw_log_factor(volume_ml: float, inflation: Inflation, settings: BankSettings, rng: np.random.Generator) -> float:
    """Logarithm of the growth of a case's ventricles, within what the settings allow from its own volume."""
    reach = math.log(settings.max_factor)
    lowest, highest = (math.log(limit) for limit in settings.volume_range_ml)
    if inflation.number >= inflation.among:
        lowest = highest - (highest - lowest) / 4
        share = rng.random()
    else:
        # Stratified over the variants, so that a handful of them covers the range evenly.
        share = (inflation.number + rng.random()) / max(inflation.among, 1)
    low, high = (min(max(limit - math.log(volume_ml), -reach), reach) for limit in (lowest, highest))
    return low + share * (high - low)


def _write(path: Path, item: BankItem) -> None:
    write_tensors(path, {"label": item.label} if item.image is None else {"label": item.label, "image": item.image})
