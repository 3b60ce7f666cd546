"""``synthaug cache`` as it is called."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.files.process_identity import ProcessIdentity
from synthaug.store import Store, StoreInfo
from tests.files.faulty_files import FAULTS, faulty_files
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator)
    store.events.write("rejected", name="x", seed=1, reasons=["missing-structure"])
    return store.folder


def test_info_counts_cases_volumes_and_rejects(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "info", str(cache), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cases"] == 3
    assert facts["generator"] == "stand-in"
    assert facts["rejects"] == {"missing-structure": 1}
    assert facts["realised_ml"]["ventricles"]["median"] == pytest.approx(35.0, abs=0.1)
    assert run(["cache", "info", str(cache)]) == 0
    assert "missing-structure 1" in capsys.readouterr().out


def test_verify_is_silent_about_a_sound_cache(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "verify", str(cache)]) == 0
    assert "3 cases, 0 problems" in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_verify_names_the_case_of_a_wrong_byte(
    cache: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    name = Store.open(cache).names()[1]
    image = cache / "cases" / name / "image.b2nd"
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    assert run(["cache", "verify", str(cache), *form]) == 1
    assert name in capsys.readouterr().out


def test_verify_does_not_count_what_a_killed_process_left(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = cache / "claims"
    claims.mkdir()
    own = ProcessIdentity.current()
    gone = ProcessIdentity(own.machine, own.pid, own.start + 1)
    (claims / "sa0").write_text(json.dumps({"process": gone.tag}))
    assert run(["cache", "verify", str(cache)]) == 0
    assert "3 cases, 0 problems, 1 left by processes that are gone" in capsys.readouterr().out
    assert run(["cache", "verify", str(cache), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["problems"], facts["leftovers"][0]["file"]) == ([], "claims/sa0")


@pytest.mark.parametrize("damage", ["cut", "flip", "cases"])
def test_verify_ends_with_1_for_a_damaged_head_or_lost_cases(
    cache: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    head = cache / "cache.json"
    content = bytearray(head.read_bytes())
    if damage == "cases":
        shutil.rmtree(cache / "cases")
    elif damage == "cut":
        head.write_bytes(content[:100])
    else:
        content[100] ^= 1
        head.write_bytes(content)
    assert run(["cache", "verify", str(cache)]) == 1
    assert ("missing now" if damage == "cases" else "cache.json") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("head", "reason"),
    [("{}", "it has no 'format'"), ("null", "it is no JSON object"), ("[]", "it is no JSON object")],
)
def test_a_head_of_something_else_is_told_in_words(
    cache: Path, capsys: pytest.CaptureFixture[str], head: str, reason: str
) -> None:
    (cache / "cache.json").write_text(head)
    assert run(["cache", "info", str(cache)]) == 2
    assert capsys.readouterr().err.endswith(f"cache.json: is not the head of a cache ({reason}); restore the file\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "is a folder; name a file in it"), ("x.txt", "a PNG picture is drawn"), ("x", "a PNG picture is drawn")],
)
@pytest.mark.parametrize("command", ["cache info", "precompute --generator nope --out"])
def test_a_preview_that_can_be_no_picture_is_refused_first(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str, reason: str
) -> None:
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "pictures" / name
    assert run([*command.split(), str(cache), "--preview", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"synthaug: --preview {path}: {reason}")
    assert said.count("\n") == 1
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.parametrize(
    "line", ["info CACHE --preview OUT/x.png", "export CACHE --out OUT", "export CACHE --out OUT --json"]
)
def test_a_full_disk_is_told_with_the_path(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "out").mkdir()
    words = line.replace("CACHE", str(cache)).replace("OUT", str(tmp_path / "out")).split()
    with faulty_files(tmp_path / "out", FAULTS[0], 2):
        assert run(["cache", *words]) == 2
    assert re.match(rf"synthaug: {tmp_path}/out/\w+\.\w+: No space left on device; free", capsys.readouterr().err)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing_of_a_cache_that_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    generator = ["--generator", "python:tests.stand_in_generator:make", "--num", "1"]
    with faulty_files(tmp_path, FAULTS[0], 3):
        assert run(["precompute", *generator, "--out", str(out)]) == 2
    assert f"{out}/cache.json: No space left on device" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_a_full_disk_behind_standard_output_is_told(cache: Path) -> None:
    command = [sys.executable, "-m", "synthaug", "cache", "info", str(cache), "--json"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.stderr.startswith("synthaug: standard output: No space left on device; free some space")
    assert ended.stderr.count("\n") == 1
    assert ended.returncode == 2


def test_export_writes_nifti_files(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "export", str(cache), "--format", "nifti", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("sub-*/anat/*_T1w.nii.gz"))) == 3
    assert "3 cases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["info", "nowhere"], "not a cache"),
        (["verify", "nowhere"], "not a cache"),
        (["export", "nowhere", "--out", "out"], "not a cache"),
        (["export", "nowhere", "--format", "dicom", "--out", "out"], "nifti"),
    ],
)
def test_mistakes_are_one_line_with_exit_code_2(
    arguments: list[str],
    what: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["cache", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert what in error
    assert "\n" not in error
    assert list(tmp_path.iterdir()) == []
