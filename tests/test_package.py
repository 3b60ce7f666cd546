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


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_generater'"):
        _ = synthaug.load_generater
