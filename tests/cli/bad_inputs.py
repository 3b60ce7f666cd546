"""Inputs that are refused: what they are, the command that meets them, and how it ends.

The page docs/reference/bad-inputs.md is made from these rows, with the messages that the commands print:

    python -m tests.cli.bad_inputs
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from synthaug.cli.app import run
from tests.cli.bad_files import (
    CONFIG,
    DATASET,
    DEEP,
    WEIGHTS,
    Words,
    cache,
    escaping_case,
    fitted,
    flipped,
    head,
    header,
    label_voxel,
    linked_array,
    linked_case,
    linked_cases,
    of_dataset,
    other_ending,
    overlap,
    overwritten,
    own_labels,
    precompute,
    record,
    sample,
    schedule_file,
    scheme_file,
    setting,
    sparse,
    terabytes,
    weights_header,
    without_head,
    write_sound,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-inputs.md"
HEAD = """# Bad inputs

What the commands do with inputs that they cannot use. A mistake that you can mend is one line on the standard error and
exit code 2; a check that found something wrong ends with exit code 1. An input is refused before anything is written;
an export ends at the case that is damaged, and its files are not written. `...` is the folder of the input. In a
message, line breaks and control characters of a file or an argument are shown as blanks and escapes.

This page is made by `python -m tests.cli.bad_inputs` from the inputs of `tests/cli/bad_inputs.py`; a test fails where
it is out of date.

