"""Volumes and shares that move with the training: large ventricles first, real cases alone at the end.

    python examples/schedule_curriculum.py
    python examples/schedule_curriculum.py --data nnUNet_raw/Dataset501_Malf --cache CACHE

Prints what each epoch draws. A training would put its loop where this script reads the statistics.
"""

from __future__ import annotations

from monai.data import Dataset
from monai.transforms import Compose, LoadImaged, NormalizeIntensityd, SpatialPadd

from synthaug import SynthAugment
from synthaug.demo.example_cases import example_cases, example_parser

KEYS = ("image", "label")
EPOCHS = 10
CASES_REPEATED = 10
VOLUMES_ML = {
    "kind": "piecewise",
    "stages": [
        {"until": 0.4, "schedule": {"kind": "uniform", "low_ml": 60, "high_ml": 120}},
        {"until": 1.0, "schedule": {"kind": "uniform", "low_ml": 20, "high_ml": 120}},
    ],
}
SHARE = "mixed-then-real:0.5:0.8"
"""Half of the items are synthetic for the first 80 % of the training, none from there on."""


def main() -> None:
    """Follow the epochs."""
    arguments = example_parser(__doc__).parse_args()
    with example_cases(arguments) as cases:
        steps = [
            LoadImaged(KEYS, ensure_channel_first=True),
            NormalizeIntensityd("image"),
            SpatialPadd(KEYS, (32,) * 3),
        ]
        real = Dataset(cases.training * CASES_REPEATED, Compose(steps))
        mixed = SynthAugment(
            real, cases.cache, SHARE, VOLUMES_ML, transform="dataset", mapping=cases.mapping, epochs=EPOCHS
        )
        print("epoch  synthetic  ventricles in mL: least, median, most")
        for epoch in range(EPOCHS):
            mixed.set_epoch(epoch)
            stats = mixed.stats()
            volumes = stats.get("volume_ml", {})
            told = ", ".join(f"{volumes[name]:.0f}" for name in ("min", "median", "max")) if volumes else "-"
            print(f"{epoch:5}  {stats['synthetic']:3} of {stats['items']}  {told}")


if __name__ == "__main__":
    main()
