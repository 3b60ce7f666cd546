"""Which device and floating-point type the networks run in."""

from __future__ import annotations

import contextlib
import platform
from functools import cache
from pathlib import Path
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
    """bfloat16 where the hardware multiplies it faster (two to eight times), float32 elsewhere.

    AVX512-BF16 is twice as fast as float32 on AMD's processors. Intel's have half as many units for it as for float32,
    so that nothing is gained, and conversions cost a sixth of the time: there it takes AMX.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and not is_intel()):
        return torch.bfloat16
    return torch.float32


@cache
def is_intel() -> bool:
    """Whether the processor is one of Intel's."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # not Linux
        return "GenuineIntel" in platform.processor()


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Autocast context, or none for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)
