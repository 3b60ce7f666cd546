"""Memory that is used up, and cases that are judged and written beside the generator."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import StoreError, SynthAugError
from synthaug.store import Store
from synthaug.volumes import LabeledVolume
from tests.precomputing.small_runs import run
from tests.stand_in_generator import StandInGenerator


class Forgetful(StandInGenerator):
    """Runs out of memory where more than some cases are asked for at once, or always."""

    most = 2
    error: type[Exception] = MemoryError

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if len(seeds) > self.most:
            raise self.error("out of memory")
        return super().generate(conditions, seeds)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_batch_that_does_not_fit_is_halved_and_said_so_once(tmp_path: Path, error: type[Exception]) -> None:
    run(tmp_path / "alone", StandInGenerator(), num=9)
    generator = Forgetful()
    generator.error = error
    said: list[str] = []
    summary = run(tmp_path / "cache", generator, num=9, batch_size=8, announce=said.append)
    assert summary.complete
    assert summary.batch_size == 2
    assert len(said) == 1
    assert "8 cases at once do not fit" in said[0]
    assert len(generator.calls) == 9
    alone, halved = Store.open(tmp_path / "alone"), Store.open(tmp_path / "cache")
    assert alone.names() == halved.names()
    for name in alone.names():
        assert alone.provenance(name)["files"] == halved.provenance(name)["files"]
    assert halved.verify() == []


def test_a_single_case_that_does_not_fit_ends_the_run_with_one_line(tmp_path: Path) -> None:
    generator = Forgetful()
    generator.most = 0
    with pytest.raises(SynthAugError, match="a single case does not fit into the memory of cpu"):
        run(tmp_path / "cache", generator, batch_size=2)
    assert Store.open(tmp_path / "cache").claims().names() == []


def test_a_case_that_fits_only_once_others_are_written_is_made(tmp_path: Path) -> None:
    class Tight(StandInGenerator):
        failed = 0

        def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
            if len(self.calls) == 1 and not self.failed:
                self.failed += 1
                raise MemoryError
            return super().generate(conditions, seeds)

    generator = Tight()
    assert run(tmp_path / "cache", generator, num=3).complete
    assert generator.failed == 1


@pytest.mark.parametrize("overlap", [True, False])
def test_an_error_while_a_case_is_written_ends_the_run_and_leaves_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool
) -> None:
    add = Store.add

    def full(store: Store, *arguments: Any, **more: Any) -> bool:
        if len(store) == 2:
            raise StoreError("no space left")
        return add(store, *arguments, **more)

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(StoreError, match="no space"):
        run(tmp_path / "cache", StandInGenerator(), num=30, overlap=overlap)
    monkeypatch.undo()
    store = Store.open(tmp_path / "cache")
    assert len(store) == 2
    assert store.claims().names() == []
    assert store.verify() == []


@pytest.mark.parametrize("overlap", [True, False])
def test_cases_are_judged_and_written_while_the_next_are_generated(tmp_path: Path, overlap: bool) -> None:
    stored, seen = threading.Event(), []

    class Patient(StandInGenerator):
        def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
            if len(self.calls) == 2:  # the second case is being written, or waits for this one to be generated
                seen.append(stored.wait(timeout=5 if overlap else 0))
            return super().generate(conditions, seeds)

    def on_stored(name: str, pair: LabeledVolume) -> None:
        if len(Store.open(tmp_path / "cache")) == 2:
            stored.set()
            seen.append(threading.current_thread() is threading.main_thread())

    run(tmp_path / "cache", Patient(), num=3, overlap=overlap, on_stored=on_stored)
    assert sorted(seen) == ([False, True] if overlap else [True, True])


def test_each_case_is_brought_into_its_form_by_the_process_that_stored_it(tmp_path: Path) -> None:
    formed: list[str] = []
    run(tmp_path / "cache", StandInGenerator(), num=2, on_stored=lambda name, _: formed.append(name))
    run(tmp_path / "cache", StandInGenerator(), num=4, on_stored=lambda name, _: formed.append(name))
    assert sorted(formed) == Store.open(tmp_path / "cache").names()
