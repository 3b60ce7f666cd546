"""``synthaug doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.cli import app, doctor
from synthaug.diagnosis.check import Check


def test_json_holds_every_finding_and_the_mend_of_each_that_is_not_ok(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    code = app.run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    named = {check["name"]: check for check in report["checks"]}
    assert {"python", "nnunetv2", "torch and torchvision", "trainer search", "cpu", "disk", "generators"} <= set(named)
    assert named["nnUNet_raw"]["status"] == "warning"
    assert all(bool(check["mend"]) == (check["status"] != "ok") for check in report["checks"])


def test_a_failure_gives_exit_code_1_and_prints_the_mend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "collect", lambda *_, **__: [Check("gpu", "failed", "is on fire [hot]", "pour water")])
    assert app.run(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "is on fire [hot]" in printed
    assert "mend: pour water" in printed


def test_a_folder_that_is_no_cache_fails_with_what_to_give(tmp_path: Path) -> None:
    (check,) = [one for one in doctor.collect(cache=tmp_path) if one.name == "cache"]
    assert check.status == "failed"
    assert "synthaug precompute" in check.mend


def test_quiet_shows_what_is_wrong_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("cpu", "ok", "two threads"), Check("disk", "warning", "is full", "free some")]
    monkeypatch.setattr(doctor, "collect", lambda *_, **__: checks)
    assert app.run(["doctor", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "is full" in printed
    assert "two threads" not in printed


def test_a_library_that_does_not_import_leaves_the_other_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Check("imports", "failed", "torch: OSError: libcudart.so is missing", "pip install torch")
    monkeypatch.setattr("synthaug.diagnosis.requirements.check_imports", lambda: broken)
    monkeypatch.setattr("synthaug.diagnosis.trainers.check_discovery", lambda: 1 / 0)
    named = {check.name: check for check in doctor.collect()}
    assert named["imports"] is broken
    assert named["trainers"].found.startswith("ZeroDivisionError")
    assert "disk" in named
    assert "generators" not in named


def test_a_generator_that_is_not_there_fails_with_those_that_are() -> None:
    (check,) = [one for one in doctor.collect(generator="ventricles-t2") if one.name == "generator"]
    assert check.status == "failed"
    assert "ventricles-t1-1mm" in check.found


def test_a_fold_without_a_dataset_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["doctor", "--fold", "1"]) == 2
    assert "--dataset" in capsys.readouterr().err
