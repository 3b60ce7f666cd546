"""A mixed dataset gives the same items however it is read, at the ratio and with the volumes asked for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader as MonaiDataLoader
from monai.data import Dataset as MonaiDataset
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Compose, NormalizeIntensityd, RandFlipd, RandSpatialCropSamplesd
from torch.utils.data import DataLoader

from synthaug import SynthAugment
from synthaug.errors import ConfigurationError
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_mix, parse_schedule
from synthaug.sources import GeneratorSource, StoreSource
from synthaug.store import Store
from tests.real_samples import SIZE, RealCases, RealPairs, make_mixed_cache
from tests.stand_in_generator import StandInGenerator


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mixed_cache(tmp_path_factory.mktemp("mixed") / "cache")


def flatten(value: Any) -> list[Any]:
    """Something that can be compared, from a batch of any nesting."""
    if isinstance(value, dict):
        return [item for key in value for item in (key, *flatten(value[key]))]
    if isinstance(value, (list, tuple)):
        return [item for one in value for item in flatten(one)]
    if isinstance(value, torch.Tensor):
        array = value.as_subclass(torch.Tensor).numpy()
        return [str(array.dtype), array.shape, array.tobytes()]
    return [repr(value)]  # NaN is not equal to itself, its text is


@pytest.mark.parametrize("kind", ["Tensor", "MetaTensor", "ndarray"])
@pytest.mark.parametrize("collate", ["default", "monai"])
def test_any_number_of_workers_gives_the_same_batches(cache: Path, kind: str, collate: str) -> None:
    if kind == "MetaTensor" and collate == "default":
        pytest.skip("torch's own collate drops the metadata of MetaTensors; MONAI has list_data_collate for them")
    function = None if collate == "default" else list_data_collate
    mixed = SynthAugment(RealCases(kind, length=8), cache, ratio=0.5, schedule="uniform:20:120", seed=3)
    epochs = []
    for workers in (0, 1, 2):
        loader = DataLoader(mixed, batch_size=4, num_workers=workers, collate_fn=function)
        mixed.set_epoch(1)
        epochs.append([flatten(batch) for batch in loader])
    assert len(epochs[0]) == 2
    assert epochs[0] == epochs[1] == epochs[2]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_persistent_workers_see_a_new_epoch(cache: Path, method: str) -> None:
    mixed = SynthAugment(RealCases(length=6), cache, ratio=0.5, seed=3)
    loader = DataLoader(mixed, batch_size=6, num_workers=1, persistent_workers=True, multiprocessing_context=method)
    for epoch in (0, 5):
        mixed.set_epoch(epoch)
        (batch,) = list(loader)
        names = [mixed[index]["synthaug"]["name"] for index in range(6)]
        assert batch["synthaug"]["name"] == names
    mixed.set_epoch(0)
    assert [mixed[index]["synthaug"]["name"] for index in range(6)] != names


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (1.0, 1.0), ("mixed:0.75", 0.75)])
def test_the_ratio_is_met_exactly_where_it_divides(cache: Path, ratio: Any, share: float) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=ratio)
    for epoch in range(3):
        mixed.set_epoch(epoch)
        assert sum(mixed.is_synthetic(index) for index in range(20)) == 20 * share


def test_a_ratio_that_does_not_divide_is_met_in_the_mean(cache: Path) -> None:
    mixed = SynthAugment(RealCases(length=3), cache, ratio=0.5)
    counts = []
    for epoch in range(200):
        mixed.set_epoch(epoch)
        counts.append(sum(mixed.is_synthetic(index) for index in range(3)))
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.5, abs=0.12)


def test_a_two_phase_schedule_switches_with_progress(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio="synthetic-then-real", epochs=4)
    shares = []
    for epoch in range(4):
        mixed.set_epoch(epoch)
        shares.append(mixed.stats()["ratio"])
    assert shares == [1.0, 1.0, 0.0, 0.0]
    mixed.set_epoch(3, progress=0.1)
    assert mixed.stats()["ratio"] == 1.0


def test_a_moving_ratio_needs_to_know_the_progress(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=parse_mix("mixed-then-real"))
    with pytest.raises(ConfigurationError, match="epochs="):
        mixed.set_epoch(1)
    mixed.set_epoch(1, progress=0.9)
    assert mixed.stats()["ratio"] == 0.0


def test_replace_keeps_the_length_and_the_real_items_that_are_left(cache: Path) -> None:
    real = RealCases()
    mixed = SynthAugment(real, cache, ratio=0.5)
    assert len(mixed) == 20
    for index in range(20):
        item = mixed[index]
        assert list(item) == ["image", "label", "subject", "synthaug"]
        if not item["synthaug"]["synthetic"]:
            assert item["subject"] == f"real{index}"
            assert torch.equal(item["image"], real[index]["image"])
    assert mixed[-1]["subject"] == mixed[19]["subject"]
    with pytest.raises(IndexError):
        mixed[20]


def test_append_keeps_every_real_item_and_adds_up_to_the_ratio(cache: Path) -> None:
    mixed = SynthAugment(RealCases(length=6), cache, ratio=0.25, mode="append")
    assert len(mixed) == 8
    assert [mixed[index]["subject"] for index in range(6)] == [f"real{index}" for index in range(6)]
    assert all(mixed[index]["synthaug"]["synthetic"] for index in (6, 7))
    assert mixed.stats()["ratio"] == 0.25


@pytest.mark.parametrize("ratio", [1.0, "synthetic-then-real"])
def test_append_refuses_a_ratio_without_a_length(cache: Path, ratio: Any) -> None:
    with pytest.raises(ConfigurationError, match="append"):
        SynthAugment(RealCases(), cache, ratio=ratio, mode="append")


def test_synthetic_items_carry_the_pair_and_its_provenance(cache: Path) -> None:
    mixed = SynthAugment(RealCases("MetaTensor"), cache, ratio=1.0, schedule="uniform:20:120")
    item = mixed[4]
    origin = item["synthaug"]
    pair = Store.open(cache).read(origin["name"])
    np.testing.assert_array_equal(item["image"].numpy(), pair.image)
    np.testing.assert_array_equal(item["label"].numpy()[0], pair.label)
    assert origin["seed"] == pair.provenance["seed"]
    assert origin["volume_ml"] == pytest.approx(pair.volumes_ml()["ventricles"])


def test_volumes_follow_the_schedule_and_the_statistics_say_so(cache: Path) -> None:
    mixed = SynthAugment(RealCases(length=400), cache, ratio=1.0, schedule="uniform:20:120")
    stats = mixed.stats()
    assert stats["synthetic"] == stats["draws"] == 400
    assert stats["ks_distance"] < 0.12  # thirteen cases cannot follow it more closely
    assert stats["unique_fraction"] <= 13 / 400
    few = SynthAugment(RealCases(length=400), cache, ratio=1.0, schedule="constant:40").stats()
    assert few["volume_ml"]["min"] == pytest.approx(40, abs=0.1)
    assert few["volume_ml"]["max"] == pytest.approx(40, abs=0.1)


def test_pairs_of_arrays_stay_pairs(cache: Path) -> None:
    mixed = SynthAugment(RealPairs(length=4), cache, ratio=0.5)
    assert all(isinstance(mixed[index], tuple) and len(mixed[index]) == 2 for index in range(4))
    image, label = next(iter(DataLoader(mixed, batch_size=4)))
    assert image.shape == label.shape == (4, 1, SIZE, SIZE, SIZE)


class Noise:
    """Draws from all three global generators, as transforms do."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        shift = torch.rand(1).item() + np.random.rand()  # noqa: NPY002
        return {**sample, "image": sample["image"] + shift}


