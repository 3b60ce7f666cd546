"""A process among those of a launcher."""

from __future__ import annotations

import os
from typing import Any

import pytest

from synthaug.errors import ConfigurationError
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


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise RuntimeError("Found no NVIDIA driver on your system")

    monkeypatch.setattr("torch.cuda.set_device", lacking)
    monkeypatch.setattr("torch.empty", lacking)
    with pytest.raises(ConfigurationError, match="'cuda:3' cannot be used here"):
        leave_the_launcher("cuda:3")
