"""The comparison makes pairs once, ranks sets of pairs as it should, and refuses what does not fit in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import generator_comparison
from benchmarks.generator_comparison import (
    AlexNetMaps,
    Look,
    PerceptualMaps,
    RealCases,
    Seen,
    SliceStatistics,
    find_dataset,
    head_of,
    making_row,
    neighbour_dice,
    set_row,
)
from synthaug.conditions import Condition
from synthaug.evaluation.extractors import Extractor, RandomConvolutions
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import CaseRecord, LabeledVolume
from synthaug.volumes.grid import Grid
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"
LEAKY = "python:tests.benchmarks.test_generator_comparison:make_leaky"
POOR = "python:tests.benchmarks.test_generator_comparison:make_poor"
TRAINING, HELD_OUT = ("a", "b", "c"), ("d", "e", "f")
SCHEDULE = "ventricles=uniform:20:80"
PLACES = torch.tensor([[12, 16, 20]] * 3)


def make_leaky(**options: Any) -> StandInGenerator:
    return StandInGenerator(training_cases=[CaseRecord("d", None, None)], **options)


def make_poor(**options: Any) -> StandInGenerator:
    scheme = LabelScheme.load("ventricles-t1")
    kept = tuple(one for one in scheme.structures if one.name != "thalamus")
    return StandInGenerator(scheme=LabelScheme("poor", kept, {"ventricles": scheme.groups["ventricles"]}), **options)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "Dataset001_Heads"
    write_raw_dataset(folder, (*TRAINING, *HELD_OUT))
    (folder / "splits_final.json").write_text(json.dumps([{"train": TRAINING, "val": HELD_OUT}]))
    return folder


@pytest.fixture
def random_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the shipped weights, which take a second to read."""
    extractors = {"image autoencoder": RandomConvolutions()}
    monkeypatch.setattr("synthaug.evaluation.offline_extractors.offline_extractors", lambda: extractors)


def in_this_process(name: str, options: argparse.Namespace) -> None:
    real = RealCases.of_fold(find_dataset(options.real), options.fold)
    generator_comparison.make_pairs(name, real, options)


def asked(raw: Path, *generators: str) -> list[str]:
    named = [word for name in generators for word in ("--generator", name)]
    return ["--real", str(raw), "--work", str(raw.parent / "work"), "--num", "3", "--schedule", SCHEDULE, *named]


def head(seed: int, volume_ml: float = 30.0) -> LabeledVolume:
    (pair,) = StandInGenerator().generate([Condition({"ventricles": volume_ml})], [seed])
    return pair


def stack(slices: Sequence[Sequence[int]], **provenance: Any) -> LabeledVolume:
    """A pair whose axial slices hold one row of ids each."""
    label = np.array(slices, dtype=np.int16).T[:, None, :]
    scheme = LabelScheme("two", (Structure("one", 1), Structure("other_tissue_1", 2), Structure("other_tissue_2", 3)),
                         {"other": ("other_tissue_1", "other_tissue_2")})  # fmt: skip
    return LabeledVolume(label[None].astype(np.float32), label, np.eye(4), scheme, ("T1",), dict(provenance))


@pytest.fixture
def look() -> Look:
    places = torch.linspace(6, 26, generator_comparison.SLICES).round().long().repeat(3, 1)
    statistics = SliceStatistics(places)
    extractors: dict[str, Extractor] = {
        "slices": statistics,
        "maps": PerceptualMaps(statistics.maps, None, PLACES),
        "blocks": RandomConvolutions(),
    }
    return Look(Grid((32, 32, 32), (4.0, 4.0, 4.0)), ("cerebral_cortex", "csf", "thalamus"), False, extractors)


