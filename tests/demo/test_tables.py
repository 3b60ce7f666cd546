"""The demo's tables."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from synthaug.demo.tables import print_dice, print_training, print_volumes


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=120)


def rows(console: Console) -> list[list[str]]:
    """The cells of the lines that a table has printed."""
    lines = [line for line in console.export_text().splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")] for line in lines]


def test_each_volume_that_was_asked_for_has_a_row(console: Console) -> None:
    case = {
        "name": "syn_1",
        "requested_ml": {"ventricles": 40.0, "brain": 1200.0},
        "realised_ml": {"ventricles": 42.0, "brain": 1200.0, "thalamus": 15.0},
    }
    print_volumes(console, [case])
    assert rows(console)[1:] == [
        ["syn_1", "ventricles", "40.0", "42.0", "1.05"],
        ["syn_1", "brain", "1200.0", "1200.0", "1.00"],
    ]


def test_an_epoch_without_draws_has_no_share_and_no_volumes(console: Console) -> None:
    drawn = {"epoch": 0, "ratio": 0.5, "realised_ratio": 0.375, "synthetic": 3, "real": 5}
    idle: dict[str, Any] = {
        "epoch": 1,
        "ratio": 0.5,
        "realised_ratio": None,
        "synthetic": 0,
        "real": 0,
        "volumes_ml": {},
    }
    print_training(console, [{**drawn, "volumes_ml": {"min": 20.4, "max": 99.6}}, idle])
    assert rows(console)[1:] == [["0", "0.50", "0.38", "3", "5", "20 to 100"], ["1", "0.50", "-", "0", "0", "-"]]


def test_structures_that_no_case_has_found_are_counted_not_shown(console: Console) -> None:
    print_dice(console, {"a": {"brain": 0.812, "third": 0.0}, "b": {"brain": 0.5, "fourth": 0.004}}, stand_ins=True)
    shown = rows(console)
    assert shown == [["structure", "a", "b"], ["brain", "0.81", "0.50"]]


def test_what_is_not_found_yet_and_that_cases_are_stand_ins_is_said(console: Console) -> None:
    print_dice(console, {"a": {"brain": 0.812, "third": 0.0}}, stand_ins=True)
    text = " ".join(console.export_text().split())
    assert "no figure about patients" in text
    assert "1 of 2 are not found yet" in text
