"""What the installed packages ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug.diagnosis import requirements

WANTED = {"synthaug": ["blosc2>=3.0", "torchio>=0.20; extra == 'dev'"], "nnunetv2": ["torch!=2.9.*,>=2.1.2"]}


def installed(**versions: str) -> Callable[[str], str | None]:
    return versions.get


def test_an_older_blosc2_fails_with_what_installs_a_newer_one() -> None:
    check = requirements.check_requirements(WANTED.get, installed(blosc2="2.5.0", torch="2.15.0"))
    assert check.status == "failed"
    assert "blosc2>=3.0, installed is 2.5.0" in check.found
    assert "'blosc2>=3.0'" in check.mend


def test_a_torch_that_nnunet_excludes_is_a_warning() -> None:
    check = requirements.check_requirements(WANTED.get, installed(blosc2="4.0", torch="2.9.1+cu130"))
    assert check.status == "warning"
    assert "installed is 2.9.1" in check.found


def test_what_an_extra_asks_for_need_not_be_there() -> None:
    assert requirements.check_requirements(WANTED.get, installed(blosc2="4.0", torch="2.15.0")).status == "ok"


def test_what_is_missing_is_named() -> None:
    check = requirements.check_requirements(WANTED.get, installed(blosc2="4.0"))
    assert check.status == "failed"
    assert "not installed" in check.found


def test_a_library_whose_import_breaks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise OSError('libcudart.so.13: cannot open\\nmore')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check = requirements.check_imports(["json", "broken_library"])
    assert check.status == "failed"
    assert "broken_library: OSError: libcudart.so.13: cannot open" in check.found
    assert "broken_library" in check.mend
    assert "json" not in check.mend
    sys.modules.pop("broken_library", None)
