"""README and docs: links lead somewhere, commands and options exist, code runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer

import synthaug
from synthaug.cli import app
from synthaug.conditions import Condition
from synthaug.precomputing import precompute
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import write_image, write_label
from tests.docs.pages import PAGES, ROOT, anchors, blocks, page_id, shell_lines
from tests.stand_in_generator import StandInGenerator

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
INLINE = re.compile(r"`((?:[A-Z]\w*=\S+ )?synthaug [a-z][^`]*)`")
COMMAND = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*(synthaug [a-z].*)$")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    wrong = []
    for target, anchor in LINK.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        led_to = (page.parent / target).resolve() if target else page
        if not led_to.exists() or (anchor and anchor not in anchors(led_to)):
            wrong.append(f"{target}#{anchor}" if anchor else target)
    assert wrong == []


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
    lines = [found[1] for line in shell_lines(page) if (found := COMMAND.match(line))]
    for line in [*lines, *INLINE.findall(page.read_text())]:
        words = shlex.split(line.split(" #")[0])
        words = words[words.index("synthaug") + 1 :]
        if words[0].startswith("-"):
            continue
        if words[0] not in app.COMMANDS:
            unknown.append(line)
            continue
        options, depth = known_options(words)
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        if depth == 0 or not given <= options:
            unknown.append(f"{line}: {sorted(given - options)}")
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_scripts_that_are_called_exist(page: Path) -> None:
    called = re.findall(r"(?:python|bash) ((?:benchmarks|examples|docs|\.ci)/\S+)", "\n".join(shell_lines(page)))
    assert [script for script in called if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = [found[1] for line in shell_lines(page) if (found := re.match(r"make ([a-z]+)", line))]
    assert [target for target in called if target not in targets] == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json")], ids=page_id)
def test_json_in_the_docs_is_valid(page: Path) -> None:
    assert all(isinstance(json.loads(text), dict | list) for text in blocks(page, "json"))


def test_schedules_in_the_docs_are_read() -> None:
    texts = blocks(ROOT / "docs/concepts/schedules.md", "json")
    assert [type(parse_schedule(json.loads(text))).__name__ for text in texts] == ["HistogramMatching", "Piecewise"]


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {synthaug.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.*")))
def test_every_example_is_shown(example: str) -> None:
    assert f"(../examples/{example})" in (ROOT / "docs" / "examples.md").read_text()


def names_for_code(folder: Path) -> dict[str, Any]:
    """What stands for the reader's own data sets, transforms and networks, beside a cache in the current folder."""
    from lightning.pytorch import LightningModule
    from monai.data import Dataset
    from monai.transforms import LoadImaged
    from torch.utils.data import DataLoader

    generator = StandInGenerator()
    store = Store.create(Path("CACHE"), StoreInfo.of(generator))
    precompute(generator, store, num=2, schedule=parse_schedule("uniform:20:120"))
    files = []
    for seed in range(4):
        files.append((folder / f"{seed}_0000.nii.gz", folder / f"{seed}.nii.gz"))
        (pair,) = generator.generate([Condition({"ventricles": 30})], [seed])
        write_image(files[-1][0], pair.image, pair.affine)
        write_label(files[-1][1], pair.label, pair.affine)
    real = Dataset(
        [{"image": image, "label": label} for image, label in files],
        LoadImaged(("image", "label"), ensure_channel_first=True),
    )

    def unchanged(sample: Any) -> Any:
        return sample

    class Module(LightningModule):
        """A network of one parameter."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return (self.scale * batch["image"].mean() - batch["label"].float().mean()) ** 2

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    return {
        "train_dataset": real,
        "after_loading": unchanged,
        "training_files": files,
        "validation_files": files[:1],
        "test_files": files[:1],
        "DataLoader": DataLoader,
        "epochs": 1,
        "module": Module(),
    }


# a smaller generator, and no processes or devices that the machine may lack
SMALLER: Sequence[tuple[str, str]] = (
    ('"ventricles-t1-1mm"', '"python:tests.stand_in_generator:make"'),
    (', device="cuda:1"', ""),
    ("num_workers=4", "num_workers=0"),
)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_id)
def test_python_in_the_docs_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthaug.precomputing import load_named_generator

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(synthaug, "load_generator", load_named_generator, raising=False)
    # nothing is published
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", lambda *_, **__: SimpleNamespace(oid="0" * 40))
    (tmp_path / "my-generator").symlink_to(ROOT / "pretrained" / "ventricles-t1-1mm")
    names = names_for_code(tmp_path)
    for block in blocks(page, "python"):
        for shipped, smaller in SMALLER:
            block = block.replace(shipped, smaller)
        exec(compile(block, page_id(page), "exec"), names)
        if "ratio=0.5" in block:
            assert names["mixed"].stats()["synthetic"] == 2
