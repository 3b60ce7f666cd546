"""The examples run as they stand, here with the stand-in generator for the sake of speed."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monai.utils import set_determinism

from synthaug.conditions import Condition
from synthaug.volumes import read_image, write_label
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.stand_in_generator import StandInGenerator

ROOT = Path(__file__).parents[2]
STAND_IN = "python:tests.stand_in_generator:make"
ON_PATIENTS = "no figure below says anything about patients"

Run = Callable[..., str]


@pytest.fixture
def run_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a script as ``__main__``, in this process, where the libraries are loaded; gives what it prints."""
    monkeypatch.syspath_prepend(str(ROOT))  # the stand-in generator is in tests/

    def run(script: str, *arguments: str, generator: str = STAND_IN) -> str:
        path = str(ROOT / "examples" / script)
        monkeypatch.setattr(sys, "argv", [path, *arguments, "--generator", generator])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    yield run
    set_determinism(None)


def test_monai_training_mixes_and_validates_on_held_out_cases(run_example: Run) -> None:
    printed = run_example("monai_training.py", "--steps", "3", "--num", "2")
    assert "of 3 items of the first epoch are synthetic" in printed
    assert "step 3/3" in printed
    assert "mean Dice of 1 held-out case(s)" in printed
    assert ON_PATIENTS in printed


def test_plain_torch_takes_a_generator(run_example: Run) -> None:
    printed = run_example("plain_torch.py", "--steps", "3", "--distinct", "1")
    assert "step 3/3" in printed
    assert ON_PATIENTS in printed


@pytest.mark.parametrize("script", ["monai_array.py", "torchio_queue.py"])
def test_patches_are_trained_on(run_example: Run, script: str) -> None:
    if script == "torchio_queue.py":
        pytest.importorskip("torchio", reason="torchio is not installed")
    assert "step 3/3" in run_example(script, "--steps", "3", "--num", "2")


def test_lightning_trains_on_synthetic_cases_first(run_example: Run) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    lines = run_example("lightning_training.py", "--steps", "8", "--num", "2").splitlines()
    made = {epoch: [line for line in lines if line.startswith(f"epoch {epoch} ")] for epoch in range(4)}
    assert all(len(batches) == 2 for batches in made.values())
    shares = [sum(int(line.rsplit(" ", 1)[1]) for line in made[epoch]) for epoch in range(4)]
    assert shares[0] + shares[1] in (2, 3, 4)  # half of three items, to the nearest whole number
    assert shares[2] == shares[3] == 0


def test_a_curriculum_begins_with_large_ventricles_and_ends_with_real_cases(run_example: Run) -> None:
    lines = run_example("schedule_curriculum.py", "--num", "6").splitlines()[-10:]
    least = [int(line.split("30 ")[1].split(",")[0]) for line in lines[:8]]
    assert min(least[:4]) > max(least[4:])
    assert [line.split()[1] for line in lines] == ["15"] * 8 + ["0"] * 2


def test_the_users_data_and_cache_are_taken(tmp_path: Path, run_example: Run) -> None:
    from synthaug.demo.stand_ins import make_stand_ins
    from synthaug.precomputing import precompute
    from synthaug.schedules import parse_schedule
    from synthaug.store import Store, StoreInfo

    generator = StandInGenerator()
    data = make_stand_ins(generator, tmp_path / "raw", num=2)
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    precompute(generator, store, num=2, schedule=parse_schedule("uniform:20:120"))
    given = ("--data", str(data), "--cache", str(store.folder))
    printed = run_example("monai_array.py", "--steps", "1", *given, generator="not-asked-for")
    assert "step 1/1" in printed
    assert "making" not in printed
    printed = run_example("plain_torch.py", "--steps", "2", *given)
    assert "2 cases" in printed
    assert "step 2/2" in printed


def test_pairs_are_evaluated_and_drawn(tmp_path: Path, run_example: Run) -> None:
    printed = run_example("evaluate_pairs.py", "--num", "3", "--out", str(tmp_path / "evaluated"))
    assert printed.count("ventricles: asked for") == 3
    assert "slope 1.0" in printed
    assert (tmp_path / "evaluated" / "pairs.png").stat().st_size > 0


def test_a_label_map_of_ones_own_gets_images_on_its_own_voxels(tmp_path: Path, run_example: Run) -> None:
    (pair,) = StandInGenerator(shape=(30, 40, 28), spacing_mm=3.0).generate([Condition({"ventricles": 10.0})], [0])
    write_label(tmp_path / "own.nii.gz", pair.label, pair.affine)
    out, generator = tmp_path / "images", write_tiny_generator(tmp_path / "tiny")
    given = ("--labels", str(tmp_path / "own.nii.gz"), "--num", "2", "--out", str(out))
    run_example("own_label_map.py", *given, generator=str(generator))
    (first, affine), (second, _) = (read_image(out / f"image_{seed}.nii.gz") for seed in range(2))
    assert first.shape == second.shape == (1, 30, 40, 28)
    assert abs(affine - pair.affine).max() < 1e-5
    assert not first[0][pair.label == 0].any()
    assert (first != second).any()
    assert (out / "preview.png").is_file()
