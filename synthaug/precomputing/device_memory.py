"""How much memory a device has left, and how much a piece of work took at its peak."""

from __future__ import annotations

import gc
import sys
from typing import Protocol


class DeviceMemory(Protocol):
    """Memory of the device that a generator works on, in bytes."""

    def begin(self) -> None:
        """Forget the peak so far."""

    def taken(self) -> int:
        """The peak since ``begin``, beyond what is still held now."""

    def free(self) -> int:
        """What this process could still have."""


class CudaMemory:
    """A CUDA device's memory, by torch's own account.

    Args:
        device: ``cuda`` or ``cuda:N``.
    """

    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._device = torch.device(device)

    def begin(self) -> None:
        """Forget the peak so far."""
        self._cuda.reset_peak_memory_stats(self._device)

    def taken(self) -> int:
        """The peak since ``begin``, beyond what is still held now (weights)."""
        return int(self._cuda.max_memory_allocated(self._device) - self._cuda.memory_allocated(self._device))

    def free(self) -> int:
        """Free on the device, with what torch keeps for later."""
        kept = self._cuda.memory_reserved(self._device) - self._cuda.memory_allocated(self._device)
        return int(self._cuda.mem_get_info(self._device)[0] + kept)


def memory_of(device: str) -> DeviceMemory | None:
    """The memory of a torch device that batches are sized by; None for a processor, whose cores one case keeps busy."""
    return CudaMemory(device) if device.startswith("cuda") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up: Python's, numpy's, torch's on an accelerator or on the CPU."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's allocator on the CPU


def give_back_memory() -> None:
    """Return what torch keeps for later, so that a smaller piece of work finds room in one piece."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
