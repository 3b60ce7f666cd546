"""How many cases are generated together on one device."""

from __future__ import annotations

from synthaug.errors import ConfigurationError
from synthaug.precomputing.device_memory import DeviceMemory

LARGEST = 16
"""A batch is what a kill may cost; beyond this a GPU gains nothing any more."""

USED_SHARE = 0.6
"""Of the free memory: what a case takes varies, and other programs want some too."""


class BatchSize:
    """Grows to what the free memory holds, and halves when it is used up all the same.

    What is made does not depend on it: the same seed gives the same pair whatever else is in the batch.

    Args:
        fixed: a number of cases; None: by memory.
        memory: of the device; None: cases are made one by one unless ``fixed`` says otherwise.
    """

    def __init__(self, fixed: int | None = None, memory: DeviceMemory | None = None) -> None:
        self._memory = memory if fixed is None else None
        self.size = fixed or 1
        self.limit = fixed or LARGEST
        self.halved = False

    def begin(self) -> None:
        """Before a batch is generated."""
        if self._memory is not None:
            self._memory.begin()

    def finished(self, cases: int) -> None:
        """After a batch of so many cases: with what it took, the size of the next follows."""
        if self._memory is None:
            return
        fits = int(USED_SHARE * self._memory.free() / max(1.0, self._memory.taken() / cases))
        # no faster than twofold: the first cases may have been small ones
        self.size = max(1, min(fits, self.limit, 2 * self.size))

    def halve(self, cases: int) -> None:
        """After memory was used up by a batch of so many cases; none is as large any more."""
        self.halved = True
        self.size = self.limit = max(1, cases // 2)


def parse_batch_size(text: str) -> int | None:
    """``auto`` (None), or a number of cases.

    Raises:
        ConfigurationError: something else.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"--batch-size {text}: give a number of cases, 1 or more, or auto")
    return int(text)
