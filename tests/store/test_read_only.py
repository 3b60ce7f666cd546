"""A cache where nothing can be written is read, verified and trained from as any other."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug.errors import StoreError
from synthaug.files.atomic import can_write
from synthaug.precomputing import precompute
from synthaug.schedules import parse_schedule
from synthaug.sources import StoreSource
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

NOBODY = 65534


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As a user to whom permissions mean something."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def set_rights(folder: Path, *, of_folders: int, of_files: int) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(parent, name), of_files)
        os.chmod(parent, of_folders)


@pytest.fixture
def cache() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp())  # the folders of pytest are closed to other users
    os.chmod(parent, 0o755)
    generator = StandInGenerator()
    store = Store.create(parent / "cache", StoreInfo.of(generator))
    fill(store, generator)
    store.read(store.names()[0])  # whatever is imported late is imported now
    set_rights(store.folder, of_folders=0o555, of_files=0o444)
    yield store.folder
    set_rights(store.folder, of_folders=0o755, of_files=0o644)
    shutil.rmtree(parent)


def test_draws_and_looks_need_no_right_to_write(cache: Path) -> None:
    with without_rights():
        assert not can_write(cache)
        assert not can_write(cache / "views" / "key")
        store = Store.open(cache)
        source = StoreSource(store, parse_schedule("uniform:20:60"))
        pair = source.draw(0, seed=0, epoch=0).read()
        assert pair is not None
        assert store.verify() == []
        assert store.leftovers() == []


def test_adding_is_refused_in_one_line(cache: Path) -> None:
    with without_rights(), pytest.raises(StoreError, match="Permission denied") as error:
        precompute(StandInGenerator(), Store.open(cache), num=1, schedule=parse_schedule("uniform:20:60"))
    assert "\n" not in str(error.value)


def test_what_can_be_written_is_found_by_writing_and_nothing_stays(tmp_path: Path) -> None:
    assert can_write(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_was_moved_is_the_same_cache(tmp_path: Path) -> None:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    names = fill(store, generator)
    shutil.move(store.folder, tmp_path / "elsewhere")
    moved = Store.open(tmp_path / "elsewhere")
    assert moved.names() == sorted(names)
    assert moved.verify() == []
    for path in moved.folder.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()
