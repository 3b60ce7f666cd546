"""One finding about the environment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """A finding and, where something is wrong, what mends it.

    Attributes:
        name: what was looked at.
        status: ``ok``; ``warning``: some uses are affected; ``failed``: training or generation will not work.
        found: what was found.
        mend: command or step that mends it; empty where nothing is wrong.
    """

    name: str
    status: Status
    found: str
    mend: str = ""

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.mend == ""):
            raise ValueError(f"{self.name}: a finding has a mend exactly where something is wrong")

    def to_dict(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return asdict(self)
