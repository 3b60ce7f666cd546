"""The speed benchmark runs, and compares with networks of the published sizes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks import sample_speed
from tests.generators.tiny_guided_ldm import write_tiny_generator


def test_each_part_reports_its_time_and_memory() -> None:
    options = argparse.Namespace(
        generator="python:tests.stand_in_generator:make",
        device="cpu",
        num=1,
        steps=None,
        threads=None,
        recipe="tiny",
        timed_steps=1,
    )
    made = sample_speed.measure_generator(options)
    assert made["seconds_per_pair"] > 0
    assert made["peak_memory_gb"] > 0
    step = sample_speed.measure_mask_network(options)
    assert (step["timed_steps"], step["steps"]) == (1, 1000)
    assert step["seconds_per_step"] > 0


def test_each_stage_of_a_guided_ldm_tells_its_share_of_the_convolution_peak(tmp_path: Path) -> None:
    weights = write_tiny_generator(tmp_path / "weights")
    options = argparse.Namespace(generator=str(weights), device="cpu", num=1, steps=None, threads=None)
    made = sample_speed.measure_generator(options)
    assert set(made["share_of_peak"]) == set(made["seconds_by_stage"]) == {"label_map", "image"}
    assert made["convolution_peak_tflops"] > 0
    for name, share in made["share_of_peak"].items():
        assert made["tflop_by_stage"][name] > 0
        assert 0 < share < 1


def test_the_report_holds_the_ratio_and_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {
        "name": "g", "shape": [2, 2, 2], "dtype": None, "pairs": 1, "seconds_per_pair": 4.0,
        "peak_memory_gb": 1.0, "seconds_to_load": 1.0, "seconds_by_stage": {"label_map": 3.0},
    }  # fmt: skip
    step = {"parameters_million": 1.0, "seconds_per_step": 2.0, "timed_steps": 3, "peak_memory_gb": 1.0}
    monkeypatch.setattr(sample_speed, "_run_part", lambda part, options: made if part == "generator" else step)
    path = tmp_path / "speed.json"
    assert sample_speed.main(["--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["recipe"]["seconds_per_pair_extrapolated"] == pytest.approx(4000)
    assert report["times_faster"] == pytest.approx(1000)
    assert report["machine"]["processor"]


def test_the_recipe_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        size = sample_speed.SIZES["published"]
        networks = sample_speed.mask_network(size), sample_speed.image_network(size)
    millions = [sum(parameter.numel() for parameter in network.parameters()) / 1e6 for network in networks]
    assert millions == pytest.approx([519, 224], abs=1)