| input | command | message | exit code |
|---|---|---|--:|
"""
LIBRARIES = re.compile(
    r"\((?:Storage size|Error while|Compressed file|Exceeds the limit|'utf-8' codec|Expecting|Not a gzipped|Empty file|"
    r"data code).*\)(?=; )"
)
"""What other libraries add, which differs with their versions."""


@dataclass(frozen=True)
class BadInput:
    """A row of the page.

    Attributes:
        what: the input.
        spoil: changes the sound folder that it is given, and gives the command line.
        code: how the command ends.
    """

    what: str
    spoil: Callable[[Path], Words]
    code: int = 2


BAD_INPUTS = (
    BadInput(
        "a NIfTI header that claims 30,000 x 30,000 x 30,000 voxels", header("label.nii.gz", 42, "3h", *[30000] * 3)
    ),
    BadInput("a small NIfTI file whose header claims a GiB of voxels", header("label.nii.gz", 42, "3h", *[1000] * 3)),
    BadInput("a NIfTI header whose data begins after 3 GB", header("label.nii.gz", 108, "f", 3.2e9)),
    BadInput("a NIfTI header with an infinite offset", header("label.nii.gz", 108, "f", float("inf"))),
    BadInput("a NIfTI header with a negative size", header("label.nii.gz", 42, "h", -5)),
    BadInput("a NIfTI header with a type of voxel that does not exist", header("label.nii.gz", 70, "h", -1)),
    BadInput("a NIfTI header with an affine of NaN", header("label.nii.gz", 280, "f", float("nan"))),
    BadInput("a NIfTI file cut off", overwritten("label.nii.gz", lambda content: content[:400], own_labels)),
    BadInput("an empty NIfTI file", overwritten("label.nii.gz", b"", own_labels)),
    BadInput("a text named .nii.gz", overwritten("label.nii.gz", b"no NIfTI at all", own_labels)),
    BadInput("an image that is no NIfTI by its name", other_ending),
    BadInput("labels that are no whole numbers", label_voxel(1.5)),
    BadInput("labels of NaN", label_voxel(float("nan"))),
    BadInput("a label beyond the generator's", label_voxel(99)),
    BadInput(
        "no such file", lambda folder: ["sample", "--labels", str(folder / "none.nii.gz"), "--out", str(folder / "out")]
    ),
    BadInput("a generator's name that leads elsewhere", setting(CONFIG, "name", "../../escaped", fitted)),
    BadInput("a configuration with an unknown key", setting(CONFIG, "weights_file", "../../x.safetensors", fitted)),
    BadInput("a configuration whose grid is enormous", setting(CONFIG, "grid.shape", [10**12] * 3, fitted)),
    BadInput("a configuration of a later version", setting(CONFIG, "format_version", 99, fitted)),
    BadInput("JSON nested 100,000 deep", overwritten(CONFIG, b"[" * DEEP, fitted)),
    BadInput("JSON of 1 GB", sparse(CONFIG, 10**9, fitted)),
    BadInput("JSON with a number of 5,000 digits", overwritten(CONFIG, b'{"name": ' + b"9" * 5000 + b"}", fitted)),
    BadInput("JSON with NaN", overwritten(CONFIG, b'{"name": NaN}', fitted)),
    BadInput("JSON with a key twice", overwritten(CONFIG, b'{"name": "a", "name": "b"}', fitted)),
    BadInput("JSON that is no UTF-8", overwritten(CONFIG, b"\xff\xfe{}", fitted)),
    BadInput("weights of 10 GB for a small network", sparse(WEIGHTS, 10**10, fitted)),
    BadInput(
        "weights whose header claims 10 GB",
        overwritten(WEIGHTS, lambda c: struct.pack("<Q", 10**10) + c[8:], fitted),
    ),
    BadInput("weights whose tensors overlap", weights_header(overlap)),
    BadInput(
        "weights that are a pickle",
        overwritten(WEIGHTS, b"\x80\x04cos\nsystem\n(X\x04\x00\x00\x00truetR.", fitted),
    ),
    BadInput("a cache without its head", without_head),
    BadInput("a cache of a later version", head("format_version", 99)),
    BadInput(
        "a head of a cache with a wrong byte",
        overwritten("cache/cache.json", lambda c: c.replace(b"T1", b"T2", 1), cache),
    ),
    BadInput("a head of a cache with channels that are no texts", head("channels", [{}])),
    BadInput("a symbolic link in the place of a case", linked_case),
    BadInput("a symbolic link in the place of the folder of cases", linked_cases),
    BadInput("a symbolic link in the place of an array", linked_array, 1),
    BadInput("an array with a wrong bit", flipped, 1),
    BadInput("an array that claims terabytes", record(terabytes, "export")),
    BadInput("a record of a case without an affine", record(lambda one: one.pop("affine"), "export")),
    BadInput("a record with another case's name", record(lambda one: one.update(name="other"), "export")),
    BadInput("a data set with a case that leads elsewhere", escaping_case),
    BadInput("a data set without labels", setting(DATASET.replace("raw", "preprocessed"), "labels", {}, of_dataset)),
    BadInput("a data set with no file ending", setting(DATASET, "file_ending", None, of_dataset)),
    BadInput(
        "a label scheme with an id beyond 16 bits",
        scheme_file({"name": "x", "structures": [{"name": "a", "id": 10**30}]}),
    ),
    BadInput("a label scheme that is a list", scheme_file([])),
    BadInput("a schedule of an unknown kind", lambda folder: precompute(folder, "--schedule", "unifrom:20:120")),
    BadInput(
        "a schedule with a number that is none", lambda folder: precompute(folder, "--schedule", "uniform:20:nan")
    ),
    BadInput(
        "a schedule beyond the generator's bounds", lambda folder: precompute(folder, "--schedule", "uniform:20:9999")
    ),
    BadInput(
        "a schedule of what real cases lack, without a data set",
        lambda folder: precompute(folder, "--schedule", "missing:8:90"),
    ),
    BadInput("a schedule file that is no JSON", schedule_file(b"uniform")),
    BadInput("a target that is no number", lambda folder: sample(folder, "--target", "ventricles=much")),
    BadInput("a target for no structure", lambda folder: sample(folder, "--target", "ventricle=40")),
    BadInput(
        "a line break in an argument", lambda folder: sample(folder, "--target", "a\nsynthaug: all is well=1\x1b[2J")
    ),
    BadInput("an option without a value", lambda folder: fitted(folder, "--option", "steps")),
    BadInput(
        "an unknown option of a generator",
        lambda folder: fitted(folder, "--option", "step=3", "--target", "brain=1200"),
    ),
    BadInput(
        "an unknown generator",
        lambda folder: ["sample", "--generator", "ventricles", "--target", "a=1", "--out", "out"],
    ),
    BadInput(
        "a file in the place of the output folder",
        lambda folder: ((folder / "out").write_text(""), precompute(folder))[1],
    ),
)
"""All rows."""


def surroundings(folder: Path) -> AbstractContextManager[Any]:
    """The environment that the commands are given."""
    places = {"nnUNet_raw": str(folder / "raw"), "nnUNet_preprocessed": str(folder / "preprocessed")}
    return mock.patch.dict(os.environ, places)


def told(row: BadInput, folder: Path) -> tuple[str, int, str]:
    """The command, its exit code, and what it says, without the folder's place."""
    words = row.spoil(folder)
    out, err = io.StringIO(), io.StringIO()
    with surroundings(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    text = (err.getvalue() if code == 2 else out.getvalue()).strip()
    lines = [line for line in text.splitlines() if line]
    message = lines[-1] if code == 2 else lines[0]
    message = LIBRARIES.sub("(...)", message.replace(str(folder), "..."))
    return " ".join(words[: 2 if words[0] == "cache" else 1]), code, message


def to_page(rows: list[tuple[str, str, str, int]]) -> str:
    """The page."""
    lines = [f"| {what} | `{command}` | {_cell(message)} | {code} |" for what, command, message, code in rows]
    return HEAD + "\n".join(lines) + "\n"


def _cell(message: str) -> str:
    plain = message.removeprefix("synthaug: ").replace(
        "`", "'"
    )  # the commands that a mend names are none of the page's
    return re.sub(r"([|<>*_\[\]])", r"\\\1", plain)


def make_page() -> str:
    """The page, from what the commands say now."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        sound = Path(place, "sound")
        sound.mkdir()
        write_sound(sound)
        for number, row in enumerate(BAD_INPUTS):
            folder = copy_of(sound, Path(place).resolve() / str(number))
            command, code, message = told(row, folder)
            rows.append((row.what, command, message, code))
    return to_page(rows)


def copy_of(sound: Path, folder: Path) -> Path:
    """The sound folder once more."""
    import shutil

    return Path(shutil.copytree(sound, folder))


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(make_page(), encoding="utf-8")
