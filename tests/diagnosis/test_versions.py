"""Known conflicts between versions."""

from __future__ import annotations

import pytest

from synthaug.diagnosis import versions


@pytest.mark.parametrize(
    ("nnunet", "status"), [("2.8.1", "ok"), ("2.7.0", "failed"), ("2.5.2", "failed"), (None, "failed")]
)
def test_nnunet_must_be_new_enough_to_find_external_trainers(nnunet: str | None, status: str) -> None:
    check = versions.check_nnunet(nnunet)
    assert check.status == status
    assert ("pip install" in check.mend) == (status == "failed")


def test_a_release_without_external_trainers_can_be_kept() -> None:
    assert "synthaug_trainers.py" in versions.check_nnunet("2.7.0").mend


def test_a_torchvision_built_for_another_torch_fails_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "requires", lambda name: ["numpy", "torch==2.13.0"])
    check = versions.check_torchvision("2.15.0+cu130", "0.28.0")
    assert check.status == "failed"
    assert "torch==2.13.0" in check.found
    assert "constraints.txt" in check.mend


def test_a_torchvision_whose_import_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nmore lines")

    monkeypatch.setattr(versions, "requires", lambda name: ["torch==2.15.0"])
    monkeypatch.setattr(versions.importlib, "import_module", broken)
    check = versions.check_torchvision("2.15.0+cpu", "0.30.0")
    assert check.status == "failed"
    assert check.found.endswith("operator torchvision::nms does not exist")


def test_the_environment_of_the_tests_has_no_version_conflict() -> None:
    assert [check.to_dict() for check in versions.check_versions() if check.status != "ok"] == []
