"""Writing safetensors files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from synthaug.files import tensors


def test_a_full_disk_is_told_as_the_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        tensors.write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.safetensors"))
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_the_file_as_any_new_one(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    tensors.write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
