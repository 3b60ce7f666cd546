"""nnU-Net's pickled properties of a case: data is read, anything that runs is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.errors import StoreError
from synthaug.integrations.nnunet.case_properties import read_properties

SOUND = {
    "spacing": [1.0, 2.0, 3.0],
    "class_locations": OrderedDict({1: np.arange(6).reshape(2, 3)}),
    "x": np.float64(2),
}


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def write(folder: Path, content: object) -> Path:
    path = folder / "case.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def test_numbers_texts_and_arrays_are_read(tmp_path: Path) -> None:
    found = read_properties(write(tmp_path, SOUND))
    assert found["spacing"] == SOUND["spacing"]
    assert np.array_equal(found["class_locations"][1], np.arange(6).reshape(2, 3))
    assert found["x"] == 2


def test_what_would_run_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for call in (Call(os.system, f"touch {mark}"), Call(eval, f"open({str(mark)!r}, 'w')"), Call(Path, str(mark))):
        with pytest.raises(StoreError, match="not the properties"):
            read_properties(write(tmp_path, {**SOUND, "x": call}))
    assert not mark.exists()


def test_an_array_of_objects_brings_no_further_pickle(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    inner = pickle.dumps(Call(os.system, f"touch {mark}"))
    hidden = Call(np.ndarray, (2,), np.dtype("O"), inner)
    with pytest.raises(StoreError):
        read_properties(write(tmp_path, {**SOUND, "x": hidden}))
    assert not mark.exists()


def test_an_array_beyond_all_memory_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="delete the view"):
        read_properties(write(tmp_path, {**SOUND, "x": Call(np.ndarray, (2**60,), np.dtype("f8"))}))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, SOUND).rename(tmp_path / "elsewhere.pkl")
    (tmp_path / "case.pkl").symlink_to(tmp_path / "elsewhere.pkl")
    with pytest.raises(StoreError, match="symbolic link"):
        read_properties(tmp_path / "case.pkl")
