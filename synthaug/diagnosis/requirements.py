"""Whether what is installed is what the installed packages ask for, and imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement

from synthaug.diagnosis.check import Check
from synthaug.diagnosis.versions import Installed, installed_version

ASKING = ("synthaug", "torch", "nnunetv2", "monai", "blosc2", "diffusers", "accelerate", "batchgenerators")
"""Packages whose requirements are looked at; torchvision, which is bound to one torch, has a check of its own."""
IMPORTED = ("numpy", "torch", "monai", "blosc2", "diffusers", "accelerate", "nibabel", "safetensors")
SHOWN = 6
"""Conflicts that a finding names."""

Required = Callable[[str], Sequence[str] | None]


def required_by(package: str) -> Sequence[str] | None:
    """Requirements of an installed distribution, None where it is not installed or has none."""
    try:
        return requires(package)
    except PackageNotFoundError:
        return None


def check_requirements(required: Required = required_by, installed: Installed = installed_version) -> Check:
    """Whether the versions that the libraries ask for are there: monai and blosc2, numpy, and torch for nnU-Net.

    What synthaug itself asks for has to be there, and what others need at all; their wish for another version is a
    warning, since most of what they do may work.

    Args:
        required: requirements of a package.
        installed: version of a package.
    """
    broken, wanted, looked_at, is_grave = [], [], 0, False
    for package in ASKING:
        for text in required(package) or ():
            one = Requirement(text)
            if one.marker is not None and not one.marker.evaluate({"extra": ""}):
                continue
            looked_at += 1
            version = installed(one.name)
            if version is None:
                broken.append(f"{package} needs {one.name}{one.specifier}, which is not installed")
            elif not one.specifier.contains(version, prereleases=True):
                broken.append(f"{package} needs {one.name}{one.specifier}, installed is {version}")
            else:
                continue
            wanted.append(f"'{one.name}{one.specifier}'")
            is_grave |= package == "synthaug" or version is None
    if not broken:
        return Check("requirements", "ok", f"all {looked_at} of {', '.join(ASKING)} hold")
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    mend = f"pip install -c constraints.txt {' '.join(dict.fromkeys(wanted[:SHOWN]))}"
    return Check("requirements", "failed" if is_grave else "warning", "; ".join(broken[:SHOWN]) + more, mend)


def check_imports(names: Sequence[str] = IMPORTED) -> Check:
    """Whether the libraries import: a version that fits may still be built for another one."""
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken build raises whatever it likes
            failed[name] = f"{name}: {type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
    if not failed:
        return Check("imports", "ok", f"{', '.join(names)} import")
    mend = f"pip install --force-reinstall -c constraints.txt {' '.join(failed)}"
    return Check("imports", "failed", "; ".join(failed.values()), mend)
