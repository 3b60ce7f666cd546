"""README and docs: links lead somewhere, commands and options exist, code runs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from synthaug.cli import app
from synthaug.precomputing import precompute
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import write_image, write_label
from tests.stand_in_generator import StandInGenerator

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^(?: {4}|\$ )(synthaug [a-z].*)$|`(synthaug [a-z][^`]*)`", re.MULTILINE)


def page_id(page: Path) -> str:
    """Path of a page within the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in targets if not (page.parent / link).exists()] == []


def known_options(words: list[str]) -> tuple[set[str], int]:
    """Options of the command that the words name, and how many words name it."""
    command: Any = typer.main.get_command(app.build_app(words[0]))
    depth = 0
    while hasattr(command, "commands") and words[depth] in command.commands:
        command = command.commands[words[depth]]
        depth += 1
        if depth == len(words):
            break
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}, depth


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_and_their_options_exist(page: Path) -> None:
    unknown = []
    for found in COMMAND.findall(page.read_text()):
        line = next(part for part in found if part)
        words = shlex.split(line.split(" #")[0])[1:]
        if words[0] not in app.COMMANDS:
            unknown.append(line)
            continue
        options, depth = known_options(words)
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        if depth == 0 or not given <= options:
            unknown.append(f"{line}: {sorted(given - options)}")
    assert unknown == []


def test_schedules_in_the_docs_are_read() -> None:
    texts = blocks(ROOT / "docs/concepts/schedules.md", "json")
    assert [type(parse_schedule(json.loads(text))).__name__ for text in texts] == ["Piecewise"]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/how-to/monai.md"], ids=page_id)
def test_python_in_the_docs_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.data import DataLoader

    monkeypatch.chdir(tmp_path)
    generator = StandInGenerator()
    store = Store.create(Path("CACHE"), StoreInfo.of(generator))
    precompute(generator, store, num=2, schedule=parse_schedule("uniform:20:120"))
    real = {"image": np.zeros((1, 32, 32, 32), np.float32), "label": np.zeros((1, 32, 32, 32), np.int16)}
    held_out = tmp_path / "held_0000.nii.gz", tmp_path / "held.nii.gz"
    write_image(held_out[0], np.ones((1, 32, 32, 32), np.float32), np.eye(4))
    write_label(held_out[1], np.ones((32, 32, 32), np.int16), np.eye(4))

    def unchanged(sample: Any) -> Any:
        return sample

    code = blocks(page, "python")
    assert code
    for block in code:
        block = block.replace('"ventricles-t1-1mm"', '"python:tests.stand_in_generator:make"')
        block = block.replace(', device="cuda:1"', "").replace("num_workers=4", "num_workers=0")
        names: dict[str, Any] = {"train_dataset": [real] * 4, "train_transforms": unchanged, "after_loading": unchanged}
        names |= {"DataLoader": DataLoader, "epochs": 1, "validation_files": [held_out]}
        exec(compile(block, page_id(page), "exec"), names)
        assert names["mixed"].stats()["synthetic"] == 2
