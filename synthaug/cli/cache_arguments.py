"""The argument that the commands of ``synthaug cache`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CacheArgument = Annotated[Path, typer.Argument(metavar="CACHE", help="Folder that `synthaug precompute` made.")]
