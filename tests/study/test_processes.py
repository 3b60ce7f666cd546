"""A process among those of a launcher."""

from __future__ import annotations

import os

import pytest

from synthaug.study.processes import leave_the_launcher


def test_every_process_stands_alone_and_knows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "2"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "2"), ("MASTER_ADDR", "x")):
        monkeypatch.setenv(name, value)
    share = leave_the_launcher("cpu")
    assert (share.index, share.count, share.device) == (2, 4, "cpu")
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"} & set(os.environ)


def test_without_a_launcher_it_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert leave_the_launcher("cpu").count == 1
