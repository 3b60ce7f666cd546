"""What the shell offers for an option's value: names that ship, and data sets and plans that are there.

Each function takes what was typed so far, imports nothing heavy, and offers nothing where something is wrong; the shell
then offers files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1")
FOLDS = ("0", "1", "2", "3", "4", "all")
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres")
SCHEDULES = ("uniform:20:120", "log-uniform:8:120", "constant:40", "normal:40:10")
MISSING = "missing:8:120"
MIXES = ("mixed:0.5", "real", "synthetic", "synthetic-then-real", "mixed-then-real")

Completer = Callable[[str], list[str]]


def one_of(values: Iterable[str]) -> Completer:
    """Offers those of some values that begin as typed."""
    known = tuple(values)

    def complete(incomplete: str) -> list[str]:
        return [value for value in known if value.startswith(incomplete)]

    return complete


def complete_generator(incomplete: str) -> list[str]:
    """Generators that can be loaded by name."""
    from synthaug.generators.registry import list_generators

    return [info.name for info in list_generators() if info.name.startswith(incomplete)]


def complete_system(incomplete: str) -> list[str]:
    """Systems that ``synthaug fit`` trains."""
    from synthaug.generators.registry import FITTED_SYSTEMS

    return [name for name in FITTED_SYSTEMS if name.startswith(incomplete)]


def complete_mapping(incomplete: str) -> list[str]:
    """Mappings that ship."""
    return _shipped("mappings", incomplete)


def complete_scheme(incomplete: str) -> list[str]:
    """Label schemes that ship."""
    return _shipped("schemes", incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """Numbers of nnU-Net's data sets, or their names where the typed text begins as a name."""
    names = set()
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        root = Path(os.environ.get(variable) or os.devnull)
        if root.is_dir():
            names |= {path.name for path in root.glob("Dataset[0-9]*_*") if path.is_dir()}
    if not incomplete.startswith("D"):
        names = {name.removeprefix("Dataset").split("_")[0].lstrip("0") for name in names}
    return sorted(name for name in names if name.startswith(incomplete))


def _shipped(kind: str, incomplete: str) -> list[str]:
    from synthaug.labels.json_table import shipped_names

    return [name for name in shipped_names(kind) if name.startswith(incomplete)]
