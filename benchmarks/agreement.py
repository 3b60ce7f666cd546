"""Do images agree with their label maps? A segmentation network that learned real cases alone is asked.

    python benchmarks/agreement.py --raw DATASET --generated CACHE --work FOLDER --budget 15m

A small U-Net (MONAI) learns the cases of an nnU-Net raw data set that the cache's generator was fitted on, at 1 mm,
until its budget is spent; a run that was stopped goes on from its checkpoint in `--work`. The other cases of the data
set, which neither has seen, tell what it is worth on real images. Its Dice of the lateral ventricles on the pairs of
the cache, as a share of that, is the agreement; `--generated` repeats, and each cache gets a table.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from synthaug.fitting.crops import LabelMirror, draw_bool, draw_crop, draw_index
from synthaug.labels import LabelScheme

if TYPE_CHECKING:
    from synthaug.evaluation.agreement import Agreement
    from synthaug.fitting.cases import FittingCase

CHANNELS = (16, 32, 64, 96)
CROP = (96, 96, 96)
WHITE_NOISE = 0.05
GAMMA = 0.3


class SegmenterLoss:
    """Dice and cross-entropy on random crops, mirrored, with random gamma and noise.

    Args:
        cases: real ones.
        scheme: theirs.
        device: where the network is.
    """

    def __init__(self, cases: Sequence[FittingCase], scheme: LabelScheme, device: torch.device) -> None:
        from monai.losses import DiceCELoss

        self._cases = cases
        self._mirror = LabelMirror(scheme.mirror_ids())
        self._device = device
        self._loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)

    def __call__(self, network: nn.Module, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one crop, and no figures to log."""
        case = self._cases[draw_index(len(self._cases), generator)]
        assert case.image is not None
        label, image = case.label, case.image
        if draw_bool(0.5, generator):
            label, image = self._mirror(label), image.flip(1)
        crop = draw_crop(label, CROP, multiple=1, generator=generator)
        gamma = torch.exp(GAMMA * torch.randn((), generator=generator))
        image = image[(slice(None), *crop)].clamp(min=0) ** gamma
        image = image + WHITE_NOISE * torch.rand((), generator=generator) * torch.randn(
            image.shape, generator=generator
        )
        logits = network(image[None].to(self._device)).float()
        return self._loss(logits, label[crop][None, None].long().to(self._device)), {}


def segmenter(scheme: LabelScheme, channels: int) -> nn.Module:
    """The network that is asked."""
    from monai.networks.nets import UNet

    return UNet(3, channels, scheme.num_classes, channels=CHANNELS, strides=(2, 2, 2), num_res_units=1)


def read_cases(raw: Path, scheme: LabelScheme, channels: Sequence[str], grid: Any) -> list[FittingCase]:
    """All cases of a raw data set, on the grid of the pairs and brought to their intensities."""
    from synthaug.evaluation.label_maps import case_identifier
    from synthaug.fitting.cases import load_pair_case
    from synthaug.generators.cases import CasePaths

    found = []
    for label in sorted((raw / "labelsTr").glob("*.nii*")):
        name = case_identifier(label)
        images = tuple(sorted((raw / "imagesTr").glob(f"{name}_[0-9]*.nii*")))
        found.append(load_pair_case(CasePaths(name, images, label), scheme, channels, grid))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not yet trained, then ask."""
    from accelerate import Accelerator

    from synthaug.cli.fit import parse_duration
    from synthaug.evaluation.agreement import Agreement, AgreementReport
    from synthaug.fitting.stage import Stage, StageSettings
    from synthaug.networks.precision import autocast, choose_dtype
    from synthaug.store import Store
    from synthaug.volumes.grid import Grid

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="nnU-Net raw data set of real cases")
    parser.add_argument("--generated", type=Path, action="append", required=True, help="cache; repeats")
    parser.add_argument("--work", type=Path, required=True, help="folder of the network's checkpoint")
    parser.add_argument("--budget", default="15m", help="training time, such as 900s or 15m")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    scheme = LabelScheme.from_nnunet(options.raw / "dataset.json")
    stores = {str(path): Store.open(path) for path in options.generated}
    first = next(iter(stores.values()))
    example = first.read(first.entries()[0].name)
    grid = Grid(example.label.shape, example.spacing_mm)
    seen = {case.identifier for store in stores.values() for case in store.info.training_cases}
    cases = read_cases(options.raw, scheme, first.info.channels, grid)
    training = [one for one in cases if one.identifier in seen]
    held_out = [one for one in cases if one.identifier not in seen]

    dtype = choose_dtype(torch.device("cpu"))
    accelerator = Accelerator(cpu=True, mixed_precision="bf16" if dtype == torch.bfloat16 else "no")
    network = Stage(
        "segmenter",
        options.work,
        segmenter(scheme, len(first.info.channels)),
        SegmenterLoss(training, scheme, accelerator.device),
        StageSettings(share=1.0),
        budget_seconds=parse_duration(options.budget, "--budget"),
        accelerator=accelerator,
        seed=0,
    ).run()

    @torch.inference_mode()
    def ask(name: str, image: torch.Tensor, label: torch.Tensor) -> Agreement:
        with autocast(accelerator.device, dtype):
            found = network(image[None].to(accelerator.device))[0].argmax(0)
        return Agreement.of(name, label.numpy(), found.cpu().numpy(), scheme, grid.voxel_volume_ml)

    real = [ask(one.identifier, one.image, one.label) for one in held_out if one.image is not None]
    results = {}
    for path, store in stores.items():
        samples = []
        for entry in store.entries():
            pair = store.read(entry.name)
            image = torch.from_numpy(pair.image)
            high = torch.quantile(image[:, torch.from_numpy(pair.label > 0)][:, ::7], 0.995, dim=1)
            samples.append(ask(entry.name, image / high.view(-1, 1, 1, 1), torch.from_numpy(pair.label)))
        report = AgreementReport(real, samples)
        results[path] = report.to_dict()
        print(f"{path}\n\n{report.to_markdown()}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
