"""The guided LDM with tiny random weights: its contract holds whatever the weights are."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, ConfigurationError, GeometryError, LabelError
from synthaug.generators.guided_ldm import GuidedLDM, GuidedLDMNetworks
from synthaug.generators.mask_stage import MaskStage
from synthaug.generators.protocol import ImageForLabelGenerator, PairGenerator
from synthaug.networks.latent_pyramid import coarsen
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.precision import autocast
from tests.generators.tiny_guided_ldm import SHAPE, record_dicts, tiny_config, write_tiny_generator

FORTY = Condition({"ventricles": 40.0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> GuidedLDM:
    return GuidedLDM.load(folder, device="cpu")


def test_a_pair_has_the_generator_s_form_and_says_where_it_comes_from(generator: GuidedLDM) -> None:
    assert isinstance(generator, PairGenerator)
    (pair,) = generator.generate([FORTY], [5])
    assert pair.image.shape == (1, *SHAPE)
    assert pair.image.dtype == np.float32
    assert pair.label.shape == SHAPE
    np.testing.assert_array_equal(pair.affine, generator.affine)
    assert (pair.image[0][pair.label == 0] == 0).all()
    assert (pair.image[0][pair.label > 0] > 0).all()
    assert pair.provenance["generator_sha256"] == generator.fingerprint
    assert pair.provenance["seed"] == 5
    assert pair.provenance["requested_ml"] == {"ventricles": 40.0}
    assert pair.provenance["realised_ml"] == pair.volumes_ml()
    assert record_dicts(generator.training_cases) == record_dicts(tiny_config().training_cases)


def test_the_same_seed_gives_the_same_arrays_from_weights_loaded_twice(folder: Path, generator: GuidedLDM) -> None:
    (first,) = generator.generate([FORTY], [7])
    (again,) = GuidedLDM.load(folder, device="cpu").generate([FORTY], [7])
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    (other,) = generator.generate([FORTY], [8])
    assert not np.array_equal(first.image, other.image)


def test_a_batch_of_two_equals_two_singles(generator: GuidedLDM) -> None:
    conditions, seeds = [FORTY, Condition({"ventricles": 90.0, "brain": 1200.0})], [1, 2]
    for pair, condition, seed in zip(generator.generate(conditions, seeds), conditions, seeds, strict=True):
        (single,) = generator.generate([condition], [seed])
        np.testing.assert_array_equal(pair.image, single.image)
        np.testing.assert_array_equal(pair.label, single.label)


@pytest.mark.parametrize("corner", [(0, 0, 0), (28, 26, 28), (3, 9, 14)])
@pytest.mark.parametrize("norm_groups", [0, 4])
def test_a_patch_equals_that_part_of_the_pair(tmp_path: Path, corner: tuple[int, int, int], norm_groups: int) -> None:
    network = {"channels": [8, 16], "norm_groups": norm_groups, "latent_channels": 2}
    folder = write_tiny_generator(tmp_path / "tiny", tiny_config(image_autoencoder=network))
    generator = GuidedLDM.load(folder, device="cpu")
    x, y, z = (slice(start, start + 4) for start in corner)
    (pair,) = generator.generate([FORTY], [3])
    patch = generator.generate_patch(FORTY, 3, (x, y, z))
    np.testing.assert_array_equal(patch.label, pair.label[x, y, z])
    np.testing.assert_allclose(patch.image, pair.image[:, x, y, z], rtol=0.02, atol=0.01 * pair.image.max())
    np.testing.assert_allclose(patch.affine @ [0, 0, 0, 1], pair.affine @ [*corner, 1])


def test_a_patch_without_voxels_is_refused(generator: GuidedLDM) -> None:
    with pytest.raises(ConfigurationError, match="is empty or has steps"):
        generator.generate_patch(FORTY, 3, (slice(4, 4), slice(None), slice(None)))
    with pytest.raises(ConfigurationError, match="is empty or has steps"):
        generator.generate_patch(FORTY, 3, (slice(0, 8, 2), slice(None), slice(None)))


def test_a_label_map_gets_the_image_of_the_pair_that_it_is_of(generator: GuidedLDM) -> None:
    assert isinstance(generator, ImageForLabelGenerator)
    pairs = generator.generate([FORTY, FORTY], [5, 6])
    labels = [pair.label for pair in pairs]
    for pair, image in zip(pairs, generator.generate_images(labels, [5, 6]), strict=True):
        np.testing.assert_array_equal(image, pair.image)
    flipped = np.flip(labels[0], 0)
    (image,) = generator.generate_images([flipped], [5])
    np.testing.assert_array_equal(image[0] == 0, flipped == 0)
    assert pairs[0].provenance["device"] == generator.computed_with["device"] == "cpu"


def test_a_label_map_that_the_generator_does_not_take_is_refused(generator: GuidedLDM) -> None:
    with pytest.raises(GeometryError, match=r"shape \(8, 8, 8\); tiny takes \(32, 32, 32\)"):
        generator.generate_images([np.ones((8, 8, 8), np.int16)], [0])
    with pytest.raises(LabelError, match="14"):
        generator.generate_images([np.full(SHAPE, 14, np.int16)], [0])


def test_the_condition_reaches_the_label_map(generator: GuidedLDM) -> None:
    small, large = generator.generate([Condition({"ventricles": 6.0}), Condition({"ventricles": 140.0})], [3, 3])
    assert not np.array_equal(small.label, large.label)


def test_the_time_of_a_label_map_that_was_looked_at_first_counts(generator: GuidedLDM) -> None:
    generator.sample_labels([FORTY], [77])
    (pair,) = generator.generate([FORTY], [77])
    assert 0 < pair.provenance["seconds_label"] < pair.provenance["seconds"]


def test_a_target_out_of_bounds_is_refused_before_anything_is_made(generator: GuidedLDM) -> None:
    with pytest.raises(BoundsError, match="5 to 150 mL"):
        generator.generate([FORTY, Condition({"ventricles": 400.0})], [1, 2])
    (pair,) = generator.generate([Condition({"ventricles": 160.0}, extrapolate=True)], [1])
    assert pair.provenance["requested_ml"] == {"ventricles": 160.0}


def test_the_fingerprint_tells_weights_and_sampler_settings_apart(
    tmp_path: Path, folder: Path, generator: GuidedLDM
) -> None:
    assert GuidedLDM.load(folder, device="cpu").fingerprint == generator.fingerprint
    assert GuidedLDM.load(folder, device="cpu", steps=3).fingerprint != generator.fingerprint
    other = write_tiny_generator(tmp_path / "other", seed=1)
    assert GuidedLDM.load(other, device="cpu").fingerprint != generator.fingerprint


def test_sampler_options_apply_and_unknown_ones_are_named(folder: Path) -> None:
    sampling = GuidedLDM.load(folder, device="cpu", steps=3, guidance_scale=2.0).config.sampling
    assert (sampling.mask_steps, sampling.image_steps, sampling.guidance_scale) == (3, 3, 2.0)
    with pytest.raises(ConfigurationError, match="unknown sampler option 'step'"):
        GuidedLDM.load(folder, device="cpu", step=3)
    with pytest.raises(ConfigurationError, match="mask_steps is 0"):
        GuidedLDM.load(folder, device="cpu", mask_steps=0)


def test_equal_settings_have_one_fingerprint_whatever_their_types(folder: Path) -> None:
    written = GuidedLDM.load(folder, device="cpu", guidance_scale=4.0, guidance_interval=(0.0, 1.0), steps=3)
    typed = GuidedLDM.load(folder, device="cpu", guidance_scale=4, guidance_interval=[0, 1], steps=3.0)
    assert typed.fingerprint == written.fingerprint


def test_a_target_without_volume_is_refused_even_when_extrapolating(generator: GuidedLDM) -> None:
    with pytest.raises(BoundsError, match="ventricles=0 mL; allowed: a volume above 0"):
        generator.sample_labels([Condition({"ventricles": 0.0}, extrapolate=True)], [1])


def test_a_folder_in_place_of_weights_is_one_clear_line(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "folder")
    (folder / "mask_diffusion.safetensors").unlink()
    (folder / "mask_diffusion.safetensors").mkdir()
    with pytest.raises(ConfigurationError, match=r"mask_diffusion\.safetensors: is not a regular file"):
        GuidedLDM.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("grid", {"shape": [32, 36, 32], "spacing_mm": [4, 4, 4]}, "multiples of 16"),
        ("mask_detail_0", {"channels": [4] * 4}, "multiples of 64"),
        ("mask_detail_1", {"channels": [4] * 5}, "multiples of 64"),
        ("mask_latent", {"mean": [0.0], "std": [1.0]}, "mask_latent has 1 values, the latent 13 channels"),
        ("image_latent", {"mean": [0.0] * 3, "std": [1.0] * 3}, "image_latent has 3 values"),
    ],
)
def test_values_that_do_not_fit_the_networks_are_one_clear_line(
    tmp_path: Path, key: str, value: object, what: str
) -> None:
    folder = write_tiny_generator(tmp_path / "sizes")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(ConfigurationError, match=f"config.json: .*{what}"):
        GuidedLDM.load(folder, device="cpu")


@pytest.mark.parametrize("name", [field.name for field in fields(GuidedLDMNetworks)])
def test_missing_truncated_and_foreign_weights_are_one_clear_line(tmp_path: Path, name: str) -> None:
    folder = write_tiny_generator(tmp_path / "damaged")
    path = folder / f"{name}.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigurationError, match=f"{name}.safetensors is damaged"):
        GuidedLDM.load(folder, device="cpu")
    other = "mask_diffusion" if name != "mask_diffusion" else "image_diffusion"
    path.write_bytes((folder / f"{other}.safetensors").read_bytes())
    with pytest.raises(ConfigurationError, match=f"{name}.safetensors is damaged or of another network"):
        GuidedLDM.load(folder, device="cpu")
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{name}.safetensors is missing"):
        GuidedLDM.load(folder, device="cpu")


def test_impossible_network_sizes_are_one_clear_line(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "sizes")
    content = json.loads((folder / "config.json").read_text())
    content["mask_diffusion"]["attention_levels"] = [False]
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="no networks of these sizes"):
        GuidedLDM.load(folder, device="cpu")


def test_reconstruction_is_a_label_map_of_the_same_shape(generator: GuidedLDM) -> None:
    label = torch.randint(0, 14, SHAPE, generator=torch.Generator().manual_seed(0))
    rebuilt = generator.reconstruct_label(label)
    assert rebuilt.shape == label.shape
    assert set(rebuilt.unique().tolist()) <= set(range(14))


@pytest.mark.parametrize("redrawn", [1, 2])
def test_only_the_finest_levels_are_sampled_anew(
    generator: GuidedLDM, monkeypatch: pytest.MonkeyPatch, redrawn: int
) -> None:
    label = torch.randint(0, 14, SHAPE, generator=torch.Generator().manual_seed(0))
    plain = generator.reconstruct_label(label)
    stage, given = generator._mask_stage, []
    add_detail = MaskStage._add_detail

    def remember(self: MaskStage, unet: MaskDetailUNet, coarse: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        given.append((unet, coarse))
        return add_detail(self, unet, coarse, noise)

    monkeypatch.setattr(MaskStage, "_add_detail", remember)
    one, again, other = (generator.reconstruct_label(label, redrawn=redrawn, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, plain)
    assert [unet for unet, _ in given] == [*stage.detail_unets[-redrawn:]] * 3
    with torch.inference_mode(), autocast(stage.device, stage.dtype):
        latent = stage.autoencoder.encode(label[None]).float()
    assert torch.equal(given[0][1], coarsen(stage.config.mask_latent.scale(latent), redrawn))


@pytest.mark.parametrize("redrawn", [-1, 3])
def test_levels_that_a_latent_has_not_are_refused(generator: GuidedLDM, redrawn: int) -> None:
    with pytest.raises(ConfigurationError, match=f"redrawn is {redrawn}; .*give 0 to 2"):
        generator.reconstruct_label(torch.zeros(SHAPE, dtype=torch.long), redrawn=redrawn)
