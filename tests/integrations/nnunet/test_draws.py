"""Which draws are synthetic, what workers share, and what a mixed dataset does with it."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.integrations.nnunet.shared_state import DrawCounts, SharedState
from synthaug.integrations.nnunet.synthetic_share import BLOCK, is_synthetic


@given(
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    rank=st.integers(0, 7),
    epoch=st.integers(0, 2000),
    draws=st.integers(1, 200),
)
def test_any_number_of_draws_holds_the_fraction_to_less_than_a_block(
    fraction: float, seed: int, rank: int, epoch: int, draws: int
) -> None:
    drawn = sum(is_synthetic(fraction, seed=seed, rank=rank, epoch=epoch, index=index) for index in range(draws))
    assert abs(drawn - fraction * draws) <= BLOCK + 1


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_none_and_all_are_exact(fraction: float) -> None:
    drawn = {is_synthetic(fraction, seed=1, rank=0, epoch=3, index=index) for index in range(500)}
    assert drawn == {bool(fraction)}


def test_each_position_of_a_batch_gets_its_share() -> None:
    # the last positions of a batch are those that nnU-Net oversamples foreground in
    by_position = Counter(
        index % 2
        for epoch in range(100)
        for index in range(40)
        if is_synthetic(0.5, seed=0, rank=0, epoch=epoch, index=index)
    )
    assert by_position[0] == pytest.approx(1000, abs=100)
    assert by_position[1] == pytest.approx(1000, abs=100)


def test_epochs_ranks_and_seeds_differ() -> None:
    def pattern(**changed: int) -> tuple[bool, ...]:
        where = {"seed": 0, "rank": 0, "epoch": 0, **changed}
        return tuple(is_synthetic(0.5, index=index, **where) for index in range(64))

    assert len({pattern(), pattern(rank=1), pattern(epoch=1), pattern(seed=1)}) == 4
    assert pattern() == pattern()


def draw_in_a_worker(state: SharedState, number: int, tickets: Any) -> None:
    for _ in range(number):
        ticket = state.next_draw()
        state.count_synthetic(f"case-{ticket.index % 3}", 10.0 * (ticket.index % 3))
        tickets.put((ticket.epoch, ticket.index, ticket.progress))


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_workers_share_numbers_and_counts(start_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = multiprocessing.get_context(start_method)
    # the default context is what a platform's own start method makes it
    monkeypatch.setattr(multiprocessing, "Lock", context.Lock)
    monkeypatch.setattr(multiprocessing, "RawArray", context.RawArray)
    state = SharedState()
    state.set_epoch(5, 20)
    tickets: Any = context.Queue()
    workers = [context.Process(target=draw_in_a_worker, args=(state, 50, tickets)) for _ in range(2)]
    for worker in workers:
        worker.start()
    drawn = [tickets.get(timeout=120) for _ in range(100)]
    for worker in workers:
        worker.join()
    assert sorted(index for _, index, _ in drawn) == list(range(100))
    assert {(epoch, progress) for epoch, _, progress in drawn} == {(5, 0.275)}
    nothing = DrawCounts(0, 0, 0, 0)
    counts, cases = state.drawn_since(nothing)
    assert counts.synthetic == 100
    assert len(set(cases.cases.tolist())) == 3
    assert Counter(cases.volumes_ml.tolist()) == {0.0: 34, 10.0: 33, 20.0: 33}


def test_an_epoch_that_is_set_again_does_not_repeat_its_draws() -> None:
    state = SharedState()
    state.set_epoch(0, 10)
    assert [state.next_draw().index for _ in range(3)] == [0, 1, 2]
    state.set_epoch(0, 10)
    assert state.next_draw().index == 3
    state.set_epoch(1, 10)
    ticket = state.next_draw()
    assert (ticket.epoch, ticket.index, ticket.progress) == (1, 0, 0.15)


def test_counts_since_an_earlier_moment() -> None:
    state = SharedState()
    state.count_synthetic("old", 5.0)
    before = state.counts()
    state.count_synthetic("new", 7.0, born=3)
    state.count_real(empty=True)
    state.count_real(unreadable=True)
    state.count_real()
    counts, drawn = state.drawn_since(before)
    since = counts.since(before)
    assert (since.synthetic, since.real, since.empty, since.unreadable) == (1, 3, 1, 1)
    assert (drawn.volumes_ml.tolist(), drawn.born.tolist()) == ([7.0], [3])


def test_of_more_draws_than_are_remembered_the_last_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from synthaug.integrations.nnunet import shared_state

    monkeypatch.setattr(shared_state, "LOG_LENGTH", 4)
    state = SharedState()
    for number in range(7):
        state.count_synthetic(f"case-{number}", float(number))
    counts, drawn = state.drawn_since(DrawCounts(0, 0, 0, 0))
    assert counts.synthetic == 7
    assert drawn.volumes_ml.tolist() == [3.0, 4.0, 5.0, 6.0]


class Real:
    """Stands for nnU-Net's dataset."""

    identifiers = ("a", "b")
    source_folder = "real"
    folder_with_segs_from_previous_stage = None

    def load_case(self, identifier: str) -> tuple[str, None, None, dict[str, Any]]:
        return identifier, None, None, {}


