"""What a wheel and an editable install put into site-packages."""

from __future__ import annotations

import subprocess
import sys
import tarfile
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


def test_a_built_wheel_has_the_version_the_weights_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import synthaug

    files = files_of(tmp_path, monkeypatch, editable=False)
    assert f"synthaug-{synthaug.__version__}.dist-info/METADATA" in files
    assert "synthaug/pretrained/ventricles-t1-1mm/config.json" in files
    assert "synthaug/py.typed" in files
    assert not [name for name in files if name.startswith(("tests", "docs", "benchmarks", "examples"))]


def test_the_installed_wheel_runs_from_where_no_repository_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hatchling import build

    import synthaug

    monkeypatch.chdir(ROOT)
    wheel = tmp_path / build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    code = "import synthaug; print(synthaug.__file__); print([one.name for one in synthaug.list_generators()])"
    for command, expected in (
        (["-c", code], str(tmp_path / "site" / "synthaug")),
        (["-c", code], "ventricles-t1-1mm"),
        (["-m", "synthaug", "--version"], synthaug.__version__),
    ):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert expected in done.stdout


def test_the_source_distribution_has_what_building_and_testing_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hatchling import build

    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / build.build_sdist(str(tmp_path))) as archive:
        sizes = {member.name.partition("/")[2]: member.size for member in archive.getmembers()}
    needed = {"pyproject.toml", "hatch_build.py", "constraints.txt", "LICENSE", "tests/conftest.py", "Makefile"}
    assert needed | {"mkdocs.yml"} <= set(sizes)
    tops = {name.split("/")[0] for name in sizes}
    assert tops <= {
        "synthaug", "nnunet_trainers", "pretrained", "tests", "examples", "benchmarks", "docs", "hatch_build.py",
        "constraints.txt", "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "LICENSE", "pyproject.toml",
        "PKG-INFO", ".gitignore", "mkdocs.yml", "CITATION.cff",
    }  # fmt: skip
    assert {name: size for name, size in sizes.items() if size > 30_000_000} == {}
