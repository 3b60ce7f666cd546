"""What a fit adds to each structure's intensities so that their means are those of the training cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.bank import Bank
from synthaug.fitting.calibration import MOST_CASES, TRIALS, label_offsets, structures_of_all, trial_label_maps
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.labels import LabelScheme, Structure
from tests.generators.tiny_guided_ldm import SHAPE, tiny_config, write_tiny_generator

CLASSES = 14


def write_pair(folder: Path, name: str, label: np.ndarray, image: np.ndarray) -> Path:
    path = folder / f"{name}.safetensors"
    write_tensors(path, {"label": torch.from_numpy(label.astype(np.uint8)), "image": torch.from_numpy(image).half()})
    assert torch.equal(Bank.read(path).label, torch.from_numpy(label.astype(np.uint8)))
    return path


def means_of(image: np.ndarray, label: np.ndarray) -> list[float]:
    return [float(image[label == number].mean()) for number in np.unique(label) if number]


def test_offsets_bring_each_structure_to_the_mean_of_the_training_cases(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = np.zeros(SHAPE, np.uint8)
    label[4:28, 4:28, 4:28] = 1
    label[10:20, 10:20, 10:20] = 2
    label[12:15, 12:15, 12:15] = 5
    wanted = {1: 0.8, 2: 0.5, 5: 0.3}
    image = sum(value * (label == number) for number, value in wanted.items()) + 0.02 * rng.random(SHAPE)
    path = write_pair(tmp_path, "pairs_a_00", label, (image * (label > 0))[None].astype(np.float32))

    folder = write_tiny_generator(tmp_path / "tiny")
    generator = GuidedLDM.load(folder, device="cpu")
    offsets = label_offsets(generator, [path], [], seed=3)
    assert len(offsets) == CLASSES
    assert offsets[0] == (0.0,)
    assert all(offsets[number] == (0.0,) for number in range(3, CLASSES) if number != 5)

    (scale,) = generator.config.intensities
    config = replace(generator.config, label_offsets=offsets)
    networks = GuidedLDM.read(folder).networks
    (before,) = generator.generate_images([label], [3])
    (after,) = GuidedLDM(config, networks, fingerprint="", device="cpu").generate_images([label], [3])
    real = means_of(image, label)
    made, mended = (means_of(scale.normalise(one[0]), label) for one in (before, after))
    assert max(np.abs(np.subtract(mended, real))) < 0.25 * max(np.abs(np.subtract(made, real)))
    assert (after[0][label == 0] == 0).all()


def test_labels_of_trial_label_maps_are_judged_by_the_images_for_these(tmp_path: Path) -> None:
    label, trial = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    label[4:28, 4:28, 4:28], label[10:20, 10:20, 10:20] = 1, 2
    trial[8:24, 8:24, 8:24] = 1
    path = write_pair(tmp_path, "pairs_a_00", label, (0.5 * (label > 0))[None].astype(np.float32))
    generator = GuidedLDM.load(write_tiny_generator(tmp_path / "tiny"), device="cpu")
    without, judged = (label_offsets(generator, [path], trials, seed=3) for trials in ([], [trial]))
    assert judged[2] == without[2]
    (scale,) = generator.config.intensities
    (made,) = generator.generate_images([trial], [3 + MOST_CASES])
    assert judged[1][0] == pytest.approx(0.5 - scale.normalise(made[0])[trial == 1].mean(), abs=1e-3)


def test_trials_run_through_the_bounds_of_the_first_control(tmp_path: Path) -> None:
    generator = GuidedLDM.load(write_tiny_generator(tmp_path / "tiny"), device="cpu")
    trials = trial_label_maps(generator, seed=0)
    volumes = [int(np.isin(label, generator.scheme.resolve("ventricles")).sum()) for label in trials]
    assert len(trials) == TRIALS
    assert volumes == sorted(volumes)
    assert volumes[-1] > 2 * volumes[0]


def test_structures_that_a_trial_lacks_are_told_and_not_required(caplog: pytest.LogCaptureFixture) -> None:
    scheme = LabelScheme("two", (Structure("liver", 1), Structure("tumor", 2)))
    trials = [np.array([[[1, 2]]]), np.array([[[1, 0]]])]
    assert structures_of_all(scheme.names, trials, scheme) == ("liver",)
    assert "tumor" in caplog.text
    assert structures_of_all(scheme.names, trials[:1], scheme) == scheme.names


def test_a_configuration_with_offsets_is_read_back_whole(tmp_path: Path) -> None:
    config = tiny_config(label_offsets=tuple((0.01 * number,) for number in range(CLASSES)))
    folder = write_tiny_generator(tmp_path / "tiny", config)
    assert GuidedLDM.read(folder).config.label_offsets == config.label_offsets
    assert np.asarray(GuidedLDM.read(folder).config.label_offsets) == pytest.approx(np.arange(CLASSES)[:, None] / 100)
