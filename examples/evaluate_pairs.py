"""Are pairs what they were asked to be? Volumes requested and realised, faults of anatomy, and a picture.

    python examples/evaluate_pairs.py --out evaluated
    python examples/evaluate_pairs.py --cache CACHE --out evaluated

``synthaug evaluate`` does the same and more (fidelity, alignment, memorisation, intervals) and writes a page.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from synthaug.demo.example_cases import example_cache, example_parser
from synthaug.evaluation.anatomy import Anatomy
from synthaug.evaluation.control import ControlPoint, ControlReport
from synthaug.reports.preview import preview_pairs
from synthaug.store import Store
from synthaug.volumes import LabeledVolume

MOST_SHOWN = 4


def main() -> None:
    """Measure each pair of a cache."""
    parser = example_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("evaluated"), help="folder of the picture")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        store = Store.open(example_cache(arguments, Path(work)))
        points = []
        shown: dict[str, LabeledVolume] = {}
        for name in store.names():
            pair = store.read(name)
            ((structure, requested_ml), *_) = pair.provenance["requested_ml"].items()
            realised_ml = pair.volumes_ml()[structure]
            points.append(ControlPoint(name, requested_ml, realised_ml))
            anatomy = Anatomy.of(name, pair.label, pair.scheme, pair.voxel_volume_ml)
            print(f"{structure}: asked for {requested_ml:.1f} mL, is {realised_ml:.1f} mL; "
                  f"faults: {', '.join(anatomy.faults) or 'none'}")  # fmt: skip
            if len(shown) < MOST_SHOWN:
                shown[f"{realised_ml:.0f} mL"] = pair
        report = ControlReport(structure, tuple(points)).to_dict()
        print(f"mean absolute error {report['mae_ml']:.2f} mL, slope {report['slope_through_origin']:.3f}")
        arguments.out.mkdir(parents=True, exist_ok=True)
        preview_pairs(arguments.out / "pairs.png", list(shown.values()), list(shown))
        print(arguments.out / "pairs.png")


if __name__ == "__main__":
    main()
