"""Which device and floating-point type the networks run in."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from synthaug.errors import ConfigurationError


def choose_device(device: str = "auto") -> torch.device:
    """Resolve ``auto`` to the first GPU, or the CPU where there is none.

    Raises:
        ConfigurationError: the device does not exist here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"device {device!r} cannot be used here ({reason}); use 'auto', 'cpu' or 'cuda:0'"
        ) from error
    return chosen


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (two to eight times faster), float32 elsewhere.

    Intel's processors without AMX gain nothing by AVX512-BF16: a pair takes a sixth longer than in float32. They keep
    to it since float32 convolutions round otherwise in a batch than alone, and a seed's pair is not to depend on its
    batch.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Autocast context, or none for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)
