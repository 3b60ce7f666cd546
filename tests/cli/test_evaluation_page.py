"""``synthaug evaluate`` writes one page: all parts, worst cases by name, pairs beside real cases, no foreign markup."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from synthaug.cli.app import run
from synthaug.volumes import write_label
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.hostile_generator import HANDLER, SCRIPT, HostileGenerator, write_hostile_dataset
from tests.parsed_page import ParsedPage
from tests.raw_dataset import write_raw_dataset

STAND_IN = "python:tests.stand_in_generator:make"
PARTS = ["Control of ventricles", "Structure volumes", "Anatomy", "Fidelity"]


def evaluated(out: Path, *arguments: object) -> tuple[ParsedPage, dict[str, Any]]:
    """The page and the figures of an evaluation."""
    assert run(["evaluate", *map(str, arguments), "--out", str(out), "--json"]) == 0
    assert not list(out.glob(".*"))
    return ParsedPage.checked((out / "report.html").read_text()), json.loads((out / "evaluation.json").read_text())


def titles_below(page: ParsedPage, gallery: str) -> list[str]:
    """Names of the pairs below the heading of a gallery, and of all galleries after it."""
    return re.findall(r"^\d{3}$", page.text.partition(f"\n{gallery}\n")[2], re.MULTILINE)


def test_control_pairs_are_shown_with_intervals_worst_cases_and_real_cases(tmp_path: Path) -> None:
    real = tmp_path / "Dataset001_Heads"
    write_raw_dataset(real, [f"head_{index}" for index in range(6)])
    asked = ("--generator", STAND_IN, "--control", 9, "--seed", 4, "--real", real, "--anatomy", "--fidelity")
    page, facts = evaluated(tmp_path / "out", *asked)
    control = facts["control"]["ventricles"]
    assert [line for line in page.text.splitlines() if line in PARTS] == 2 * PARTS  # the list at the top, the headings
    # a chart, 4 pairs with a real case each, the 3 largest errors, 3 worst anatomies, 3 farthest intensities
    assert len(page.pictures()) == 1 + 8 + 3 + 3 + 3
    assert all(picture.width > 600 for picture in page.pictures())
    assert "head_0 (real)" in page.text
    interval = control["intervals_95"]["mae_percent"]
    assert (
        f"{control['mae_percent']:.2f} % (95 % interval {interval['low']:.2f} to {interval['high']:.2f})" in page.text
    )
    by_error = sorted(control["pairs"], key=lambda pair: -abs(pair["error_percent"]))
    for gallery, worst_first in (
        ("Largest errors", by_error),
        ("Worst anatomy", control["anatomy"]["label_maps"]),
        ("Intensities farthest from real ones", control["fidelity"]["samples_by_distance"]),
    ):
        assert titles_below(page, gallery)[:3] == [one["name"] for one in worst_first[:3]]
    assert "quality control would reject" in page.text
    assert "synthaug evaluate" in page.text
    assert f"--real {real}" in page.text
    assert facts["run"]["options"]["--control"] == ["9"]
    assert facts["run"]["options"]["--anatomy"] == []
    assert "torch" in facts["run"]["versions"]


def test_few_pairs_get_no_interval_and_the_page_says_so(tmp_path: Path) -> None:
    page, facts = evaluated(tmp_path / "out", "--generator", STAND_IN, "--control", 3)
    assert facts["control"]["ventricles"]["intervals_95"]["mae_ml"]["low"] is None
    assert "too few" in page.text
    assert "(real)" not in page.text
    assert len(page.pictures()) == 1 + 3 + 3


def test_the_pairs_of_a_cache_are_shown_with_their_provenance(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    make = ["--generator", STAND_IN, "--num", "3", "--schedule", "uniform:20:120", "--out", str(cache)]
    assert run(["precompute", *make]) == 0
    page, facts = evaluated(tmp_path / "out", "--generated", cache, "--anatomy")
    assert facts["generated"]["generator_sha256"] in page.text
    assert "They have passed quality control" in page.text
    for part in ("Control of ventricles", "Structure volumes", "Anatomy"):
        assert f"{part}, pairs of the cache" in page.text
    assert "quality control would reject" not in page.text
    for pair in facts["generated"]["control"]["ventricles"]["pairs"]:
        assert f"Axial, coronal and sagittal slice of {pair['name']}: image and label map" in page.attribute(
            "img", "alt"
        )
        provenance = json.loads((cache / "cases" / pair["name"] / "provenance.json").read_text())
        assert str(provenance["seed"]) in page.text
        assert f"{pair['requested_ml']:.2f} mL requested, {pair['realised_ml']:.2f} mL realised" in page.text


def test_several_structures_have_parts_of_their_own(tmp_path: Path) -> None:
    weights = write_tiny_generator(tmp_path / "weights")
    asked = ("--schedule", "uniform:20:40", "--schedule", "brain=uniform:1000:1200", "--control", 2)
    page, facts = evaluated(tmp_path / "out", "--generator", weights, "--device", "cpu", *asked)
    for name in ("ventricles", "brain"):
        assert f"Structure volumes, pairs with {name} asked for" in page.text
    assert "--schedule uniform:20:40 --schedule brain=uniform:1000:1200" in page.text
    assert facts["run"]["options"]["--schedule"] == ["uniform:20:40", "brain=uniform:1000:1200"]


def test_samples_are_shown_before_the_nearest_training_case(tmp_path: Path) -> None:
    real = tmp_path / "Dataset001_Heads"
    write_raw_dataset(real, ["case_a", "new"])  # case_a is a training case of the tiny generator
    weights = write_tiny_generator(tmp_path / "weights")
    asked = ("--generator", weights, "--device", "cpu", "--control", 2, "--schedule", "uniform:20:40")
    page, facts = evaluated(tmp_path / "out", *asked, "--memorisation", "--real", real)
    assert page.text.count("of 2 count as copies") == 2
    for kind in ("masks", "images"):
        nearest = facts["control"]["ventricles"]["memorisation"][kind]["nearest"][0]
        assert f"{nearest['training_case']} (training case)" in page.text
        assert facts["control"]["ventricles"]["memorisation"][kind]["intervals_95"]["copied_share"]["high"] < 1.0001


def test_the_worst_round_trips_are_shown_before_and_after(tmp_path: Path) -> None:
    heads = write_raw_dataset(tmp_path / "Dataset001_Heads", ["one", "two"])
    maps = tmp_path / "maps"
    maps.mkdir()
    for name, pair in heads.items():
        write_label(maps / f"{name}.nii.gz", pair.label, pair.affine)
    weights = write_tiny_generator(tmp_path / "weights")
    page, facts = evaluated(tmp_path / "out", "--generator", weights, "--device", "cpu", "--round-trip", maps)
    assert facts["round_trip"]["intervals_95"]["mean_dice"]["count"] == 2
    assert f"mean Dice {facts['round_trip']['mean_dice']:.4f} (too few for an interval), 2 label maps" in page.text
    for name in ("one", "two"):
        assert f"{name}, before" in page.text
        assert f"{name}, after" in page.text
    assert len(page.pictures()) == 4


def test_hostile_names_of_structures_cases_and_generators_are_text(tmp_path: Path) -> None:
    raw, maps, out = tmp_path / 'Dataset001_"onclick="x', tmp_path / f"maps {HANDLER}", tmp_path / "out"
    names = write_hostile_dataset(raw, 6)
    shutil.copytree(raw / "labelsTr", maps)  # without dataset.json, label maps have the generator's own scheme
    asked = ("--generator", "python:tests.hostile_generator:make", "--control", 3, "--anatomy", "--fidelity")
    page, _ = evaluated(out, *asked, "--schedule", f"{SCRIPT}=uniform:20:40", "--real", raw, "--real", maps)
    assert f"Control of {SCRIPT}" in page.text
    assert sum(f"{name} (real)" in page.text for name in names) == 3
    for text in (HANDLER, str(raw), str(maps), HostileGenerator.name):
        assert text in page.text
    assert all(path.parent == out for path in out.rglob("*"))
