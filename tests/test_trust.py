"""What docs/concepts/trust.md says of the code: nothing is unpickled, evaluated or fetched but where it names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
NETWORK = {"huggingface_hub", "requests", "httpx", "aiohttp", "urllib", "http", "ftplib", "socketserver", "xmlrpc"}
HUB = {"files/hugging_face.py", "generators/hub.py", "store/hub.py"}


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call in the package, with the dotted name that is called."""
    for folder in ("synthaug", "nnunet_trainers"):
        for module in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield module, ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str, str]:
    return {one.arg or "**": ast.unparse(one.value) for one in call.keywords}


def test_files_of_torch_are_read_as_weights_alone() -> None:
    found = [(module, call) for module, name, call in calls() if name == "torch.load"]
    assert found
    assert [str(module) for module, call in found if keywords(call).get("weights_only") != "True"] == []


def test_nothing_is_unpickled_or_evaluated() -> None:
    forbidden = {"pickle.load", "pickle.loads", "np.load", "numpy.load", "eval", "exec", "os.system", "yaml.load",
                 "joblib.load", "load_pickle", "marshal.loads", "shelve.open"}  # fmt: skip
    assert [f"{module}: {name}" for module, name, _ in calls() if name in forbidden] == []
    # the one unpickler builds data alone: see integrations/nnunet/case_properties.py
    text = [
        module.name
        for module in sorted((ROOT / "synthaug").rglob("*.py"))
        if "pickle.Unpickler" in module.read_text(encoding="utf-8")
    ]
    assert text == ["case_properties.py"]
    assert [f"{module}" for module, _, call in calls() if keywords(call).get("allow_pickle", "False") != "False"] == []


def test_no_program_is_called_through_a_shell() -> None:
    assert [str(module) for module, _, call in calls() if keywords(call).get("shell", "False") != "False"] == []


def test_only_the_modules_of_the_hub_reach_a_network() -> None:
    wrong = []
    for module in sorted((ROOT / "synthaug").rglob("*.py")):
        if module.relative_to(ROOT / "synthaug").as_posix() in HUB:
            continue
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong += [f"{module}: {name}" for name in names if name.split(".")[0] in NETWORK]
    assert wrong == []


def test_html_is_made_by_one_template_that_escapes() -> None:
    made = [(module.name, keywords(call).get("autoescape")) for module, name, call in calls() if name == "Environment"]
    assert made == [("page.py", "True")]
    assert [str(module) for module, name, _ in calls() if name.split(".")[-1] == "Markup"] == []
    templates = [path.read_text(encoding="utf-8") for path in (ROOT / "synthaug").rglob("*.jinja")]
    assert templates
    assert all("|safe" not in text.replace(" ", "") and "autoescape false" not in text for text in templates)
