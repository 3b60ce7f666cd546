"""What the mask diffusion model is told of the training maps before it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.latents import LEAST_DEVIATION, MaskSurvey, survey_labels
from synthaug.labels import LabelScheme
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import DETAIL_LEVELS, coarsen, detail_of

SCHEME = LabelScheme.load("ventricles-t1")
CONTROLS = ("ventricles", "lateral_ventricle_left", "lateral_ventricle_right")
SIZE = 64


def label_map(shift: int) -> torch.Tensor:
    """White matter with a left ventricle in it, at a place along z."""
    label = torch.zeros(SIZE, SIZE, SIZE, dtype=torch.uint8)
    label[:, :48] = SCHEME.id_of("cerebral_white_matter")
    label[8:20, 16:40, 16 + shift : 32 + shift] = SCHEME.id_of("lateral_ventricle_left")
    return label


def survey(folder: Path, shifts: tuple[int, ...]) -> tuple[MaskSurvey, LabelAutoencoder]:
    folder.mkdir()
    paths = []
    for index, shift in enumerate(shifts):
        paths.append(folder / f"labels_{index}.safetensors")
        write_tensors(paths[-1], {"label": label_map(shift)})
    network = LabelAutoencoder(SCHEME.num_classes, channels=8, num_res_blocks=1)
    mirror, cpu = LabelMirror(SCHEME.mirror_ids()), torch.device("cpu")
    found = survey_labels(
        network, paths, mirror, SCHEME, CONTROLS, 0.001, cache=folder / "survey.safetensors", device=cpu
    )
    for path in paths:
        path.unlink()  # the second time the cache is read
    again = survey_labels(
        network, paths, mirror, SCHEME, CONTROLS, 0.001, cache=folder / "survey.safetensors", device=cpu
    )
    assert torch.equal(again.mean, found.mean)
    return found, network


def test_volumes_mean_and_occupancy_are_those_of_the_maps_and_their_mirror_images(tmp_path: Path) -> None:
    found, network = survey(tmp_path / "bank", (0, 16))
    voxels_ml = 12 * 24 * 16 * 0.001
    expected = torch.tensor([[voxels_ml, voxels_ml, 0.0], [voxels_ml, 0.0, voxels_ml]])
    torch.testing.assert_close(found.volumes_ml, expected.expand(2, 2, 3))
    mirror = LabelMirror(SCHEME.mirror_ids())
    maps = [one for shift in (0, 16) for one in (label_map(shift), mirror(label_map(shift)))]
    latents = network.encode(torch.stack(maps).long())
    coarse = coarsen(latents, DETAIL_LEVELS)
    torch.testing.assert_close(found.mean, coarse.mean(0))
    torch.testing.assert_close(found.square, coarse.square().mean(0))
    assert float(found.occupancy.sum()) * 512 == pytest.approx(12 * 24 * 16)
    torch.testing.assert_close(found.occupancy, found.occupancy.flip(0))


def test_scaled_latents_and_their_detail_have_the_deviation_that_is_told(tmp_path: Path) -> None:
    found, network = survey(tmp_path / "bank", (0, 13))  # the ventricle's end lies within a block
    mirror = LabelMirror(SCHEME.mirror_ids())
    maps = [one for shift in (0, 13) for one in (label_map(shift), mirror(label_map(shift)))]
    scaled = found.scale().scale(network.encode(torch.stack(maps).long()))
    torch.testing.assert_close(scaled.mean((0, 2, 3, 4)), torch.zeros(network.latent_channels), atol=1e-5, rtol=0)
    assert float(coarsen(scaled).square().mean().sqrt()) == pytest.approx(1, rel=1e-4)
    for level, finer in enumerate((coarsen(scaled), scaled)):
        deviation = float(found.detail_deviation(level))
        assert 0 < deviation == pytest.approx(float(detail_of(finer).square().mean().sqrt()), rel=1e-3)


def test_the_prior_is_sure_where_all_maps_agree_and_unsure_where_they_do_not(tmp_path: Path) -> None:
    found, network = survey(tmp_path / "bank", (0, 16))
    mean, deviation = found.prior()
    assert mean.shape == (1, network.latent_channels, 8, 8, 8)
    assert deviation.shape == (1, 1, 8, 8, 8)
    assert float(deviation.min()) == pytest.approx(LEAST_DEVIATION)
    with_ventricle, without = float(deviation[0, 0, 1, 3, 3]), float(deviation[0, 0, 4, 0, 0])
    assert with_ventricle > 2 * without
    torch.testing.assert_close(mean, found.scale().scale(found.mean.unsqueeze(0)))