def test_the_transform_is_applied_to_synthetic_samples_only_and_seeded_per_item(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=0.5, transform=Noise(), seed=1)
    plain = SynthAugment(RealCases(), cache, ratio=0.5, seed=1)
    shifts = set()
    for index in range(20):
        shift = float((mixed[index]["image"] - plain[index]["image"]).mean())
        assert torch.equal(mixed[index]["image"], mixed[index]["image"])
        if mixed.is_synthetic(index):
            shifts.add(round(shift, 5))
        else:
            assert shift == 0.0
    assert len(shifts) == 10


def test_the_seeding_leaves_the_global_generators_as_they_were(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=1.0, transform=Noise())
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(1)
    mixed[0]
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_monai_transforms_that_take_several_crops_give_lists(cache: Path) -> None:
    keys = ("image", "label")
    steps = Compose(
        [
            NormalizeIntensityd("image", nonzero=True),
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandSpatialCropSamplesd(keys, roi_size=16, num_samples=2, random_size=False),
        ]
    )
    real = RealCases("MetaTensor", length=4)
    items = [{key: real[index][key] for key in keys} for index in range(4)]
    mixed = SynthAugment(MonaiDataset(items, steps), cache, ratio=0.5, transform=steps, seed=2)
    for workers in (0, 2):
        batch = next(iter(MonaiDataLoader(mixed, batch_size=4, num_workers=workers)))
        assert batch["image"].shape == (8, 1, 16, 16, 16)
        assert isinstance(batch["image"], MetaTensor)
        assert int(batch["synthaug"]["synthetic"].sum()) == 4
    synthetic = [index for index in range(4) if mixed.is_synthetic(index)]
    assert flatten(mixed[synthetic[0]][0]["image"]) == flatten(mixed[synthetic[0]][0]["image"])


