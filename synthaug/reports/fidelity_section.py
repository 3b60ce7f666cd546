"""The part of an evaluation's report that sets images beside real ones."""

from __future__ import annotations

from collections.abc import Sequence

from synthaug.reports.evaluation_sections import INTERVAL, Facts, interval_text, range_text, value_text
from synthaug.reports.page import Gallery, Section, Table

SPREAD = "range over splits"
NOTES = (
    "Fréchet distances are means over random halves of the real cases. They have no bootstrap interval: a resample "
    "holds fewer different cases than the set, and lies farther away. The range over the halves stands in its "
    "place. A distance needs more vectors than they have dimensions.",
    "Precision: share of the samples' features that lie among real ones; recall: share of real ones that lie among "
    "those of the samples; k = 3 nearest neighbours in other images. Both are of the same halves; they have no "
    "bootstrap interval either, since an image that is drawn twice has itself for a neighbour.",
    "Diversity: MS-SSIM is 1 and LPIPS 0 between images that are alike; both at 2 mm. LPIPS by random convolutions "
    "has units of its own; weights of AlexNet (--extractor alexnet=FILE) give the published measure.",
    "Kernel distance: unbiased, 0 on average between sets of one kind however small they are, and below 0 by "
    "chance; of all samples and all real cases, whose images are resampled for the interval.",
)
"""How the figures are to be read."""


def fidelity_section(facts: Facts, galleries: Sequence[Gallery]) -> Section:
    """Images beside real ones: Fréchet distances, diversity, intensities by structure.

    Args:
        facts: the figures, as ``evaluation.json`` has them.
        galleries: pictures.
    """
    beside = (
        f"{facts['samples']} samples beside {facts['real_cases']} real cases; each figure stands beside its like among "
        "real cases, since small sets are never at distance 0."
    )
    tables = (
        _extractors(facts),
        Table(("figure", "samples", SPREAD, "real cases", SPREAD), _split_rows(facts)),
        Table(("figure", "samples", INTERVAL, "real cases", SPREAD), _kernel_rows(facts)),
        Table(("figure", "samples", INTERVAL, "real cases", INTERVAL), _diversity_rows(facts)),
        _intensities(facts),
        _worst(facts),
    )
    return Section("Fidelity", (beside, *NOTES), tables, galleries)


def _extractors(facts: Facts) -> Table:
    rows = [
        (name, *(str(one[key]) for key in ("samples", "real", "dimensions")), _sha256_of(name, facts))
        for name, one in facts["vectors"].items()
    ]
    columns = ("extractor", "vectors: samples", "vectors: real", "dimensions", "sha256 of its weights")
    return Table(columns, rows, "Feature extractors")


def _diversity_rows(facts: Facts) -> list[tuple[str, ...]]:
    """Likeness of two images of a set."""
    intervals = facts["intervals_95"]
    return [
        (
            f"{title} between two images",
            *(
                cell
                for key in ("samples", "real")
                for cell in (
                    value_text(facts[measure][key], ".3f"),
                    interval_text(intervals[measure].get(key), ".3f"),
                )
            ),
        )
        for measure, title in (("ms_ssim", "MS-SSIM"), ("lpips", f"LPIPS ({facts['lpips_network']['title']})"))
    ]


def _intensities(facts: Facts) -> Table:
    rows = [
        (
            name,
            *(
                cell
                for key in ("sample_mean", "real_mean", "sample_distance", "real_distance")
                for cell in (value_text(one[key], ".3f"), interval_text(one["intervals_95"][key], ".3f"))
            ),
        )
        for name, one in facts["intensity"].items()
    ]
    columns = ["structure"]
    for what in ("mean: samples", "mean: real", "distance: samples", "distance: real"):
        columns += [what, INTERVAL]
    caption = (
        "Intensities in units of the head's 99.5th percentile; distance: earth mover's, from one case's histogram to "
        "that of all (other) real cases, median over cases"
    )
    return Table(columns, rows, caption)


def _worst(facts: Facts) -> Table:
    rows = [(one["name"], f"{one['distance']:.2f}") for one in facts["samples_by_distance"]]
    caption = (
        "All samples by the distance of their intensities, in multiples of that of real cases (median over "
        "structures), the farthest first"
    )
    return Table(("sample", "distance"), rows, caption, folded=True)


def _split_rows(facts: Facts) -> list[tuple[str, ...]]:
    """Figures that are means over random halves of the real cases."""
    return [
        (
            f"{title}, {name}",
            *(
                cell
                for one in ("samples", "real")
                for cell in (value_text(found[one], ".3f"), range_text(facts[f"{key}_over_splits"][name][one], ".3f"))
            ),
        )
        for key, title in (("frechet_distance", "Fréchet distance"), ("precision", "precision"), ("recall", "recall"))
        for name, found in facts[key].items()
    ]


def _kernel_rows(facts: Facts) -> list[tuple[str, ...]]:
    return [
        (
            f"kernel distance, {name}",
            value_text(one["samples"], ".4f"),
            interval_text(facts["intervals_95"]["kernel_distance"][name], ".4f"),
            value_text(one["real"], ".4f"),
            range_text(facts["kernel_distance_over_splits"][name]["real"], ".4f"),
        )
        for name, one in facts["kernel_distance"].items()
    ]


def _sha256_of(extractor: str, facts: Facts) -> str:
    return str(facts.get("extractors", {}).get(extractor, {}).get("sha256", "ships with synthaug"))
