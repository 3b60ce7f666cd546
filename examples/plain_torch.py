"""Mix synthetic pairs into a plain torch data set of (image, label) tensors, made by a generator while training waits.

    python examples/plain_torch.py
    python examples/plain_torch.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 200

The real data set is any map-style data set that returns a pair (image, label).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from synthaug import SynthAugment
from synthaug.demo.example_cases import nnunet_files
from synthaug.demo.stand_ins import FIRST_SEED, make_stand_in
from synthaug.generators.protocol import PairGenerator
from synthaug.labels import LabelScheme, propose_mapping
from synthaug.precomputing import load_named_generator
from synthaug.schedules import parse_schedule
from synthaug.sources import GeneratorSource
from synthaug.volumes import LabeledVolume, read_pair

Pair = tuple[torch.Tensor, torch.Tensor]


class RealPairs(Dataset[Pair]):
    """Image ``(1, X, Y, Z)`` float32 with mean 0 and deviation 1 inside the head, label ``(1, X, Y, Z)`` int64."""

    def __init__(self, cases: list[LabeledVolume]) -> None:
        self.cases = cases

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Pair:
        case = self.cases[index]
        return normalise(torch.from_numpy(case.image)), torch.from_numpy(case.label)[None].long()


def real_cases(data: Path | None, generator: PairGenerator) -> list[LabeledVolume]:
    """Cases of a raw nnU-Net data set with the generator's channels, or stand-ins for them."""
    if data is None:
        print("no --data: stand-ins for real cases; no figure below says anything about patients")
        return [make_stand_in(generator, FIRST_SEED + number) for number in range(3)]
    scheme = LabelScheme.from_nnunet(data / "dataset.json")
    images = [
        (one["image"] if isinstance(one["image"], list) else [one["image"]], one["label"]) for one in nnunet_files(data)
    ]
    return [read_pair(image, label, scheme, generator.channels) for image, label in images]


def normalise(image: torch.Tensor) -> torch.Tensor:
    """Z-score of the voxels that are not background."""
    inside = image != 0
    return torch.where(inside, (image - image[inside].mean()) / image[inside].std(), 0.0)


def like_real(sample: dict[str, torch.Tensor], shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Bring a synthetic pair to the real ones' grid and intensities."""
    image = functional.interpolate(sample["image"][None], size=shape, mode="trilinear", align_corners=False)[0]
    label = functional.interpolate(sample["label"][None].float(), size=shape, mode="nearest")[0].long()
    return {"image": normalise(torch.where(label > 0, image, 0.0)), "label": label}


def main() -> None:
    """Train a tiny network for a few steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="raw nnU-Net data set folder; default: stand-ins are made")
    parser.add_argument("--cache", type=Path, help="draw from this cache instead of generating while training")
    parser.add_argument("--generator", default="ventricles-t1-1mm")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--distinct", type=int, default=3, help="how many different pairs the generator makes")
    arguments = parser.parse_args()
    torch.manual_seed(0)

    generator: PairGenerator = load_named_generator(arguments.generator)
    cases = real_cases(arguments.data, generator)
    real, scheme, shape = RealPairs(cases), cases[0].scheme, cases[0].label.shape
    print(f"{len(real)} cases, the first of {shape} voxels")

    source = arguments.cache or GeneratorSource(
        generator, parse_schedule("uniform:20:120"), distinct=arguments.distinct, capacity=arguments.distinct
    )
    mixed = SynthAugment(
        real,
        source,
        ratio=0.5,
        transform=lambda sample: like_real(sample, shape),
        mapping=propose_mapping(generator.scheme, scheme),
    )

    network = nn.Sequential(
        nn.Conv3d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv3d(16, scheme.num_classes, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    done = 0
    for epoch in range(arguments.steps):
        mixed.set_epoch(epoch, progress=done / arguments.steps)
        for image, label in DataLoader(mixed, batch_size=1, shuffle=True):
            loss = functional.cross_entropy(network(image), label[:, 0])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done += 1
            if done % 5 == 0 or done == arguments.steps:
                print(f"step {done}/{arguments.steps}  loss {loss.item():.3f}", flush=True)
            if done == arguments.steps:
                return


if __name__ == "__main__":
    main()
