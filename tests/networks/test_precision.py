from __future__ import annotations

import pytest
import torch

from synthaug.errors import ConfigurationError
from synthaug.networks.precision import autocast, choose_device, choose_dtype


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
    ("amx", "avx512_bf16", "expected"),
    [(True, True, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)],
)
def test_bfloat16_is_chosen_where_a_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    assert choose_dtype(torch.device("cpu")) == expected
