"""What a wheel and an editable install put into site-packages."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def files_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *, editable: bool) -> dict[str, str]:
    """Names and, for text at the root, contents of what is installed."""
    from hatchling import build

    monkeypatch.chdir(ROOT)
    wheel = folder / (build.build_editable if editable else build.build_wheel)(str(folder))
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() if "/" not in name else "" for name in archive.namelist()}


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_the_start_up_files_lie_at_the_root_of_site_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editable: bool
) -> None:
    files = files_of(tmp_path, monkeypatch, editable=editable)
    (line,) = files["synthaug_nnunet.pth"].splitlines()
    assert line.startswith("import ")
    assert files["synthaug_nnunet.start"].strip() == "nnunet_trainers.startup:install"
    assert ("nnunet_trainers/discovery/synthaug_trainers.py" in files) is not editable
    if editable:
        # site reads the files in the order of their names, and this one puts the package on the path
        (path_file,) = (name for name in files if name.endswith(".pth") and name != "synthaug_nnunet.pth")
        assert path_file < "synthaug_nnunet.pth"