def test_a_transform_that_gives_more_samples_than_the_dataset_is_refused(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=1.0, transform=lambda sample: [sample, sample])
    with pytest.raises(ConfigurationError, match="2 samples"):
        mixed[0]


def test_a_random_state_is_passed_on_to_the_datasets_transforms(cache: Path) -> None:
    steps = Compose([RandFlipd(("image", "label"), prob=0.5, spatial_axis=0)])
    mixed = SynthAugment(MonaiDataset([RealCases()[0]], steps), cache, ratio=0.0)

    def draws() -> list[float]:
        assert mixed.set_random_state(seed=5) is mixed
        return [float(steps.transforms[0].R.rand()) for _ in range(3)]

    assert draws() == draws()

    class Inner(RealCases):
        seen: int | None = None

        def set_random_state(self, seed: int | None = None, state: Any = None) -> None:
            self.seen = seed

    inner = Inner()
    SynthAugment(inner, cache).set_random_state(seed=9)
    assert inner.seen == 9


class OwnRandomShift:
    """A random transform in MONAI's manner that is no class of MONAI's."""

    def __init__(self) -> None:
        self.rng = np.random.RandomState(0)

    def set_random_state(self, seed: int) -> None:
        self.rng = np.random.RandomState(seed)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        return {**sample, "image": sample["image"] + self.rng.rand()}


def test_synthetic_samples_leave_the_draws_of_a_shared_random_transform_alone(cache: Path) -> None:
    shift = OwnRandomShift()
    mixed = SynthAugment(RealCases(), cache, ratio=1.0, transform=shift)
    mixed[0]
    assert shift.rng.rand() == np.random.RandomState(0).rand()


def test_a_state_of_something_else_is_refused(cache: Path) -> None:
    with pytest.raises(ConfigurationError, match="state lacks progress, rank, seed; give what state_dict"):
        SynthAugment(RealCases(), cache).load_state_dict({"epoch": 3})


def test_a_wrapped_wrapper_gives_pairs_the_transform_of_the_real_samples(cache: Path) -> None:
    samples = [RealCases()[index] for index in range(4)]
    real = MonaiDataset(samples, Compose([NormalizeIntensityd(["image"])]))
    inner = SynthAugment(real, cache, ratio=0.5, transform="dataset")
    apart: dict[str, Any] = {"provenance_key": "outer", "extras": {"synthaug": {}}}
    outer = SynthAugment(inner, cache, ratio=1.0, transform="dataset", **apart)
    assert [float(item["image"].mean()) for item in outer] == pytest.approx([0.0] * 4, abs=1e-5)


