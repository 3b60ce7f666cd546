"""A generator as a MONAI bundle: MONAI's own commands read it and make pairs with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, run

import synthaug
from synthaug.errors import BoundsError, ConfigurationError, SynthAugError
from synthaug.integrations.monai_bundle import PairSampler, write_bundle
from synthaug.volumes import read_label
from tests.generators.tiny_guided_ldm import tiny_config, write_tiny_generator
from tests.stand_in_generator import StandInGenerator

REQUIRED = {
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task", "description",
    "authors", "copyright", "network_data_format",
}  # fmt: skip
"""What MONAI's specification of bundles asks of metadata.json."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tiny_generator(tmp_path / "weights", tiny_config(licence="CC BY-NC 4.0"))


def test_the_folder_has_the_parts_of_a_bundle(weights: Path, tmp_path: Path) -> None:
    bundle = write_bundle(weights, tmp_path / "bundle", bundle_version="1.2.0")
    described = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert set(described) >= REQUIRED
    assert described["version"] == "1.2.0"
    outputs = described["network_data_format"]["outputs"]
    assert outputs["label"]["channel_def"]["0"] == "background"
    assert outputs["image"]["spatial_shape"] == [32, 32, 32]
    assert (bundle / "docs" / "README.md").read_text().startswith("---\nlicense: cc-by-nc-4.0\n")
    assert "CC BY-NC 4.0" in (bundle / "LICENSE").read_text()
    models = {path.name: path.read_bytes() for path in (bundle / "models").iterdir()}
    assert models == {path.name: path.read_bytes() for path in weights.iterdir()}
    loaded = synthaug.load_generator(bundle / "models", device="cpu")
    assert loaded.fingerprint == synthaug.load_generator(weights, device="cpu").fingerprint


def test_monai_reads_the_bundle_and_its_own_entries_pass_its_check(weights: Path, tmp_path: Path) -> None:
    bundle = write_bundle(weights, tmp_path / "bundle")
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"), meta_file=str(bundle / "configs" / "metadata.json"),
        workflow_type="infer", logging_file=False, bundle_root=str(bundle),
    )  # fmt: skip
    workflow.initialize()
    assert workflow.version == "1.0.0"
    assert workflow.network_def.shape == (32, 32, 32)


def test_inference_makes_pairs_as_files(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the tiny random weights no pair would pass quality control; the stand-in's do."""
    bundle = write_bundle(weights, tmp_path / "bundle")
    monkeypatch.setattr(synthaug, "load_generator", lambda name_or_folder, device: StandInGenerator())
    out = tmp_path / "pairs"
    run(
        run_id="run", config_file=str(bundle / "configs" / "inference.json"), bundle_root=str(bundle),
        output_dir=str(out), num=2, targets_ml={"ventricles": 40.0}, logging_file=False,
    )  # fmt: skip
    assert len(list(out.glob("*_image.nii.gz"))) == 2
    labels = json.loads((out / "labels.json").read_text())["structures"]
    ventricles = [number for name, number in labels.items() if "ventricle" in name]
    for path in out.glob("*_label.nii.gz"):
        label, affine = read_label(path)
        assert np.isin(label, ventricles).sum() * 0.064 == pytest.approx(40.0, abs=0.1)
        np.testing.assert_allclose(affine, StandInGenerator().affine)
        provenance = json.loads(Path(str(path).replace("label.nii.gz", "provenance.json")).read_text())
        assert provenance["requested_ml"] == {"ventricles": 40.0}


def test_every_entry_of_the_inference_can_be_changed(weights: Path, tmp_path: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(write_bundle(weights, tmp_path / "bundle") / "configs" / "inference.json"))
    assert parser["sampler"]["schedule"] == "@schedule"
    assert 5 <= parser["targets_ml"]["ventricles"] <= 150


def test_a_schedule_gives_each_pair_a_volume_of_its_own_and_the_seed_the_same_ones(tmp_path: Path) -> None:
    made = []
    for folder in ("one", "other"):
        sampler = PairSampler(StandInGenerator(), tmp_path / folder, schedule="uniform:20:120", num=3, seed=4)
        paths = sampler.run()
        made.append([json.loads(Path(one["provenance"]).read_text())["requested_ml"]["ventricles"] for one in paths])
    assert made[0] == made[1]
    assert len(set(made[0])) == 3


def test_mistakes_are_told(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="three numbers"):
        write_bundle(weights, tmp_path / "bundle", bundle_version="1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other files"):
        write_bundle(weights, tmp_path / "full")
    with pytest.raises(ConfigurationError, match="is no folder"):
        write_bundle(weights, tmp_path / "full" / "thesis.txt")
    (tmp_path / "full" / "models").mkdir()
    (tmp_path / "full" / "models" / "config.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"config.json: not JSON .* give another --out"):
        write_bundle(weights, tmp_path / "full")
    with pytest.raises(ConfigurationError, match="targets_ml: none"):
        PairSampler(StandInGenerator(), tmp_path)
    with pytest.raises(BoundsError):
        PairSampler(StandInGenerator(), tmp_path / "none", {"ventricles": 900}).run()
    assert not (tmp_path / "none").exists()
    with pytest.raises(SynthAugError, match="passed quality control"):
        PairSampler(StandInGenerator(dirty=True), tmp_path, {"ventricles": 40}).run()