@pytest.mark.usefixtures("random_blocks")
def test_a_table_with_real_rows_the_generator_and_the_papers_is_written(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, pictures = tmp_path / "report.json", tmp_path / "pictures"
    assert generator_comparison.main([*asked(raw, STAND_IN), "--json", str(path), "--pictures", str(pictures)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert [row["title"] for row in report["rows"]] == ["held-out cases", "training cases", STAND_IN]
    assert (report["held_out_cases"], report["compared_cases"], report["spacing_mm"]) == (3, 3, 4.0)
    _, training, made = report["rows"]
    assert made["cases"] == 3
    for row in (training, made):
        for figure in ("fid", "block_frechet", "lpips", "ms_ssim", "neighbour_dice"):
            assert np.isfinite(row[figure]), figure
    assert made["volume_error"] < 0.01
    assert made["attempts"] == 1
    assert made["seconds_per_pair"] > 0
    assert made["peak_memory_gb"] > 0.05
    assert made["dice_at_joins"] is None
    assert f"| {STAND_IN} | 3 |" in printed
    assert "| MedGen3D, as published | - | 40.3 (Inception) | - | 0.326 (learned) |" in printed
    assert "| FID, random convolutions |" in printed
    assert "cannot be compared" in printed
    assert (pictures / "generators.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("random_blocks")
def test_pairs_that_are_there_are_not_made_again_and_their_costs_are_kept(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator_comparison, "_run_part", in_this_process)
    assert generator_comparison.main([*asked(raw, STAND_IN), "--num", "1"]) == 0
    (folder,) = (raw.parent / "work").iterdir()
    seeds: list[int] = []
    make = StandInGenerator.generate

    def remember(self: StandInGenerator, conditions: Sequence[Condition], seeds_: Sequence[int]) -> Any:
        seeds.extend(seeds_)
        return make(self, conditions, seeds_)

    monkeypatch.setattr(StandInGenerator, "generate", remember)
    first = generator_comparison.read_cost(folder)
    assert generator_comparison.main(asked(raw, STAND_IN)) == 0
    assert len(seeds) == 2
    both = generator_comparison.read_cost(folder)
    assert (first["requests"], both["requests"]) == (1, 3)
    assert both["seconds"] > first["seconds"]
    assert generator_comparison.main(asked(raw, STAND_IN)) == 0
    assert generator_comparison.read_cost(folder) == both


def test_wrong_volumes_are_no_reason_to_reject_a_pair_and_are_told(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = StandInGenerator._anatomy
    monkeypatch.setattr(StandInGenerator, "_anatomy", lambda self, target, rng: draw(self, 2 * target, rng))
    options = generator_comparison._parser().parse_args([*asked(raw, STAND_IN), "--schedule", "constant:20"])
    real = RealCases.of_fold(find_dataset(options.real), options.fold)
    plan = generator_comparison.Plan.of(STAND_IN, real, options)
    in_this_process(STAND_IN, options)
    row = making_row(plan)
    assert row["volume_error"] == pytest.approx(1.0, abs=0.02)
    assert row["attempts"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--generator", LEAKY], "was fitted on held-out cases (d)"),
        (["--generator", POOR], "makes no thalamus"),
        (["--generator", "nowhere"], "no generator 'nowhere'"),
        (["--generator", STAND_IN, "--generator", STAND_IN], "names one of them twice"),
        (["--generator", STAND_IN, "--fold", "7"], "fold '7'"),
        (["--generator", STAND_IN, "--fold", "all"], "holds no case out"),
        (["--generator", STAND_IN, "--real", "."], "holds no dataset.json"),
        (["--generator", STAND_IN, "--schedule", "constant:9000"], "9000"),
        (["--generator", STAND_IN, "--lpips-weights", "/dev/null"], "cannot be read as weights"),
        (["--generator", STAND_IN, "--json", "."], "is a folder"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line_before_anything_is_made(
    raw: Path, changes: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator_comparison, "_run_part", lambda *_: pytest.fail("pairs were made"))
    assert generator_comparison.main([*asked(raw), *changes]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("generator_comparison: ")
    assert message in line


def test_a_generator_that_fails_in_its_process_ends_the_comparison(
    raw: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "false")
    options = generator_comparison._parser().parse_args(asked(raw, STAND_IN))
    with pytest.raises(generator_comparison.PartError, match="could not be made"):
        generator_comparison._run_part(STAND_IN, options)


def test_noise_is_further_from_real_images_than_other_real_ones_and_copies_are_less_diverse(look: Look) -> None:
    rng = np.random.default_rng(0)

    def noisy(pair: LabeledVolume) -> LabeledVolume:
        noise = 20 * rng.standard_normal(pair.image.shape).astype(np.float32)
        return replace(pair, image=np.where(pair.label > 0, np.maximum(pair.image + noise, 1), 0).astype(np.float32))

    held_out = Seen.of(((str(seed), head(seed)) for seed in range(3)), look, is_real=True)
    others = Seen.of(((str(seed), head(seed)) for seed in range(3, 7)), look, is_real=True)
    wrong = Seen.of(((str(seed), noisy(head(seed))) for seed in range(3, 7)), look, is_real=False)
    copies = Seen.of(((str(index), head(3)) for index in range(3)), look, is_real=False)
    real, noise, same = (set_row("", seen, held_out, 3) for seen in (others, wrong, copies))
    assert noise["fid"] > 2 * real["fid"]
    assert noise["lpips"] > real["lpips"] > 0
    assert same["lpips"] == 0
    assert same["ms_ssim"] == pytest.approx(1, abs=1e-4)
    assert noise["ms_ssim"] < real["ms_ssim"] < 1
    assert set_row("", others, held_out, 2)["fid"] is None


def test_scanner_units_and_places_in_the_field_of_view_change_nothing(look: Look) -> None:
    pair = head(0)
    moved = replace(
        pair,
        image=np.roll(5 * pair.image, (1, -1, 2), (1, 2, 3)),
        label=np.roll(pair.label, (1, -1, 2), (0, 1, 2)),
    )
    here, there = (Seen.of([("", one)], look, is_real=True) for one in (pair, moved))
    for name, features in here.appearances[0].features.items():
        np.testing.assert_allclose(there.appearances[0].features[name], features, atol=1e-4, err_msg=name)
    assert here.neighbours == there.neighbours


def test_real_tissue_without_a_label_is_looked_at_where_generators_make_it() -> None:
    place = np.indices((32, 32, 32)) - 15.5
    radius = np.sqrt((place**2).sum(axis=0))
    label, image = (radius < 5).astype(np.int16), (radius < 12).astype(np.float32)[None]
    pair = LabeledVolume(image, label, np.eye(4), LabelScheme("one", (Structure("one", 1),)), ("T1",))
    assert (head_of(pair, with_body=False) == (label > 0)).all()
    assert (head_of(pair, with_body=True) == (image[0] > 0)).all()
    with pytest.raises(ValueError, match="is empty"):
        head_of(replace(pair, label=np.zeros_like(label)), with_body=False)


def test_neighbouring_slices_are_compared_by_the_structures_of_the_dataset() -> None:
    pair = stack([[0, 0, 0], [1, 1, 2], [1, 0, 3], [0, 0, 0], [0, 0, 0]])
    # nothing before: 0; one 2/3 and other, whatever its class by intensity, 1; nothing after: 0; neither has any
    np.testing.assert_allclose(neighbour_dice(pair, ("one", "other")), [0, 5 / 6, 0, np.nan])


def test_joins_of_a_sequence_are_told_from_the_rest(look: Look) -> None:
    look = replace(look, structures=("one", "other"))
    seen = Seen()
    seen._add_joins("pair", stack([[1, 1], [1, 1], [0, 1], [0, 1]], joins=[2]), look.structures)
    assert seen.at_joins == pytest.approx([2 / 3])
    assert seen.between_joins == pytest.approx([1, 1])
    with pytest.raises(ValueError, match="1 to 3"):
        seen._add_joins("pair", stack([[1, 1]] * 4, joins=[4]), look.structures)


def test_given_weights_of_alexnet_make_the_distance_of_lpips(tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchvision.models import alexnet

    torch.manual_seed(0)
    network = alexnet(weights=None)
    features = {name: one for name, one in network.state_dict().items() if name.startswith("features.")}
    path = tmp_path / "alexnet.pth"
    torch.save(features, path)
    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    for part in reference.net.children():
        for name, layer in part.named_children():
            layer.load_state_dict(network.features[int(name)].state_dict())
    one, other = torch.rand(2, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[20, 40]] * 3)
    maps = AlexNetMaps(path)
    found = [PerceptualMaps(maps, maps.weights, places).features(image, image > 0) for image in (one, other)]
    distance = np.square(found[0] - found[1]).sum(axis=1)
    axial = [image[:, :, [20, 40]].movedim(2, 0)[:, None].expand(-1, 3, -1, -1) for image in (one, other)]
    with torch.no_grad():
        expected = reference(*axial, normalize=True).flatten().numpy()
    np.testing.assert_allclose(distance[4:], expected, rtol=1e-3)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(2, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match="not those of torchvision's AlexNet"):
        AlexNetMaps(path)
