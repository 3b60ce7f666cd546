import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import BoundsError, SynthAugError
from synthaug.schedules import (
    HistogramMatching,
    MissingVolumes,
    Uniform,
    parse_mix,
    parse_schedule,
    parse_schedule_or_missing,
)


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_real_and_synthetic_cases_together_have_all_volumes_alike(fraction: float) -> None:
    real = np.linspace(10.5, 109.5, 100)
    real = np.concatenate([real, real[real < 40]])  # small ones twice, none too many to be made up for
    schedule = MissingVolumes(10.0, 110.0).beside(real.tolist(), fraction)
    rng = np.random.default_rng(0)
    drawn = [schedule.draw(0.5, rng) for _ in range(4000)]
    edges = np.linspace(10, 110, 11)
    share = [np.histogram(volumes, edges)[0] / len(volumes) for volumes in (real, drawn)]
    mixture = (1 - fraction) * share[0] + fraction * share[1]
    assert mixture == pytest.approx(np.full(10, 0.1), abs=0.02)
    assert np.ptp(share[0]) > 0.05  # the real ones alone have not


def test_real_cases_out_of_the_range_fill_nothing() -> None:
    assert MissingVolumes(50.0, 60.0).beside([10.0, 20.0], 0.5).weights(0.0) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("cases", "bins"), [(1, 2), (4, 2), (13, 6), (20, 10), (500, 10)])
def test_few_cases_have_few_bins(cases: int, bins: int) -> None:
    assert len(MissingVolumes(8.0, 90.0).beside([10.0] * cases, 0.5).edges_ml) == bins + 1


def test_the_wish_is_read_where_real_cases_can_be_measured() -> None:
    assert parse_schedule_or_missing("missing:8:90") == MissingVolumes(8.0, 90.0)
    assert parse_schedule_or_missing("brain=missing:1000:1600") == MissingVolumes(1000.0, 1600.0, "brain")
    assert parse_schedule_or_missing("uniform:8:90") == Uniform(8.0, 90.0)
    filled = MissingVolumes(8.0, 90.0, "brain").beside([10.0], 0.5)
    assert isinstance(filled, HistogramMatching)
    assert filled.structure == "brain"
    assert parse_schedule(filled.to_dict()) == filled
    wish = MissingVolumes(8.0, 90.0, "brain")
    assert parse_schedule_or_missing(wish.to_dict()) == parse_schedule_or_missing(wish) == wish
    assert parse_schedule_or_missing(" missing : 8:90") == MissingVolumes(8.0, 90.0)


def test_a_file_holds_any_schedule_or_the_wish(tmp_path: Path) -> None:
    path = tmp_path / "volumes.json"
    for one in (MissingVolumes(8.0, 90.0, "brain"), Uniform(8.0, 90.0)):
        path.write_text(json.dumps(one.to_dict()))
        assert parse_schedule_or_missing(path) == parse_schedule_or_missing(str(path)) == one
    path.write_text(json.dumps({"kind": "missing", "low_ml": 8}))
    with pytest.raises(SynthAugError, match=r"volumes\.json: schedule \(missing\): .high_ml. is missing"):
        parse_schedule_or_missing(path)
    path.write_text(json.dumps({"kind": "uniform", "low_ml": 90, "high_ml": 8}))
    with pytest.raises(BoundsError, match=r"volumes\.json: schedule uniform"):
        parse_schedule_or_missing(path)


@pytest.mark.parametrize(
    "text",
    [
        "missing:8",
        "missing:8:90:3",
        "missing:a:b",
        "missing:90:8",
        "missing:-1:8",
        "missing",
        "missing:20:20.000000000000004",
    ],
)
def test_wrong_numbers_are_refused(text: str) -> None:
    with pytest.raises(SynthAugError, match="missing"):
        parse_schedule_or_missing(text)


@pytest.mark.parametrize("structure", ["", 5, ["brain"], None])
@pytest.mark.parametrize("kind", ["missing", "uniform"])
def test_a_structure_is_a_name(kind: str, structure: object) -> None:
    with pytest.raises(SynthAugError, match=r"structure .*; allowed: the name of a structure or group"):
        parse_schedule_or_missing({"kind": kind, "low_ml": 8, "high_ml": 90, "structure": structure})
    with pytest.raises(SynthAugError, match="structure ''; allowed"):
        parse_schedule_or_missing(f"={kind}:8:90")


@pytest.mark.parametrize("kind", ["missing", "uniform"])
@pytest.mark.parametrize("volume_ml", [10**400, float("inf"), "90", None, True, [90]])
def test_what_is_no_volume_is_refused_by_any_kind(kind: str, volume_ml: object) -> None:
    with pytest.raises(SynthAugError, match="allowed: a volume in mL"):
        parse_schedule_or_missing({"kind": kind, "low_ml": 8, "high_ml": volume_ml})


def test_elsewhere_the_mend_is_named() -> None:
    for wish in ("missing:8:90", MissingVolumes(8.0, 90.0).to_dict()):
        with pytest.raises(SynthAugError, match=r"precompute --dataset .*histogram-matching"):
            parse_schedule(wish)
    with pytest.raises(SynthAugError, match=r"did you mean 'missing'.*missing:8:120"):
        parse_schedule_or_missing("mising:8:90")
    with pytest.raises(SynthAugError, match=r"unknown entry .upper.; .high_ml. is missing"):
        parse_schedule_or_missing({"kind": "missing", "low_ml": 8, "upper": 90})


@pytest.mark.parametrize(
    ("mix", "share"), [("0.3", 0.3), ("synthetic-then-real:0.25", 0.25), ("mixed-then-real:0.5:0.8", 0.4)]
)
def test_the_share_of_a_whole_training_counts(mix: str, share: float) -> None:
    assert parse_mix(mix).mean_fraction == pytest.approx(share)


def test_without_synthetic_cases_nothing_can_be_filled() -> None:
    with pytest.raises(SynthAugError, match=r"nothing to be filled.*--ratio"):
        MissingVolumes(8.0, 90.0).beside([10.0], parse_mix("real").mean_fraction)
