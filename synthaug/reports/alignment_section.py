"""The part of an evaluation's report that says whether images show what their label maps say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.evaluation.alignment import note_on_real, volume_range
from synthaug.reports.evaluation_sections import INTERVAL, interval_text, value_text
from synthaug.reports.page import Gallery, Section, Table

Facts = Mapping[str, Any]

ERRORS = (
    ("mae_ml", "mean absolute error", ".2f", " mL"),
    ("mae_percent", "mean absolute error", ".1f", " %"),
    ("bias_percent", "mean error", "+.1f", " %"),
)


def alignment_section(facts: Facts, galleries: Sequence[Gallery]) -> Section:
    """Overlap of label maps with what a network segments in their images, by structure and by volume.

    Args:
        facts: the figures of one network, as ``evaluation.json`` has them.
        galleries: pictures.
    """
    model = facts["model"]
    structure = facts["structure"]
    tables = [_dice_table(facts)]
    if structure is not None:
        tables += [_error_table(facts), _tercile_table(facts)]
    tables += [_files_table(model), _pairs_table(facts)]
    notes = [
        f"{facts['samples']} pairs and {facts['real_cases']} real cases. Dice between the label map and what the "
        f"network segments in the image, in the labels of {facts['labels']}; a ratio near 1 says that generated images "
        "show their label maps as well as real images do.",
        note_on_real(facts["real_cases"]),
        *(f"{note[:1].upper()}{note[1:]}." for note in model.get("notes", ())),
    ]
    return Section(f"Alignment by {model['title']}", notes, tables, galleries)


def alignment_lead(facts: Facts, of: str) -> str:
    """One line for the top of the report; ``of`` names the pairs where there are several sets."""
    found = facts["mean_dice"]
    line = f"Alignment by {facts['model']['title']}{of}: mean Dice {value_text(found['samples'], '.3f')}"
    if found["ratio"] is None:
        return f"{line}, {facts['samples']} pairs."
    ends = interval_text(found["intervals_95"]["ratio"], ".3f")
    interval = "too few for an interval" if ends == "too few" else f"95 % interval {ends}"
    return f"{line}, {found['ratio']:.3f} of that on real cases ({interval}), {facts['samples']} pairs."


def _dice_table(facts: Facts) -> Table:
    rows = [
        (
            name,
            *(
                cell
                for key in ("samples", "real", "ratio")
                for cell in (value_text(one[key], ".3f"), interval_text(one["intervals_95"][key], ".3f"))
            ),
        )
        for name, one in {"mean over structures": facts["mean_dice"], **facts["dice"]}.items()
    ]
    columns = ("structure", "Dice: pairs", INTERVAL, "Dice: real", INTERVAL, "ratio", INTERVAL)
    return Table(columns, rows)


def _error_table(facts: Facts) -> Table:
    rows = [
        (
            title,
            *(
                cell
                for one in (facts["volume_error"]["samples"], facts["volume_error"]["real"])
                for cell in (value_text(one[key], form, unit), interval_text(one["intervals_95"][key], form))
            ),
        )
        for key, title, form, unit in ERRORS
    ]
    caption = f"Volume of {facts['structure']} in the segmentation, against that in the label map"
    return Table(("figure", "pairs", INTERVAL, "real", INTERVAL), rows, caption)


def _tercile_table(facts: Facts) -> Table:
    rows = [
        (
            volume_range(one),
            str(one["samples"]),
            value_text(one["sample_dice"], ".3f"),
            value_text(one["sample_error"]["bias_percent"], "+.1f", " %"),
            str(one["real_cases"]),
            value_text(one["real_dice"], ".3f"),
            value_text(one["real_error"]["bias_percent"], "+.1f", " %"),
            value_text(one["share"], ".3f"),
            interval_text(one["intervals_95"]["share"], ".3f"),
        )
        for one in facts["terciles"]
    ]
    columns = (
        "volume, mL", "pairs", "Dice", "mean volume error", "real cases", "Dice", "mean volume error", "ratio", INTERVAL
    )  # fmt: skip
    caption = (
        f"By volume of {facts['structure']} in the label map, thirds of the pairs; a third without real cases is "
        "compared with all of them"
    )
    return Table(columns, rows, caption)


def _files_table(model: Facts) -> Table:
    rows = [(file, digest) for file, digest in model["weights"].items()]
    return Table(("weights of the network", "sha256"), rows, folded=True)


def _pairs_table(facts: Facts) -> Table:
    rows = [
        (
            one["name"],
            value_text(one["mean_dice"], ".3f"),
            value_text(one["volume_ml"], ".2f"),
            value_text(one["found_ml"], ".2f"),
            value_text(one["error_percent"], "+.1f"),
        )
        for one in facts["pairs"]
    ]
    columns = ("pair", "mean Dice", "label map, mL", "segmentation, mL", "error, %")
    return Table(columns, rows, f"All {facts['samples']} pairs, the lowest Dice first", folded=True)
