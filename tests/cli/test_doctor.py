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
    monkeypatch.setattr(doctor, "collect", lambda *_: [Check("gpu", "failed", "is on fire [hot]", "pour water")])
    assert app.run(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "is on fire [hot]" in printed
    assert "mend: pour water" in printed


def test_a_folder_that_is_no_cache_fails_with_what_to_give(tmp_path: Path) -> None:
    (check,) = [one for one in doctor.collect(cache=tmp_path) if one.name == "cache"]
    assert check.status == "failed"
    assert "synthaug precompute" in check.mend
