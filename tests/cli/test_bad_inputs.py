"""Inputs that cannot be used are refused in one line, without more memory or time than they are worth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.bad_inputs import BAD_INPUTS, PAGE, BadInput, copy_of, to_page, told, write_sound

ROWS: dict[str, tuple[str, str, str, int]] = {}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_sound(folder)
    return folder


@pytest.mark.parametrize("row", BAD_INPUTS, ids=lambda row: re.sub("[^a-z0-9]+", "-", row.what.lower()))
def test_it_is_refused_in_one_line(row: BadInput, sound: Path, tmp_path: Path) -> None:
    folder = copy_of(sound, tmp_path.resolve() / "x")
    command, code, message = told(row, folder)
    ROWS[row.what] = (row.what, command, message, code)
    assert code == row.code, message
    if code == 2:
        assert message.startswith("synthaug: "), message
        written = [
            path for path in (folder / "out").rglob("*") if path.is_file() and path.suffix in (".gz", ".b2nd", ".png")
        ]
        assert written == []
    assert not (tmp_path / "escaped").exists()
    assert message.isprintable()


def test_the_page_is_what_the_commands_say() -> None:
    """``python -m tests.cli.bad_inputs`` makes it anew."""
    if len(ROWS) < len(BAD_INPUTS):
        pytest.skip("needs all tests of this module before it, in one process")
    assert PAGE.read_text(encoding="utf-8") == to_page([ROWS[row.what] for row in BAD_INPUTS])
