"""Weights of others are read by name, whatever they are wrapped in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.files.foreign_weights import file_sha256, read_weights

STATE = {"a.weight": torch.arange(3.0), "b.bias": torch.ones(2)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model_state_dict": STATE},
        {f"module.{name}": one for name, one in STATE.items()},
        {"state_dict": {f"module.{name}": one for name, one in STATE.items()}},
    ],
)
def test_wrappers_are_taken_off(tmp_path: Path, content: dict) -> None:
    torch.save(content, tmp_path / "weights.pth")
    found = read_weights(tmp_path / "weights.pth")
    assert list(found) == list(STATE)
    assert all(torch.equal(found[name], one) for name, one in STATE.items())


def test_a_prefix_of_some_names_only_belongs_to_them(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "weights.pth")
    assert list(read_weights(tmp_path / "weights.pth")) == ["module.a", "b"]


@pytest.mark.parametrize("content", [{}, {"a": 1}, torch.ones(2), {"state_dict": {"a": "text"}}])
def test_what_holds_no_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ConfigurationError, match="holds no weights by name"):
        read_weights(tmp_path / "weights.pth")


def test_a_folder_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file; give a file of weights"):
        read_weights(tmp_path)


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
