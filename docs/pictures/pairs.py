"""Draws ``pairs.png``: pairs of the shipped generator at four ventricular volumes, unfiltered.

    python docs/pictures/pairs.py

takes a minute on two CPU cores.
"""

from __future__ import annotations

from panels import draw_panels, image_panel, label_panel, output_path, save

from synthaug import Condition, load_generator

VOLUMES_ML = (10.0, 40.0, 80.0, 120.0)
SEED = 1


def main() -> None:
    """Sample and draw."""
    out = output_path(__file__, __doc__)
    generator = load_generator("ventricles-t1-1mm")
    pairs = [generator.generate([Condition({"ventricles": ml})], [SEED + i])[0] for i, ml in enumerate(VOLUMES_ML)]
    headings = [
        f"{asked:g} mL asked\n{pair.volumes_ml()['ventricles']:.1f} mL realised"
        for asked, pair in zip(VOLUMES_ML, pairs, strict=True)
    ]
    rows = [[image_panel(pair) for pair in pairs], [label_panel(pair) for pair in pairs]]
    foot = f"ventricles-t1-1mm, seeds {SEED} to {SEED + len(pairs) - 1}, {generator.fingerprint[:12]}. "
    save(draw_panels(rows, headings, ["image", "label map"], foot=foot + "The patient's right is at the left."), out)


if __name__ == "__main__":
    main()
