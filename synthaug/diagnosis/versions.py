"""Installed versions and the conflicts between them that are known."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.version import Version

from synthaug.diagnosis.check import Check

REPORTED = ("torch", "torchvision", "monai", "diffusers", "accelerate", "nnunetv2", "blosc2", "numpy")
NNUNET_FLOOR = Version("2.6")
"""First release whose ``load_case`` returns four values."""
NNUNET_EXTERNAL_TRAINERS = Version("2.8")
"""First release that searches the folders of ``nnUNet_extTrainer``."""
SUPPORTED_PYTHON = ((3, 10), (3, 13))

Installed = Callable[[str], str | None]


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions_in_use() -> dict[str, str]:
    """Versions of Python, of synthaug and of the libraries that decide what is computed, as far as installed."""
    found = {name: installed_version(name) for name in ("synthaug", *REPORTED)}
    return {"python": platform.python_version(), **{name: number for name, number in found.items() if number}}


def check_versions(installed: Installed = installed_version) -> list[Check]:
    """Versions of Python and of the libraries that matter; ``installed`` tells the version of a package."""
    found = {name: installed(name) for name in REPORTED}
    listed = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    return [
        _python(),
        Check("versions", "ok", f"synthaug {installed('synthaug') or 'not installed'}, {listed}"),
        check_torchvision(found["torch"], found["torchvision"]),
        check_nnunet(found["nnunetv2"]),
    ]


def check_nnunet(nnunet: str | None) -> Check:
    """Whether nnU-Net is new enough to train with, and to find trainers outside its own tree."""
    mend = "pip install 'nnunetv2>=2.8'"
    if nnunet is None:
        return Check("nnunetv2", "failed", "not installed", mend)
    if Version(nnunet) < NNUNET_FLOOR:
        return Check("nnunetv2", "failed", f"{nnunet}: training needs at least {NNUNET_FLOOR}", mend)
    if Version(nnunet) < NNUNET_EXTERNAL_TRAINERS:
        found = f"{nnunet}: finds trainers only in its own tree, nnUNet_extTrainer needs {NNUNET_EXTERNAL_TRAINERS}"
        return Check("nnunetv2", "failed", found, f"{mend}; or, to stay with {nnunet}: {copy_trainers()}")
    return Check("nnunetv2", "ok", f"{nnunet} (at least {NNUNET_EXTERNAL_TRAINERS} is needed)")


def copy_trainers() -> str:
    """The command that puts the trainers where a release before 2.8 looks for them."""
    from nnunet_trainers.startup import DISCOVERY_FOLDER

    tree = "$(python -c 'import nnunetv2; print(nnunetv2.__path__[0])')/training/nnUNetTrainer/variants/"
    return f'cp {DISCOVERY_FOLDER}/synthaug_trainers.py "{tree}"'


def check_torchvision(torch: str | None, torchvision: str | None) -> Check:
    """Whether torchvision was built for this torch: nnU-Net's search for trainers imports it."""
    mend = "pip install -c constraints.txt torch torchvision"
    if torch is None:
        return Check("torch and torchvision", "failed", "torch is not installed", mend)
    if torchvision is None:
        return Check("torch and torchvision", "ok", f"torch {torch}, no torchvision")
    wanted = [one for one in map(Requirement, requires("torchvision") or []) if one.name == "torch"]
    found = f"torch {torch}, torchvision {torchvision}"
    for requirement in wanted:
        if not requirement.specifier.contains(Version(torch).base_version, prereleases=True):
            return Check("torch and torchvision", "failed", f"{found}, which needs {requirement}", mend)
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:  # operators that are missing raise RuntimeError
        reason = str(error).splitlines()[0]
        return Check("torch and torchvision", "failed", f"{found}: import torchvision fails: {reason}", mend)
    return Check("torch and torchvision", "ok", f"{found}, import works")


def _python() -> Check:
    low, high = SUPPORTED_PYTHON
    found = f"{platform.python_version()} ({sys.executable})"
    if not low <= sys.version_info[:2] <= high:
        return Check("python", "failed", found, f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}")
    return Check("python", "ok", found)
