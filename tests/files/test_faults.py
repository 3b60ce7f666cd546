"""Whatever fails while something is written, at whatever call: what was there is whole, and the next run completes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug.errors import SynthAugError
from synthaug.files.atomic import create_file, publish_folder, replace_file, write_synced
from tests.files.fault_scenarios import SCENARIOS, Scenario
from tests.files.faulty_files import FAULTS, Fault, PowerCut, faulty_files

STRIDES = {"store": 2, "precompute": 31, "sample": 23, "export": 17, "report": 47, "stage": 11, "live pool": 5}
"""Of long scenarios each n-th call fails, from another one on for each fault; SYNTHAUG_ALL_FAULTS=1 takes all."""


def attempt(scenario: Scenario, folder: Path, fault: Fault, at: int) -> tuple[bool, str]:
    """Do it with a fault; whether the fault came, and what the scenario told, empty where it went through."""
    told = ""
    with faulty_files(folder, fault, at) as layer:
        try:
            code = scenario.act(folder)
            assert code in (None, 0, 1, 2), code
            told = f"exit code {code}" if code else ""
        except (SynthAugError, OSError) as error:
            if scenario.is_command:
                raise AssertionError(f"a traceback of {error!r}") from error
            told = str(error)
        except PowerCut:
            told = "power cut"
    return layer.failed, told


def run_scenario(
    scenario: Scenario, folder: Path, fault: Fault, first: int, stride: int, told: Callable[[], str] | None = None
) -> int:
    """Fail at every n-th call until there is none left; how many faults there were."""
    at, faults = first, 0
    while True:
        here = folder / f"{fault.name}-{at}"
        here.mkdir()
        scenario.prepare(here)
        came, outcome = attempt(scenario, here, fault, at)
        if told is not None:
            text = told()
            assert "Traceback" not in text, (at, text)
            if outcome == "exit code 2":
                assert sum(line.startswith("synthaug: ") for line in text.splitlines()) == 1, (at, text)
        try:
            scenario.check(here)
            if not came:
                return faults
            scenario.act(here)
            scenario.complete(here)
        except Exception as error:
            raise AssertionError(f"after {fault.name} at call {at}: {error!r}") from error
        faults, at = faults + 1, at + stride


@pytest.mark.usefixtures("fresh_accelerator")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_or_half_written(
    name: str, fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stride = 1 if os.environ.get("SYNTHAUG_ALL_FAULTS") else STRIDES.get(name, 1)
    first = 1 + FAULTS.index(fault) % stride
    told = lambda: capsys.readouterr().err  # noqa: E731
    assert run_scenario(SCENARIOS[name], tmp_path, fault, first, stride, told) > 0


def test_the_layer_fails_where_it_is_told_to(tmp_path: Path) -> None:
    full = FAULTS[0]
    (tmp_path / "a").write_bytes(b"old")
    with faulty_files(tmp_path, full, 2) as layer, pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "a", b"new")
    assert layer.failed
    assert [call.split()[0] for call in layer.calls[:2]] == ["open", "write"]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, at: int, durable: bool) -> None:
    with faulty_files(tmp_path, FAULTS[0], at), pytest.raises(OSError, match="No space left") as raised:
        create_file(tmp_path / "a", b"new", durable=durable)
    assert raised.value.filename == str(tmp_path / "a")
    with faulty_files(tmp_path, FAULTS[0], min(at, 2)), pytest.raises(OSError, match="No space left") as raised:
        replace_file(tmp_path / "a", b"new")
    assert raised.value.filename == str(tmp_path / "a")
    with faulty_files(tmp_path, FAULTS[0], min(at, 2)), pytest.raises(OSError, match="No space left") as raised:
        write_synced(tmp_path / "a", b"new")
    assert raised.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        replace_file(tmp_path / "a", b"new")
    assert (raised.value.filename, raised.value.filename2) == (str(tmp_path / "a"), None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_not_synced_is_lost_in_a_power_cut(tmp_path: Path) -> None:
    def write() -> None:
        (tmp_path / "a").write_bytes(b"content")
        write_synced(tmp_path / "b", b"content")
        (tmp_path / "c").mkdir()

    with pytest.raises(PowerCut), faulty_files(tmp_path, FAULTS[-1], 6):
        write()
    assert (tmp_path / "a").read_bytes() == b""
    assert (tmp_path / "b").read_bytes() == b"content"
    assert not (tmp_path / "c").exists()


def test_a_folder_is_published_whole_and_a_file_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    assert publish_folder(tmp_path / "t", tmp_path / "final")
    assert create_file(tmp_path / "c", b"1")
    assert not create_file(tmp_path / "c", b"2")
