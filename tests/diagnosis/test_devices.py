"""Devices, and a torch that cannot use them."""

from __future__ import annotations

import pytest

from synthaug.diagnosis import devices


def test_the_speed_of_bfloat16_is_a_ratio_of_times() -> None:
    assert devices.bf16_speedup(edge=8, channels=4, repeats=1) > 0


def test_a_build_without_cuda_on_a_machine_with_a_driver_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check = devices.check_unused_gpu("2.15.0+cpu", None, has_driver=True)
    assert check.status == "warning"
    assert "--force-reinstall" in check.mend
    assert devices.check_unused_gpu("2.15.0+cpu", None, has_driver=False).status == "ok"


def test_a_driver_that_is_too_old_is_told_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check = devices.check_unused_gpu("2.15.0", "13.0", has_driver=True)
    assert check.status == "warning"
    assert "driver" in check.mend


def test_hidden_gpus_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.check_unused_gpu("2.15.0", "13.0", has_driver=True).status == "ok"
