"""Files that somebody else may have put into a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synthaug.errors import StoreError
from synthaug.store.cache_file import read_bounded


def test_a_file_within_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "done"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(StoreError, match="has 5 bytes, at most 4"):
        read_bounded(path, 4)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    (tmp_path / "done").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="symbolic link"):
        read_bounded(tmp_path / "done", 5)


def test_a_folder_or_a_pipe_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(StoreError, match="not a regular file"):
            read_bounded(tmp_path / name, 5)
