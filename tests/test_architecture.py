"""The packages import one way, in the order that docs/architecture.md lists them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "synthaug"


def documented_order() -> dict[str, int]:
    """Package or module -> place in the table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    places = {}
    for place, row in enumerate(rows):
        for name in re.findall(r"`([\w/.]+)`", row):
            places[name.strip("/").removesuffix(".py").split("/")[0]] = place
    return places


def imported_parts(module: Path) -> set[str]:
    """First level of every ``synthaug.X`` that a module imports, within functions too."""
    parts = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        parts |= {name.split(".")[1] for name in names if name.startswith("synthaug.")}
    return parts


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_package_is_in_the_table() -> None:
    present = {part_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert present == set(documented_order())


def test_imports_point_one_way() -> None:
    order = documented_order()
    wrong = [
        f"{module.relative_to(ROOT)} imports synthaug.{part}"
        for module in sorted(PACKAGE.rglob("*.py"))
        if part_of(module) in order
        for part in sorted(imported_parts(module))
        if order[part] > order[part_of(module)]
    ]
    assert not wrong, "\n".join(wrong)