def test_a_generator_makes_the_pairs_where_no_cache_is(cache: Path) -> None:
    generator = StandInGenerator()
    with SynthAugment(RealCases(length=4), generator, ratio=0.5, schedule="uniform:30:50") as mixed:
        batches = [flatten(list(DataLoader(mixed, batch_size=4, num_workers=workers))) for workers in (0, 2)]
        assert batches[0] == batches[1]
        assert len(generator.calls) == 2
        synthetic = [mixed[index] for index in range(4) if mixed.is_synthetic(index)]
        assert len(generator.calls) == 2  # kept in memory
        assert all(30 <= item["synthaug"]["volume_ml"] <= 50.1 for item in synthetic)
    assert isinstance(mixed.source, GeneratorSource)
    assert not mixed.source._made


def test_a_pair_that_cannot_be_made_is_a_real_item_and_counted(cache: Path) -> None:
    impossible = GeneratorSource(
        StandInGenerator(), parse_schedule("constant:40"), quality=QualityConfig(min_structure_voxels=10**6)
    )
    mixed = SynthAugment(RealCases(length=4), impossible, ratio=1.0)
    batch = next(iter(DataLoader(mixed, batch_size=4, num_workers=2)))
    assert not batch["synthaug"]["synthetic"].any()
    assert mixed.stats()["fallbacks"] == 4


def test_it_can_be_pickled_and_its_state_restored(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=0.5, schedule="uniform:20:120", seed=4, epochs=10)
    mixed.set_epoch(7)
    copy = pickle.loads(pickle.dumps(mixed))
    assert copy.epoch == 7
    assert flatten(copy[3]) == flatten(mixed[3])
    mixed.set_epoch(8)
    assert copy.epoch == 7
    other = SynthAugment(RealCases(), cache, ratio=0.5, schedule="uniform:20:120", seed=0, epochs=10)
    other.load_state_dict(mixed.state_dict())
    assert [flatten(other[index]) for index in range(20)] == [flatten(mixed[index]) for index in range(20)]


def test_a_state_of_the_first_process_serves_all(cache: Path) -> None:
    first, second = (SynthAugment(RealCases(), cache, ratio=1.0, rank=rank, seed=4) for rank in (0, 1))
    first.set_epoch(2)
    second.load_state_dict(first.state_dict())
    assert (second.rank, second.seed, second.epoch) == (1, 4, 2)
    assert [first[index]["synthaug"]["name"] for index in range(10)] != [
        second[index]["synthaug"]["name"] for index in range(10)
    ]


def test_ranks_draw_apart(cache: Path) -> None:
    names = [
        [SynthAugment(RealCases(), cache, ratio=1.0, rank=rank)[index]["synthaug"]["name"] for index in range(10)]
        for rank in (0, 1)
    ]
    assert names[0] != names[1]


def test_a_store_or_a_source_will_do_as_well_as_a_folder(cache: Path) -> None:
    schedule = parse_schedule("uniform:20:120")
    store = Store.open(cache)
    by_folder = SynthAugment(RealCases(), str(cache), ratio=1.0, schedule="uniform:20:120")
    for given in (
        SynthAugment(RealCases(), store, ratio=1.0, schedule=schedule),
        SynthAugment(RealCases(), StoreSource(store, schedule), ratio=1.0),
    ):
        assert flatten(given[2]) == flatten(by_folder[2])


def test_the_plan_and_the_draws_come_from_different_streams(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    original = np.random.default_rng

    def remembering(words: Any) -> np.random.Generator:
        rng = original(words)
        states.append(rng.bit_generator.state["state"]["state"])
        return rng

    for given in (cache, StandInGenerator()):
        mixed = SynthAugment(RealCases(), given, ratio=0.5)
        states.clear()
        with monkeypatch.context() as patched:
            patched.setattr(np.random, "default_rng", remembering)
            mixed.is_synthetic(0)
            for index in range(20):
                mixed._draw(index, 0)
        assert len(states) >= 21
        assert len(set(states)) == len(states)
