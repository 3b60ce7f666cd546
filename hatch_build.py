"""Build hook: what goes into the wheel besides the packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

START_UP_FILES = ("synthaug_nnunet.pth", "synthaug_nnunet.start")
"""Read at every start of Python from the root of site-packages; ``.start`` succeeds ``.pth`` (PEP 829)."""


class WheelContents(BuildHookInterface):
    """Adds the start-up files to every wheel and the weights to a standard one.

    An editable install finds the weights in the repository: a copy in site-packages would go stale.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        start_up = {str(root / "nnunet_trainers" / name): name for name in START_UP_FILES}
        if version == "editable":
            build_data["force_include_editable"] = start_up
            return
        build_data["force_include"].update(start_up)
        build_data["force_include"][str(root / "pretrained")] = "synthaug/pretrained"
