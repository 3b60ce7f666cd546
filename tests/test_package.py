import inspect
import subprocess
import sys

import pytest

import synthaug


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys, synthaug; "
        "print([m for m in ('torch', 'numpy', 'monai', 'nibabel', 'scipy', 'nnunetv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_labels_schedules_and_volumes_load_without_torch() -> None:
    code = (
        "import sys, synthaug.labels, synthaug.volumes, synthaug.conditions, synthaug.schedules; "
        "import synthaug.configuration; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", synthaug.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(synthaug, name) is not None
    assert name in dir(synthaug)


PUBLIC = [name for name in synthaug.__all__ if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is_and_takes(name: str) -> None:
    """A sentence, every argument, and every public method."""
    value = getattr(synthaug, name)
    text = inspect.getdoc(value) or ""
    first = text.split("\n\n", maxsplit=1)[0]
    assert first.endswith((".", ":", "``")), first
    taken = inspect.signature(value if inspect.isfunction(value) else value.__init__).parameters
    named = {one for one in taken if one not in ("self", "args", "kwargs")}
    assert {one for one in named if f"{one}:" not in text} == set()
    if inspect.isclass(value):
        members = {key: getattr(one, "__func__", one) for key, one in vars(value).items() if not key.startswith("_")}
        of_code = {key: one for key, one in members.items() if inspect.isfunction(one) or isinstance(one, property)}
        assert {key for key, one in of_code.items() if not inspect.getdoc(one)} == set()


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(synthaug, name))])
def test_every_public_function_names_what_it_raises(name: str) -> None:
    text = inspect.getdoc(getattr(synthaug, name)) or ""
    assert "Raises:" in text or "raise" not in inspect.getsource(getattr(synthaug, name))


@pytest.mark.parametrize("name", ["read_image", "read_label", "write_image", "write_label", "LabeledVolume"])
def test_what_takes_or_gives_arrays_says_their_shapes(name: str) -> None:
    text = inspect.getdoc(getattr(synthaug, name)) or ""
    assert "X, Y, Z)" in text
    assert "mm" in text


def test_public_names_are_listed_once_and_loaded_when_asked_for() -> None:
    assert len(set(synthaug.__all__)) == len(synthaug.__all__)
    assert set(synthaug._HOMES) == set(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_generater'"):
        _ = synthaug.load_generater
