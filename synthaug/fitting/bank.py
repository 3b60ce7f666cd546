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
        volume_range_ml: inflation targets are log-uniform between these, in mL.
        max_factor: no case's ventricles grow or shrink by more than this factor.
        warp: ranges of the random warps.
    """

    label_variants: int = 6
    tail_variants: int = 1
    pair_variants: int = 3
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
                    item = _pair_variant(case, variant, settings, spacing_mm, rng)
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
    for variant in range(max(label_variants, settings.pair_variants)):
        for index, case in enumerate(cases):
            if variant < settings.pair_variants and case.image is not None:
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
    shape = case.label.shape
    field = settings.warp.draw(shape, spacing_mm, rng)
    label = case.label.long()
    growing = torch.tensor(list(growth))
    if bool(torch.isin(label, growing).any()):
        head = movable_head(label, label > 0, growing, spacing_mm)
        inflator = VentricleInflator(
            label, list(growth), fluid_ids=fluid_ids, spacing_mm=spacing_mm, head=head, rates=growth
        )
        target_ml = inflator.volume_ml * math.exp(_draw_log_factor(inflator.volume_ml, variant, settings, rng))
        field = compose(field, inflator.search_field(target_ml))
    return BankItem(warp_labels(label, field).to(torch.uint8), None)


def _draw_log_factor(volume_ml: float, variant: int, settings: BankSettings, rng: np.random.Generator) -> float:
    """Logarithm of the growth of a case's ventricles, within what the settings allow from its own volume."""
    reach = math.log(settings.max_factor)
    lowest, highest = (math.log(limit) for limit in settings.volume_range_ml)
    if variant >= settings.label_variants:
        lowest = highest - (highest - lowest) / 4
        share = rng.random()
    else:
        # Stratified over the variants, so that a handful of them covers the range evenly.
        share = (variant - 1 + rng.random()) / max(settings.label_variants - 1, 1)
    low, high = (min(max(limit - math.log(volume_ml), -reach), reach) for limit in (lowest, highest))
    return low + share * (high - low)


def _pair_variant(
    case: FittingCase, variant: int, settings: BankSettings, spacing_mm: float, rng: np.random.Generator
) -> BankItem:
    assert case.image is not None
    if variant == 0:
        return BankItem(case.label, case.image.half())
    field = settings.warp.draw(case.label.shape, spacing_mm, rng)
    label = warp_labels(case.label.long(), field)
    # Background stays exactly zero: the generator's contract.
    image = warp_image(case.image.float(), field) * (label > 0)
    return BankItem(label.to(torch.uint8), image.half())


def _write(path: Path, item: BankItem) -> None:
    write_tensors(path, {"label": item.label} if item.image is None else {"label": item.label, "image": item.image})
