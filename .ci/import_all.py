"""Imports every module of synthaug; fails where one does, unless for want of a library that may be absent.

python .ci/import_all.py [--without LIBRARY ...]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys


def main() -> int:
    """Import all, print which lack a library that is due and how many were left out; any other error ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=[], help="libraries that need not be installed")
    absent = set(parser.parse_args().without)
    imported, left_out, failed = 0, 0, []
    for package in ("synthaug", "nnunet_trainers"):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda name: None):
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if (error.name or "").split(".")[0] not in absent:
                    failed.append(f"{module.name}: {error}")
                left_out += 1
            else:
                imported += 1
    print(f"{imported} modules imported, {left_out} need a library that is not there", *failed, sep="\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
