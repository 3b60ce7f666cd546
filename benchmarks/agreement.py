"""Do images agree with their label maps? A segmentation network that learned real cases alone is asked.

    python benchmarks/agreement.py --raw DATASET --generated CACHE --work FOLDER --budget 15m

A small U-Net learns the cases of an nnU-Net raw data set that the cache's generator was fitted on, at 1 mm,
until its budget is spent; a run that was stopped goes on from its checkpoint in `--work`. The other cases of the data
set, which neither has seen, tell what it is worth on real images. `--inflate 60` adds each of these with its ventricles
taken to 60 mL, the image warped along and filled with its own fluid, for sizes of which there is no real case. Its Dice
of the lateral ventricles on the pairs of the cache, as a share of that, is the agreement; `--generated` repeats, and
each cache gets a table.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn
from torch.nn import functional

from synthaug.errors import SynthAugError
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_crop, draw_index
from synthaug.generators.intensity_scale import BRIGHT_PERCENTILE
from synthaug.labels import LabelScheme
from synthaug.networks.voxel_norm import normalise_each_voxel

if TYPE_CHECKING:
    from accelerate import Accelerator

    from synthaug.evaluation.agreement import Agreement
    from synthaug.fitting.cases import FittingCase
    from synthaug.store import Store
    from synthaug.volumes.grid import Grid

CHANNELS = (32, 64, 128, 128)
FOLD = 2
CROP = (96, 96, 96)
WHITE_NOISE = 0.05
GAMMA = 0.3
ZOOMED = 0.7
"""Share of crops that are zoomed."""

MOST_ZOOM = 1.7
"""Largest factor of the zoom, either way: the largest ventricles learned from are five times as large with it."""


class SegmenterLoss:
    """Cross-entropy on random crops around every structure alike, mirrored and zoomed, with random gamma and noise.

    Args:
        cases: real ones.
        scheme: theirs.
        device: where the network is.
    """

    def __init__(self, cases: Sequence[FittingCase], scheme: LabelScheme, device: torch.device) -> None:
        self._cases = cases
        self._mirror = LabelMirror(scheme.mirror_ids())
        self._device = device

    def __call__(self, network: nn.Module, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one crop, and no figures to log."""
        case = self._cases[draw_index(len(self._cases), generator)]
        assert case.image is not None
        label, image = case.label, case.image
        if draw_bool(0.5, generator):
            label, image = self._mirror(label), image.flip(1)
        label, image = self._draw_zoomed(label, image, generator)
        gamma = torch.exp(GAMMA * torch.randn((), generator=generator))
        image = image.clamp(min=0) ** gamma
        image = image + WHITE_NOISE * torch.rand((), generator=generator) * torch.randn(
            image.shape, generator=generator
        )
        logits = network(image[None].to(self._device)).float()
        return functional.cross_entropy(logits, label[None].long().to(self._device)), {}

    @staticmethod
    def _draw_zoomed(
        label: torch.Tensor, image: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop of `CROP` voxels: of a smaller or larger one, brought to that size."""
        zoom = 1.0
        if draw_bool(ZOOMED, generator):
            zoom = MOST_ZOOM ** (2 * float(torch.rand((), generator=generator)) - 1)
        size = [min(round(edge / zoom), extent) for edge, extent in zip(CROP, label.shape, strict=True)]
        crop = draw_crop(label, (size[0], size[1], size[2]), multiple=1, generator=generator)
        label, image = label[crop], image[(slice(None), *crop)]
        if tuple(label.shape) != CROP:
            label = functional.interpolate(label[None, None].float(), CROP, mode="nearest-exact")[0, 0]
            image = functional.interpolate(image[None], CROP, mode="trilinear")[0]
        return label, image


class Segmenter(nn.Module):
    """The network that is asked: a U-Net on blocks of 2x2x2 voxels, which a processor trains four times as fast.

    Args:
        channels: of the image.
        classes: of the label map.
    """

    def __init__(self, channels: int, classes: int) -> None:
        from monai.networks.nets import UNet

        super().__init__()
        strides = [2] * (len(CHANNELS) - 1)
        norm = ("GROUP", {"num_groups": 1})
        self.unet = UNet(3, channels * FOLD**3, CHANNELS[0], CHANNELS, strides, num_res_units=2, norm=norm)
        self.head = nn.Conv3d(CHANNELS[0], classes * FOLD**3, 1)
        normalise_each_voxel(self.unet)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, X, Y, Z)`` of a ``(B, C, X, Y, Z)`` image."""
        return pixelshuffle(self.head(self.unet(pixelunshuffle(image, 3, FOLD))), 3, FOLD)


@dataclass(frozen=True)
class Cases:
    """Real cases on the grid of the pairs, brought to their intensities.

    Attributes:
        training: those that a cache's generator was fitted on.
        held_out: the others.
    """

    training: list[FittingCase]
    held_out: list[FittingCase]

    @classmethod
    def read(cls, raw: Path, stores: Mapping[str, Store], grid: Grid) -> Cases:
        """All cases of a raw data set.

        Raises:
            ConfigurationError: labels or channels of a cache are others, or one of the two kinds is missing.
        """
        from synthaug.errors import ConfigurationError
        from synthaug.evaluation.real_cases import refuse_other_labels
        from synthaug.fitting.case_form import CaseForm
        from synthaug.fitting.cases import load_pair_case
        from synthaug.integrations.nnunet.dataset import NnunetDataset

        dataset = NnunetDataset(raw.name, raw, raw)
        for path, store in stores.items():
            refuse_other_labels(store.info.scheme, dataset.scheme, path)
            if len(store.info.channels) != len(dataset.channels):
                raise ConfigurationError(
                    f"{path}: has {len(store.info.channels)} channel(s), {raw} {len(dataset.channels)}"
                )
        records = [record for store in stores.values() for record in store.info.training_cases]
        found = cls([], [])
        for paths in dataset.cases.values():
            case = load_pair_case(paths, CaseForm.plain(dataset.scheme, dataset.channels, grid))
            seen = any(one.is_of(case.identifier, case.record.label_sha256) for one in records)
            (found.training if seen else found.held_out).append(case)
        for what, cases in (("that the generator was fitted on", found.training), ("held out from it", found.held_out)):
            if not cases:
                raise ConfigurationError(f"{raw}: holds no case {what}; both kinds are needed")
        return found


class Examiner:
    """A network that has learned the training cases, asked about images beside their label maps.

    Args:
        network: from images to logits.
        scheme: of the label maps.
        voxel_volume_ml: volume of a voxel in mL.
        accelerator: device and precision.
    """

    def __init__(
        self, network: nn.Module, scheme: LabelScheme, voxel_volume_ml: float, accelerator: Accelerator
    ) -> None:
        self._network = network
        self._scheme = scheme
        self._voxel_volume_ml = voxel_volume_ml
        self._device = accelerator.device

    @classmethod
    def taught(cls, cases: Cases, scheme: LabelScheme, grid: Grid, work: Path, budget_seconds: float) -> Examiner:
        """Train the network on the training cases, from the checkpoint in ``work`` where there is one.

        Raises:
            ConfigurationError: the checkpoint is of a network that learned other cases.
        """
        from accelerate import Accelerator

        from synthaug.fitting.stage import Stage, StageSettings, Turn
        from synthaug.fitting.work_identity import refuse_other_work
        from synthaug.networks.precision import choose_dtype

        assert cases.training[0].image is not None
        channels = len(cases.training[0].image)
        how = {"channels": CHANNELS, "crop": CROP, "noise": WHITE_NOISE, "gamma": GAMMA, "zoom": [ZOOMED, MOST_ZOOM]}
        identity = json.dumps({"cases": [asdict(one.record) for one in cases.training], **how})
        refuse_other_work(work / "cases.json", identity, "a network that learned other cases, or otherwise")
        is_half = choose_dtype(torch.device("cpu")) == torch.bfloat16
        accelerator = Accelerator(cpu=True, mixed_precision="bf16" if is_half else "no")
        network = Stage(
            "segmenter",
            work,
            Segmenter(channels, scheme.num_classes),
            [Turn(SegmenterLoss(cases.training, scheme, accelerator.device))],
            StageSettings(share=1.0),
            budget_seconds=budget_seconds,
            accelerator=accelerator,
            seed=0,
        ).run()
        return cls(network, scheme, grid.voxel_volume_ml, accelerator)

    @torch.inference_mode()
    def ask(self, name: str, image: torch.Tensor, label: torch.Tensor) -> Agreement:
        """What it finds on an image ``(C, X, Y, Z)`` in the intensities of the training cases."""
        from synthaug.evaluation.agreement import Agreement
        from synthaug.networks.precision import autocast, choose_dtype

        with autocast(self._device, choose_dtype(self._device)):
            found = self._network(image[None].to(self._device))[0].argmax(0)
        return Agreement.of(name, label.numpy(), found.cpu().numpy(), self._scheme, self._voxel_volume_ml)

    def ask_cases(self, cases: Sequence[FittingCase]) -> list[Agreement]:
        """What it finds on real cases."""
        return [self.ask(one.identifier, one.image, one.label) for one in cases if one.image is not None]

    def ask_store(self, store: Store) -> list[Agreement]:
        """What it finds on the pairs of a cache."""
        found = []
        for entry in store.entries():
            pair = store.read(entry.name)
            head = pair.label > 0
            bright = [np.percentile(one[head], BRIGHT_PERCENTILE) if head.any() else 1.0 for one in pair.image]
            image = torch.from_numpy(pair.image / np.array(bright, dtype=np.float32)[:, None, None, None])
            found.append(self.ask(entry.name, image, torch.from_numpy(pair.label)))
        return found


def inflated(
    cases: Sequence[FittingCase], volumes_ml: Sequence[float], scheme: LabelScheme, grid: Grid
) -> list[FittingCase]:
    """Each case with its ventricles taken to each volume."""
    from synthaug.fitting.inflated_case import inflate_case
    from synthaug.warps.growth import growth_rates

    growth = growth_rates(scheme, scheme.resolve("ventricles"))
    fluid_ids = [scheme.id_of("csf")] if "csf" in scheme.names else []
    return [
        inflate_case(one, volume_ml, growth, fluid_ids, spacing_mm=grid.spacing_mm[0], seed=0)
        for volume_ml in volumes_ml
        for one in cases
    ]


def open_stores(paths: Sequence[Path]) -> dict[str, Store]:
    """Caches by their paths.

    Raises:
        ConfigurationError: one holds no pair.
        StoreError: one is no cache.
    """
    from synthaug.errors import ConfigurationError
    from synthaug.store import Store

    stores = {str(path): Store.open(path) for path in paths}
    for path, store in stores.items():
        if not store.entries():
            raise ConfigurationError(f"{path}: holds no pair; make some with `synthaug precompute --out {path}`")
    return stores


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not yet trained, then ask."""
    from synthaug.cli.fit import parse_duration
    from synthaug.evaluation.agreement import AgreementReport
    from synthaug.volumes.grid import Grid

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="nnU-Net raw data set of real cases")
    parser.add_argument("--generated", type=Path, action="append", required=True, help="cache; repeats")
    parser.add_argument("--work", type=Path, required=True, help="folder of the network's checkpoint")
    parser.add_argument("--budget", default="15m", help="training time, such as 900s or 15m")
    parser.add_argument(
        "--inflate",
        type=float,
        action="append",
        default=[],
        metavar="ML",
        help="also ask about each held-out case with its ventricles taken to so many mL; repeats",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    stores = open_stores(options.generated)
    first = next(iter(stores.values()))
    example = first.read(first.entries()[0].name)
    grid, scheme = Grid(example.label.shape, example.spacing_mm), first.info.scheme
    cases = Cases.read(options.raw, stores, grid)
    budget_seconds = parse_duration(options.budget, "--budget")
    examiner = Examiner.taught(cases, scheme, grid, options.work, budget_seconds)
    real = examiner.ask_cases([*cases.held_out, *inflated(cases.held_out, options.inflate, scheme, grid)])
    results = {}
    for path, store in stores.items():
        report = AgreementReport(real, examiner.ask_store(store))
        results[path] = report.to_dict()
        print(f"{path}\n\n{report.to_markdown()}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SynthAugError as error:
        sys.exit(f"agreement: {error}")
