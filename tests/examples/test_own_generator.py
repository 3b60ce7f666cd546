"""The generator that the documentation adds as an example."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug import Condition, Store, SynthAugError
from synthaug.cli.app import run
from synthaug.generators import PairGenerator
from synthaug.quality import check_pair
from tests.stand_in_generator import StandInGenerator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STAND_IN = "python:tests.stand_in_generator:make"
CONDITION = Condition({"ventricles": 40})


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example's module, on the path as the documentation puts it there."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("own_generator")
    sys.modules.pop("own_generator", None)


def test_it_stays_an_example_that_is_read_at_a_glance() -> None:
    assert len((EXAMPLES / "own_generator.py").read_text().splitlines()) < 100


def test_its_pairs_keep_the_contract(example: Any) -> None:
    generator = example.make(base=STAND_IN)
    assert isinstance(generator, PairGenerator)
    both = generator.generate([CONDITION, CONDITION], [3, 4])
    (alone,) = generator.generate([CONDITION], [4])
    assert np.array_equal(both[1].image, alone.image)
    assert not np.array_equal(both[0].image, both[1].image)
    report = check_pair(alone, CONDITION)
    assert report.passed, report.reasons
    assert alone.provenance["generator_sha256"] == generator.fingerprint


def test_thick_slices_blur_along_z_alone_and_leave_the_label_map(example: Any) -> None:
    (sharp,) = StandInGenerator().generate([CONDITION], [3])
    (thick,) = example.make(base=STAND_IN, slice_mm=20, noise=0).generate([CONDITION], [3])
    head = (sharp.label > 0)[None]

    def roughness(image: np.ndarray, axis: int) -> float:
        inside = np.minimum(head, np.roll(head, 1, axis))
        return float(np.abs(image - np.roll(image, 1, axis))[inside].mean())

    assert roughness(thick.image, 3) < 0.7 * roughness(sharp.image, 3)
    assert roughness(thick.image, 3) < roughness(thick.image, 1)
    assert np.array_equal(thick.label, sharp.label)


def test_what_decides_about_its_pairs_decides_about_its_fingerprint(example: Any) -> None:
    made = [example.make(base=STAND_IN, **one) for one in ({}, {"slice_mm": 6}, {"noise": 0.1})]
    assert len({one.fingerprint for one in made} | {StandInGenerator().fingerprint}) == 4


@pytest.mark.parametrize("wrong", [{"slice_mm": 0}, {"slice_mm": 50}, {"noise": -1}])
def test_wrong_options_are_refused_with_the_mend(example: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(SynthAugError, match="allowed is"):
        example.make(base=STAND_IN, **wrong)


def test_the_command_line_takes_it(example: Any, tmp_path: Path) -> None:
    arguments = ["precompute", "--generator", "python:own_generator:make", "--option", f"base={STAND_IN}"]
    arguments += ["--option", "slice_mm=6", "--schedule", "uniform:20:60", "--num", "2", "--device", "cpu"]
    assert run([*arguments, "--out", str(tmp_path / "cache")]) == 0
    store = Store.open(tmp_path / "cache")
    assert [store.read(entry.name).provenance["slice_mm"] for entry in store.entries()] == [6, 6]
