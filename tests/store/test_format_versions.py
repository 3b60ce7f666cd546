"""A head of an older format is read and can be migrated; a newer one is refused with what to do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.errors import StoreError
from synthaug.files.canonical_json import canonical_json
from synthaug.store import Store, StoreInfo
from synthaug.store.format_versions import FORMAT_VERSION, MIGRATIONS
from synthaug.volumes import CaseRecord
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill


def seal(described: dict) -> bytes:
    digest = hashlib.sha256(canonical_json(described).encode()).hexdigest()
    return (canonical_json({**described, "sha256": digest}) + "\n").encode()


def first_form(generator: StandInGenerator) -> bytes:
    """``cache.json`` as the first releases wrote it."""
    return seal(
        {
            "format": "synthaug-cache",
            "format_version": 1,
            "generator": generator.name,
            "fingerprint": generator.fingerprint,
            "channels": list(generator.channels),
            "scheme": generator.scheme.to_dict(),
            "bounds_ml": {name: list(limits) for name, limits in generator.bounds.limits_ml.items()},
            "training_cases": [
                {"identifier": one.identifier, "image_sha256": one.image_sha256, "label_sha256": one.label_sha256}
                for one in generator.training_cases
            ],
        }
    )


@pytest.fixture
def generator() -> StandInGenerator:
    return StandInGenerator(training_cases=[CaseRecord("real_1", "a" * 64, "b" * 64)])


@pytest.fixture
def old(tmp_path: Path, generator: StandInGenerator) -> Path:
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator)
    (store.folder / "cache.json").write_bytes(first_form(generator))
    return store.folder


def test_an_older_cache_is_read_added_to_and_left_in_its_form(old: Path, generator: StandInGenerator) -> None:
    before = (old / "cache.json").read_bytes()
    store = Store.open_or_create(old, StoreInfo.of(generator))
    assert store.info == StoreInfo.of(generator)
    assert store.info.format_version == 1
    assert store.read(store.names()[0]).provenance["generator"] == "stand-in"
    fill(store, generator, [80.0, 90.0, 100.0])
    assert store.verify() == []
    assert (old / "cache.json").read_bytes() == before


def test_migrate_writes_the_present_form_once(
    old: Path, generator: StandInGenerator, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {path: path.read_bytes() for path in (old / "cases").rglob("*") if path.is_file()}
    assert run(["cache", "migrate", str(old)]) == 0
    assert f"format version 1 became {FORMAT_VERSION}" in capsys.readouterr().out
    assert Store.open(old).info.format_version == FORMAT_VERSION
    assert Store.open(old).info == StoreInfo.of(generator)
    assert {path: path.read_bytes() for path in (old / "cases").rglob("*") if path.is_file()} == cases
    assert run(["cache", "migrate", str(old)]) == 0
    assert "already" in capsys.readouterr().out
    assert run(["cache", "verify", str(old)]) == 0


def test_every_version_has_a_step_to_the_next() -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT_VERSION))


@pytest.mark.parametrize(
    ("version", "message"),
    [(FORMAT_VERSION + 1, "update synthaug"), (0, "make the cache again"), ("1", "format_version"), (True, "format_")],
)
def test_other_versions_are_refused_in_one_line_that_says_what_to_do(
    old: Path, generator: StandInGenerator, version: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    described = json.loads(first_form(generator))
    del described["sha256"]
    (old / "cache.json").write_bytes(seal({**described, "format_version": version}))
    with pytest.raises(StoreError, match=message):
        Store.open(old)
    assert run(["cache", "info", str(old)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_older_head_with_a_wrong_byte_is_damaged(old: Path) -> None:
    head = old / "cache.json"
    head.write_text(head.read_text().replace("real_1", "real_2"))
    with pytest.raises(StoreError, match="checksum"):
        Store.open(old)
