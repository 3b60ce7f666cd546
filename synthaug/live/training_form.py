"""What a pool keeps of a case beside the pair itself."""

from __future__ import annotations

from typing import Protocol

from synthaug.store import Store
from synthaug.volumes import LabeledVolume


class TrainingForm(Protocol):
    """Brings cases into the form that a training reads, before they may be drawn; it is pickled."""

    def add(self, store: Store, name: str, pair: LabeledVolume) -> None:
        """Write the form of a case; whole or not at all.

        Raises:
            OSError: the disk refuses.
        """

    def remove(self, store: Store, name: str) -> None:
        """Delete the form of a case; no error where there is none."""
