"""Draws ``medgen3d.png``: two pairs of a fit of MedGen3D.

    synthaug fit 501 --fold 0 --generator medgen3d --budget 12m --out my-medgen3d
    python docs/pictures/medgen3d.py --generator my-medgen3d

No weights of MedGen3D ship: it is fitted to cases of one's own first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from synthaug import Condition, load_generator
from synthaug.reports.preview import preview_pairs

VOLUMES_ML = (12.0, 24.0)


def main() -> None:
    """Sample and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--generator", required=True, help="folder of the fit")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().with_suffix(".png"), help="PNG file")
    given = parser.parse_args()
    generator = load_generator(given.generator)
    pairs = [generator.generate([Condition({"ventricles": ml})], [i])[0] for i, ml in enumerate(VOLUMES_ML)]
    preview_pairs(given.out, pairs, [f"ventricles {ml:g} mL" for ml in VOLUMES_ML])
    print(given.out)


if __name__ == "__main__":
    main()
