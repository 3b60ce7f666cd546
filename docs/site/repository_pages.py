"""Hook of MkDocs: files of the repository outside ``docs/`` that pages link to become pages, too.

README.md is the home page, model cards and other Markdown files are pages, and scripts are shown as they are. Links are
written as they lead within the repository, so that they work there as well.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from command_reference import command_reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Markdown files at the root, and the pages that they become."""

LANGUAGES = {".py": "python", ".sh": "bash", ".sbatch": "bash", ".json": "json", ".yml": "yaml", ".toml": "toml"}
LINK = re.compile(r"(\]\()([^)#\s]*)(#[^)\s]*)?(\))")
FENCED = re.compile(r"(^```.*?^```\s*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
COMMANDS_HERE = "<!-- commands -->"
SEARCH_FROM_FILES = Path(__file__).with_name("search_from_files.js")
SHIM = re.compile(r"<script src=[\"']?https://unpkg\.com/iframe-worker/shim[\"']?></script>")
LOADED = (
    re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"),
    re.compile(r"<link\b[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"),
)
"""What a page has its reader's browser fetch from elsewhere."""


def model_cards() -> dict[str, str]:
    """Model cards in the repository, and the pages that they become."""
    cards = sorted(ROOT.glob("pretrained/*/README.md"))
    return {card.relative_to(ROOT).as_posix(): f"models/{card.parent.name}.md" for card in cards}


def page_of(path: str) -> str:
    """Page that shows a file of the repository.

    Args:
        path: within the repository.

    Raises:
        PluginError: there is no such file.
    """
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    known = PAGES | model_cards()
    if path in known:
        return known[path]
    if not (ROOT / path).is_file():
        raise PluginError(f"{path}: a page links to it, and there is no such file")
    return f"files/{path}.md"


def file_as_page(path: str) -> str:
    """A file as a page with one code block."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {Path(path).name}\n\n`{path}`\n\n````{language}\n{text.rstrip()}\n````\n"


def with_links(text: str, path: str, page: str) -> tuple[str, set[str]]:
    """Markdown whose links lead to pages, and the files outside ``docs/`` that it links to.

    Args:
        text: Markdown.
        path: of the file within the repository; links are relative to it.
        page: that it becomes; links of the result are relative to that.
    """
    linked: set[str] = set()

    def lead(found: re.Match[str]) -> str:
        opening, target, anchor, closing = found[1], found[2], found[3] or "", found[4]
        if not target or ":" in target:
            return found[0]
        to = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not to.startswith("docs/"):
            linked.add(to)
        return f"{opening}{posixpath.relpath(page_of(to), posixpath.dirname(page) or '.')}{anchor}{closing}"

    # code is left as it is: the odd parts of a split by a group are what the group matched
    parts = FENCED.split(text)
    return "".join(part if number % 2 else LINK.sub(lead, part) for number, part in enumerate(parts)), linked


def source_of(page: str) -> str:
    """File of the repository that a page is made of."""
    outside = {to: path for path, to in (PAGES | model_cards()).items()}
    return outside.get(page, f"docs/{page}")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show pages that the navigation does not name at the end of the section that has pages of their folder."""
    for section in config.nav or []:
        ((title, pages),) = section.items()
        if title == "Models":
            pages.extend(sorted(model_cards().values()))
        if isinstance(pages, list):
            for folder in dict.fromkeys(posixpath.dirname(page) for page in pages if posixpath.dirname(page)):
                present = [f"{folder}/{path.name}" for path in sorted((ROOT / "docs" / folder).glob("*.md"))]
                pages.extend(page for page in present if page not in pages)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what lies outside ``docs/``."""
    for path, page in (PAGES | model_cards()).items():
        text = (ROOT / path).read_text(encoding="utf-8")
        # the home page has no section whose pages could stand beside it
        front = "---\nhide: [navigation]\n---\n\n" if page == "index.md" else ""
        files.append(File.generated(config, page, content=front + text))
    linked: set[str] = set()
    for file in files.documentation_pages():
        linked |= with_links(file.content_string, source_of(file.src_uri), file.src_uri)[1]
    for path in sorted(linked - {*PAGES, *model_cards()}):
        shown = File.generated(config, page_of(path), content=file_as_page(path))
        shown.inclusion = shown.inclusion.NOT_IN_NAV
        files.append(shown)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to pages, and fill in what is generated."""
    uri = page.file.src_uri
    if uri.startswith("files/"):
        return markdown
    text, _ = with_links(markdown, source_of(uri), uri)
    return text.replace(COMMANDS_HERE, command_reference()) if COMMANDS_HERE in text else text


def on_post_page(output: str, **_: Any) -> str:
    """Have the search work from files without a script from elsewhere, and refuse pages that load anything else.

    Raises:
        PluginError: names what would be loaded.
    """
    output = SHIM.sub(lambda _: f"<script>{SEARCH_FROM_FILES.read_text(encoding='utf-8')}</script>", output)
    if loaded := [address for pattern in LOADED for address in pattern.findall(output)]:
        raise PluginError(f"a page loads {', '.join(loaded)} from elsewhere")
    return output


def on_post_template(output: str, **_: Any) -> str:
    """The same for pages without a Markdown file, such as that of an address that does not exist."""
    return on_post_page(output)
