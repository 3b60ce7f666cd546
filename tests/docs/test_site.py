"""The documentation's site: built with warnings as errors, complete, and with nothing from elsewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

import synthaug
from synthaug.cli import app
from tests.docs.pages import PAGES, ROOT, page_id

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))
TROUBLES = ROOT / "docs" / "how-to" / "troubleshooting.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_built_and_led_to(site: Path) -> None:
    home = (site / "index.html").read_text()
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    names = [page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in pages]
    names += ["contributing.html", "changelog.html", "models/ventricles-t1-1mm.html"]
    assert [name for name in names if f'href="{name}"' not in home] == []
    assert [name for name in names if not (site / name).is_file()] == []


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = []
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded += re.findall(r"<(?:script|img|iframe|source)\b[^>]*src=[\"']?((?:https?:)?//[^\"'\s>]+)", text)
        loaded += re.findall(r"<link\b[^>]*href=[\"']?((?:https?:)?//[^\"'\s>]+)", text)
    for sheet in site.rglob("*.css"):
        loaded += re.findall(r"url\([\"']?((?:https?:)?//[^\"')]+)|@import[^;]*(https?:[^;]*)", sheet.read_text())
    assert loaded == []


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    reference = (site / "reference" / "python.html").read_text()
    names = [name for name in synthaug.__all__ if name != "__version__"]
    assert [name for name in names if f'.{name}"' not in reference] == []


@pytest.mark.slow
def test_every_command_is_in_the_reference_with_its_options(site: Path) -> None:
    reference = (site / "reference" / "command-line.html").read_text()
    assert [name for name in app.COMMANDS if f'id="synthaug-{name}"' not in reference] == []
    assert "<code>--num &lt;int&gt;</code>" in reference


@pytest.mark.slow
def test_headings_that_links_name_are_there(site: Path) -> None:
    ids = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in site.rglob("*.html")}
    wrong = []
    for page in ids:
        for target, anchor in re.findall(r'<a\b[^>]*href="([^"#:]*)#([^"]+)"', page.read_text()):
            led_to = (page.parent / target).resolve() if target else page
            if led_to in ids and anchor not in ids[led_to] and not anchor.startswith("__"):
                wrong.append(f"{page.relative_to(site)}: {target}#{anchor}")
    assert wrong == []


@pytest.mark.parametrize("picture", PICTURES, ids=page_id)
def test_a_picture_has_its_script_and_stands_beside_its_command(picture: Path) -> None:
    script = picture.with_suffix(".py")
    assert script.is_file()
    shown = [page for page in PAGES if f"pictures/{picture.name})" in page.read_text()]
    assert any(f"python docs/pictures/{script.name}" in page.read_text() for page in shown)
    pixels = matplotlib.image.imread(picture)
    assert pixels.std() > 0.05


def texts_of_code() -> str:
    """All texts in the code, with an ellipsis where something is filled in, and white space as single spaces."""
    import nnunetv2.utilities.find_objects

    files = [*(ROOT / "synthaug").rglob("*.py"), Path(nnunetv2.utilities.find_objects.__file__)]
    found = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(" ".join(text.split()) for text in found)


def test_messages_under_troubleshooting_are_those_of_the_code() -> None:
    messages = re.findall(r"^### `(.*)`$", TROUBLES.read_text(), re.MULTILINE)
    texts = texts_of_code()
    parts = {message: [part.strip(" ();,:") for part in message.split("…")] for message in messages}
    assert len(messages) > 20
    assert [message for message, ones in parts.items() if not all(one in texts for one in ones)] == []
