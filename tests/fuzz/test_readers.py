"""Spoiled inputs are read, or refused in one line: `benchmarks/fuzz_readers.py` takes twenty times as many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.campaign import run_campaign
from tests.fuzz.mutations import mutate_json, mutate_nifti, mutate_safetensors
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.sound_files import write_sound
from tests.fuzz.worker import WriteWatch, attempt

INPUTS = 1000


@pytest.mark.slow
def test_no_spoiled_input_does_harm(tmp_path: Path) -> None:
    campaign = run_campaign(tmp_path.resolve(), INPUTS, seed=1)
    told = [f"{one['index']} {one['reader']} {one['outcome']}: {one['told'][-600:]}" for one in campaign.failures]
    assert not told, "\n\n".join(told)
    assert campaign.inputs == INPUTS
    assert campaign.refused.total() > INPUTS / 3  # else nothing was spoiled
    assert {*campaign.read, *campaign.refused} == {reader.name for reader in READERS}


def test_what_an_input_does_wrong_is_seen(tmp_path: Path) -> None:
    watch, out = WriteWatch(), tmp_path.resolve() / "out"
    out.mkdir()

    def fail() -> None:
        raise KeyError("x")

    assert attempt(fail, watch, out)[0] == "traceback"
    assert attempt(lambda: (tmp_path / "escaped").write_text("x"), watch, out)[0] == "written outside"
    assert attempt(lambda: (out / "inside").write_text("x"), watch, out)[0] == "read"
    assert attempt(["cache", "info", str(tmp_path / "none")], watch, out)[0] == "refused"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_same_random_numbers_spoil_an_input_alike(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory, sound: Path
) -> None:
    import shutil

    spoiled = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("input") / "x"
        shutil.copytree(sound, folder, symlinks=True)
        text = reader.spoil(folder, np.random.default_rng(3))
        spoiled.append((text, (folder / reader.file).read_bytes() if reader.file else b""))
    assert spoiled[0] == spoiled[1]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_sound(folder)
    return folder


@pytest.mark.parametrize("mutate", [mutate_json, mutate_nifti, mutate_safetensors])
def test_content_is_changed(mutate: object, sound: Path) -> None:
    names = {mutate_json: "scheme.json", mutate_nifti: "nifti/image.nii.gz"}
    content = (sound / names.get(mutate, "tiny/mask_diffusion.safetensors")).read_bytes()  # type: ignore[call-overload]
    changed = [mutate(content, np.random.default_rng(seed)) != content for seed in range(20)]  # type: ignore[operator]
    assert sum(changed) > 15
    assert json.loads((sound / "scheme.json").read_text())["name"] == "ventricles-t1"
