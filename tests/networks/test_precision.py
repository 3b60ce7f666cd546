from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.networks import precision
from synthaug.networks.precision import autocast, choose_device, choose_dtype, is_intel


def test_a_device_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(ConfigurationError, match=r"device 'cuda:99'.*use 'auto'"):
        choose_device("cuda:99")
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        choose_device("abacus")


def test_float32_runs_without_autocast() -> None:
    device = choose_device("cpu")
    with autocast(device, torch.float32):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(device, torch.bfloat16):
        assert torch.is_autocast_enabled("cpu")
    assert choose_dtype(device) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "intel", "expected"),
    [
        (True, True, True, torch.bfloat16),
        (False, True, True, torch.float32),  # measured: a sixth slower in bfloat16
        (False, True, False, torch.bfloat16),
        (False, False, False, torch.float32),
    ],
)
def test_bfloat16_is_chosen_where_a_processor_multiplies_it_faster(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, intel: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(precision, "is_intel", lambda: intel)
    assert choose_dtype(torch.device("cpu")) == expected


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("vendor_id\t: GenuineIntel\n", "x86_64", True),
        ("vendor_id\t: AuthenticAMD\n", "x86_64", False),
        (None, "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", True),
        (None, "arm", False),
    ],
)
def test_the_maker_of_the_processor_is_read_off_the_system(
    monkeypatch: pytest.MonkeyPatch, file: str | None, name: str, expected: bool
) -> None:
    def read_text(path: Path, errors: str) -> str:
        assert path == Path("/proc/cpuinfo")
        if file is None:
            raise FileNotFoundError(path)
        return file

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(precision.platform, "processor", lambda: name)
    is_intel.cache_clear()
    try:
        assert is_intel() is expected
    finally:
        is_intel.cache_clear()
