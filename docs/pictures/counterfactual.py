"""Draws ``counterfactual.png``: one case with its ventricles taken to four volumes.

    python docs/pictures/counterfactual.py

takes a minute on two CPU cores. The case is a pair of the shipped generator, since no real scan may be published here;
a real case is treated in the same way.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from panels import draw_panels, image_panel, label_panel, output_path, save

from synthaug import Condition, load_generator
from synthaug.generators.cases import CasePaths
from synthaug.volumes import write_image, write_label

CASE_ML, CASE_SEED = 25.0, 1
VOLUMES_ML = (10.0, 40.0, 80.0, 120.0)


def main() -> None:
    """Make the case, change it, draw both."""
    out = output_path(__file__, __doc__)
    generator = load_generator("ventricles-t1-1mm")
    (case,) = generator.generate([Condition({"ventricles": CASE_ML})], [CASE_SEED])
    with tempfile.TemporaryDirectory() as folder:
        image, label = Path(folder) / "case_0000.nii.gz", Path(folder) / "case.nii.gz"
        write_image(image, case.image, case.affine)
        write_label(label, case.label, case.affine)
        changing = load_generator(
            "counterfactual",
            cases=[CasePaths("case", (image,), label)],
            scheme=generator.scheme,
            channels=generator.channels,
            fill=True,
            random_warp=False,
        )
        pairs = [changing.generate([Condition({"ventricles": volume_ml})], [0])[0] for volume_ml in VOLUMES_ML]
    shown = [case, *pairs]
    headings = [f"the case, {CASE_ML:g} mL", *(f"{volume_ml:g} mL" for volume_ml in VOLUMES_ML)]
    rows = [[image_panel(pair) for pair in shown], [label_panel(pair) for pair in shown]]
    save(draw_panels(rows, headings, ["image", "label map"], foot="fill=true, random_warp=false"), out)


if __name__ == "__main__":
    main()
