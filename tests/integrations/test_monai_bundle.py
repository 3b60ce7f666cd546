"""A generator as a MONAI bundle: MONAI's own commands read it and make pairs with it."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, run

import synthaug
from synthaug.errors import BoundsError, ConfigurationError, SynthAugError
from synthaug.files.process_identity import ProcessIdentity
from synthaug.integrations import monai_bundle
from synthaug.integrations.monai_bundle import PairSampler, main, metadata, write_bundle
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


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException | None = None) -> None:
    """Have the writing of file ``number`` fail."""
    written: list[Path] = []

    def replace(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) > number:
            raise error or KeyboardInterrupt
        path.write_bytes(content)

    monkeypatch.setattr(monai_bundle, "replace_file", replace)


@pytest.mark.parametrize("number", [0, 1, 3, 7])
def test_a_killed_writer_leaves_no_bundle_that_looks_whole_and_the_same_call_mends_it(
    number: int, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents_of(write_bundle(weights, tmp_path / "whole", bundle_version="2.0.0"))
    again = write_bundle(weights, tmp_path / "again")
    (again / "eval").mkdir()
    (again / "eval" / "pair.json").write_text("made with it")
    for bundle in (tmp_path / "new", again):
        with monkeypatch.context() as patch:
            kill_at(patch, number)
            with pytest.raises(KeyboardInterrupt):
                write_bundle(weights, bundle, bundle_version="2.0.0")
        assert not (bundle / "configs" / "metadata.json").exists()
        write_bundle(weights, bundle, bundle_version="2.0.0")
    assert contents_of(tmp_path / "new") == whole
    assert contents_of(again) == {**whole, "eval/pair.json": b"made with it"}


def test_what_a_killed_writer_left_under_temporary_names_is_removed(weights: Path, tmp_path: Path) -> None:
    now = ProcessIdentity.current()
    gone = ProcessIdentity(now.machine, 2**22 + 1, 1).tag
    bundle = tmp_path / "bundle"
    (bundle / "models").mkdir(parents=True)
    left = bundle / "models" / f".config.json.{gone}.0.tmp"
    left.write_bytes(b"{")
    write_bundle(weights, bundle)
    assert not left.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f".thesis.txt.{gone}.0.tmp").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other files"):
        write_bundle(weights, tmp_path / "other")


def test_a_bundle_of_other_weights_of_the_same_name_is_left_alone(weights: Path, tmp_path: Path) -> None:
    other = write_tiny_generator(tmp_path / "other", tiny_config(licence="CC BY-NC 4.0"), seed=1)
    bundle = write_bundle(weights, tmp_path / "bundle")
    before = contents_of(bundle)
    with pytest.raises(ConfigurationError, match=r"holds a bundle of 'tiny' with weights of sha256 \w{12}, and \w{12}"):
        write_bundle(other, bundle)
    assert contents_of(bundle) == before
    (bundle / "configs" / "metadata.json").unlink()
    with pytest.raises(ConfigurationError, match="holds other files"):
        write_bundle(other, bundle)


def test_weights_that_do_not_open_are_not_bundled(weights: Path, tmp_path: Path) -> None:
    path = next(weights.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match=f"{path.name}: cannot be opened as safetensors"):
        write_bundle(weights, tmp_path / "bundle")
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{path.name} is missing"):
        write_bundle(weights, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_generator_of_the_hubs_cache_is_bundled_although_its_files_are_links(weights: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    shutil.move(weights, blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(path)
    bundle = write_bundle(snapshot, tmp_path / "bundle")
    assert {path.name for path in (bundle / "models").iterdir()} == {path.name for path in blobs.iterdir()}


def test_a_version_is_that_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, Any] = tiny_config().to_dict()
    monkeypatch.setattr(monai_bundle, "version", lambda package: raise_not_found())
    import monai

    assert metadata(config, "1.0.0")["monai_version"] == monai.__version__.split("+")[0]
    monkeypatch.setattr(monai_bundle.importlib, "import_module", lambda package: raise_not_found())
    with pytest.raises(ConfigurationError, match="monai: is not installed"):
        metadata(config, "1.0.0")


def raise_not_found() -> Any:
    raise monai_bundle.PackageNotFoundError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["", "--out", ""], "argument '': is empty"),
        (["WEIGHTS", "--out", ""], "--out '': is empty"),
        (["WEIGHTS", "--out", "FILE/x"], "FILE: is a file, and a folder is needed there"),
        (["nowhere", "--out", "bundle"], "nowhere"),
        (["WEIGHTS", "--out", "bundle", "--bundle-version", "1\n2"], "three numbers"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    arguments: list[str], said: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    before = contents_of(tmp_path)
    assert main([str(weights) if one == "WEIGHTS" else one for one in arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("synthaug: ")
    assert said in told
    assert told.count("\n") == 1
    assert contents_of(tmp_path) == before


def test_what_the_system_refuses_is_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [str(weights), "--out", str(tmp_path / "bundle")]
    refusals: list[tuple[BaseException, str, int]] = [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space", 2),
        (PermissionError(errno.EACCES, "Permission denied", str(tmp_path)), "change its permissions", 2),
        (KeyboardInterrupt(), "run the same command again", 130),
    ]
    for error, said, code in refusals:
        with monkeypatch.context() as patch:
            kill_at(patch, 2, error)
            assert main(line) == code
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1
    assert main(line) == 0
    assert "python -m monai.bundle run" in capsys.readouterr().out


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
    (tmp_path / "full" / "configs").mkdir()
    (tmp_path / "full" / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"config.json: not JSON .* give another --out"):
        write_bundle(weights, tmp_path / "full")
    with pytest.raises(ConfigurationError, match="targets_ml: none"):
        PairSampler(StandInGenerator(), tmp_path)
    with pytest.raises(BoundsError):
        PairSampler(StandInGenerator(), tmp_path / "none", {"ventricles": 900}).run()
    assert not (tmp_path / "none").exists()
    with pytest.raises(SynthAugError, match="passed quality control"):
        PairSampler(StandInGenerator(dirty=True), tmp_path, {"ventricles": 40}).run()
