"""Pairs kept in memory: read once, never beyond the limit, never changed by who used them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug import SynthAugment
from synthaug.errors import ConfigurationError
from synthaug.sources import StoreSource
from synthaug.sources.kept_pairs import GIGABYTE, KeptPairs
from synthaug.store import Store
from synthaug.volumes import LabeledVolume
from tests.real_samples import RealCases, make_mixed_cache


class Reader:
    """Counts what is read from a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.names: list[str] = []

    def __call__(self, name: str) -> LabeledVolume:
        self.names.append(name)
        return self.store.read(name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(make_mixed_cache(tmp_path_factory.mktemp("kept") / "cache"))


def room_for(store: Store, pairs: float) -> float:
    pair = store.read(store.entries()[0].name)
    return pairs * (pair.image.nbytes + pair.label.nbytes) / GIGABYTE


def test_the_pairs_read_last_are_kept(store: Store) -> None:
    a, b, c = (entry.name for entry in store.entries()[:3])
    reader = Reader(store)
    kept = KeptPairs(reader, room_for(store, 2.5))
    for name in (a, b, a, c, a, b):
        assert np.array_equal(kept.read(name).image, store.read(name).image)
    assert reader.names == [a, b, c, b]  # c took the place of b, which was used before a


@pytest.mark.parametrize("pairs", [0, 0.9])
def test_without_room_each_draw_reads(store: Store, pairs: float) -> None:
    name = store.entries()[0].name
    reader = Reader(store)
    kept = KeptPairs(reader, room_for(store, pairs))
    assert kept.read(name).image.flags.writeable
    kept.read(name)
    assert reader.names == [name, name]


def test_a_spawned_worker_starts_with_none(store: Store) -> None:
    source = StoreSource(store)
    draw = source.draw(0, seed=0, epoch=0)
    assert draw.read() is draw.read()
    assert len(pickle.dumps(source)) < store.read(draw.name).image.nbytes


@pytest.mark.parametrize("keep_gb", [-1, float("nan")])
def test_a_limit_below_zero_is_refused(store: Store, keep_gb: float) -> None:
    with pytest.raises(ConfigurationError, match="it must be 0"):
        StoreSource(store, keep_gb=keep_gb)


@pytest.mark.parametrize("kind", ["ndarray", "Tensor", "MetaTensor"])
def test_a_transform_that_writes_into_its_input_leaves_the_kept_pair_alone(store: Store, kind: str) -> None:
    def spoil(sample: dict[str, Any]) -> dict[str, Any]:
        image = sample["image"]
        image[:] = image + 1
        sample["label"][:] = 0
        return sample

    data = SynthAugment(RealCases(kind), store, ratio=1.0, transform=spoil)
    first, again = data[0], data[0]
    assert np.array_equal(np.asarray(first["image"]), np.asarray(again["image"]))
    draw = data.source.draw(0, seed=0, epoch=0)
    assert draw is not None
    pair = draw.read()
    assert pair is not None
    assert np.array_equal(pair.image, store.read(first["synthaug"]["name"]).image)
    assert pair.label.any()


def test_kept_pairs_do_not_change_what_is_drawn(tmp_path: Path) -> None:
    cache = Store.open(make_mixed_cache(tmp_path / "cache"))
    kept, read = (
        SynthAugment(RealCases(), StoreSource(cache, keep_gb=keep_gb), ratio=0.5, seed=3) for keep_gb in (0.5, 0)
    )
    for _ in range(2):
        for index in range(len(kept)):
            one, other = kept[index], read[index]
            assert one["synthaug"]["name"] == other["synthaug"]["name"]
            assert one["image"].equal(other["image"])
            assert one["label"].equal(other["label"])