class View:
    """Stands for the view; knows one case less than the source."""

    def load_case(self, name: str) -> tuple[str, None, None, dict[str, Any]]:
        if name == "lost":
            raise FileNotFoundError(name)
        return name, None, None, {}


class Drawn:
    def __init__(self, name: str) -> None:
        self.name = name
        self.volumes_ml = {"ventricles": 40.0}
        self.born = None

    def used(self) -> None:
        """Nobody counts."""

    def discard(self) -> None:
        """Nobody replaces it."""


class Source:
    structure = "ventricles"

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[tuple[int, int, int, int, float]] = []

    def draw(self, index: int, *, seed: int, epoch: int, rank: int, progress: float) -> Drawn | None:
        self.asked.append((index, seed, epoch, rank, progress))
        return Drawn(self.names[index % len(self.names)]) if self.names else None


def mixed(source: Source, fraction: float = 1.0, rank: int = 0) -> Any:
    from synthaug.integrations.nnunet.mixed_dataset import MixedDataset
    from synthaug.schedules import parse_mix

    view: Any = View()
    drawn_from: Any = source
    state = SharedState()
    state.set_epoch(2, 8)
    return MixedDataset(Real(), view, drawn_from, parse_mix(fraction), state, seed=11, rank=rank)


def test_a_mixed_dataset_keeps_the_real_identifiers() -> None:
    dataset = mixed(Source("s"))
    assert dataset.identifiers == ("a", "b")
    assert dataset["a"] == ("s", None, None, {})


def test_a_source_is_asked_with_seed_epoch_rank_and_progress() -> None:
    source = Source("s", "t")
    dataset = mixed(source, rank=3)
    assert [dataset.load_case("a")[0] for _ in range(3)] == ["s", "t", "s"]
    assert source.asked == [(0, 11, 2, 3, 0.3125), (1, 11, 2, 3, 0.3125), (2, 11, 2, 3, 0.3125)]
    counts, drawn = dataset.state.drawn_since(DrawCounts(0, 0, 0, 0))
    assert counts.synthetic == 3
    assert sorted(Counter(drawn.cases.tolist()).values()) == [1, 2]


def test_an_empty_source_and_an_unreadable_case_give_the_real_case_and_are_counted() -> None:
    empty = mixed(Source())
    assert empty.load_case("b")[0] == "b"
    assert (empty.state.counts().empty, empty.state.counts().real) == (1, 1)
    lost = mixed(Source("lost"))
    assert lost.load_case("b")[0] == "b"
    assert (lost.state.counts().unreadable, lost.state.counts().real) == (1, 1)


def test_without_a_synthetic_share_nothing_is_drawn() -> None:
    source = Source("s")
    dataset = mixed(source, fraction=0.0)
    assert [dataset.load_case("a")[0] for _ in range(20)] == ["a"] * 20
    assert source.asked == []


def test_ranks_draw_apart_from_a_store(tmp_path: Path) -> None:
    from synthaug.sources import StoreSource
    from synthaug.store import Store, StoreInfo
    from tests.stand_in_generator import StandInGenerator
    from tests.stand_in_store import fill

    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, np.linspace(20, 60, 12).tolist())
    source = StoreSource(store)

    def drawn(rank: int) -> list[str]:
        return [source.draw(index, seed=0, epoch=0, rank=rank).name for index in range(30)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
