"""Batches grow to what the memory holds, and shrink for good where it is used up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.precomputing.batch_size import LARGEST, BatchSize, parse_batch_size
from synthaug.precomputing.device_memory import is_out_of_memory, memory_of


class Memory:
    """Memory of which every case takes the same."""

    def __init__(self, free: int, a_case: int) -> None:
        self._free, self._a_case, self.cases = free, a_case, 0

    def begin(self) -> None:
        self.cases = 0

    def taken(self) -> int:
        return self._a_case * self.cases

    def free(self) -> int:
        return self._free


def sizes(memory: Memory, batches: int) -> list[int]:
    batch, found = BatchSize(None, memory), []
    for _ in range(batches):
        batch.begin()
        memory.cases = batch.size
        batch.finished(batch.size)
        found.append(batch.size)
    return found


def test_batches_grow_from_one_case_to_what_is_free() -> None:
    assert sizes(Memory(free=1000, a_case=100), 5) == [2, 4, 6, 6, 6]


def test_batches_are_bounded_and_never_empty() -> None:
    assert max(sizes(Memory(free=10**9, a_case=1), 10)) == LARGEST
    assert sizes(Memory(free=10, a_case=100), 3) == [1, 1, 1]


def test_a_number_that_was_given_does_not_change_by_itself() -> None:
    memory = Memory(free=10**9, a_case=1)
    batch = BatchSize(3, memory)
    batch.begin()
    batch.finished(3)
    assert batch.size == 3


def test_where_no_memory_is_told_cases_are_made_one_by_one() -> None:
    batch = BatchSize()
    batch.finished(1)
    assert batch.size == 1
    assert memory_of("cpu") is None


def test_what_did_not_fit_is_not_tried_again() -> None:
    memory = Memory(free=10**9, a_case=1)
    batch = BatchSize(None, memory)
    for _ in range(4):
        memory.cases = batch.size
        batch.finished(batch.size)
    batch.halve(16)
    assert batch.size == 8
    memory.cases = 8
    batch.finished(8)
    assert batch.size == 8
    batch.halve(1)
    assert batch.size == 1


@pytest.mark.parametrize("text", ["0", "-1", "many", "", "1.5"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="auto"):
        parse_batch_size(text)


def test_sizes_are_read() -> None:
    assert (parse_batch_size("auto"), parse_batch_size("12")) == (None, 12)


def test_errors_of_memory_are_told_from_others() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(MemoryError) as too_large:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(too_large.value)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(of_torch.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
