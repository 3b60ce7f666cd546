"""Systems that make label maps slice by slice: contract, configuration, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, ConfigurationError, GeometryError
from synthaug.generators.medgen3d import MedGen3D
from synthaug.generators.protocol import ImageForLabelGenerator, LabelFirstGenerator, PairGenerator
from synthaug.generators.registry import load_generator
from synthaug.generators.sequence_config import SequenceConfig
from tests.generators.tiny_sequences import SHAPE, tiny_sequence_config, write_tiny_sequences

SYSTEMS = ("medgen3d", "vid2vid", "ddpm2d")
CONDITION = Condition({"ventricles": 30.0})


@pytest.fixture(params=SYSTEMS)
def generator(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return load_generator(write_tiny_sequences(tmp_path / "tiny", tiny_sequence_config(request.param)), device="cpu")


def test_pairs_keep_the_contract(generator: Any) -> None:
    for protocol in (PairGenerator, LabelFirstGenerator, ImageForLabelGenerator):
        assert isinstance(generator, protocol)
    (pair,) = generator.generate([CONDITION], [7])
    assert pair.label.shape == SHAPE
    assert pair.image.shape == (1, *SHAPE)
    assert pair.image.dtype == np.float32
    assert (pair.image[0][pair.label == 0] == 0).all()
    assert (pair.image[0][pair.label > 0] > 0).all()
    np.testing.assert_allclose(np.diag(pair.affine), [4, 4, 4, 1])
    assert pair.provenance["requested_ml"] == {"ventricles": 30.0}
    assert pair.provenance["realised_ml"] == pair.volumes_ml()
    np.testing.assert_array_equal(generator.sample_labels([CONDITION], [7])[0], pair.label)


def test_the_label_map_of_a_pair_and_its_seed_give_its_image(generator: Any) -> None:
    first, second = generator.generate([CONDITION, CONDITION], [7, 8])
    images = generator.generate_images([second.label, first.label], [8, 7])
    np.testing.assert_array_equal(images[0], second.image)
    np.testing.assert_array_equal(images[1], first.image)


def test_the_same_weights_give_the_same_pair(generator: Any, tmp_path: Path) -> None:
    (first,) = generator.generate([CONDITION], [7])
    again = load_generator(tmp_path / "tiny", device="cpu")
    (second,) = again.generate([CONDITION], [7])
    assert again.fingerprint == generator.fingerprint
    np.testing.assert_array_equal(first.image, second.image)


def test_volumes_out_of_bounds_and_label_maps_of_another_shape_are_refused(generator: Any) -> None:
    with pytest.raises(BoundsError, match="ventricles"):
        generator.generate([Condition({"ventricles": 500.0})], [1])
    with pytest.raises(GeometryError, match="place it on that grid"):
        generator.generate_images([np.zeros((8, 8, 8), np.int16)], [1])


def test_the_refiner_changes_the_image_the_more_it_noises(tmp_path: Path) -> None:
    folder = write_tiny_sequences(tmp_path, tiny_sequence_config())
    images = [
        load_generator(folder, device="cpu", noising_steps=steps).generate([CONDITION], [7])[0].image
        for steps in (0, 10, 200)
    ]
    (plain,) = load_generator(folder, device="cpu", noising_steps=0).generate([CONDITION], [7])
    np.testing.assert_array_equal(images[0], plain.image)
    little, much = (float(np.abs(one - images[0]).mean()) for one in images[1:])
    assert 0 < little < much


def test_one_view_makes_another_image_than_three(tmp_path: Path) -> None:
    folder = write_tiny_sequences(tmp_path, tiny_sequence_config("ddpm2d"))
    three = load_generator(folder, device="cpu").generate([CONDITION], [7])[0]
    one = load_generator(folder, device="cpu", views=["axial"]).generate([CONDITION], [7])[0]
    np.testing.assert_array_equal(three.label, one.label)
    assert not np.array_equal(three.image, one.image)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_written_configuration_is_read_back_whole(system: str, tmp_path: Path) -> None:
    config = SequenceConfig.read(write_tiny_sequences(tmp_path, tiny_sequence_config(system)))
    assert config.to_dict() == SequenceConfig.from_dict(json.loads(json.dumps(config.to_dict())), "again").to_dict()
    assert config.system == system


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("format_version", 9, "install the synthaug version"),
        ("mask_sequence", None, "must be an object"),
        ("limits_ml", {}, "limits_ml is empty"),
        ("sampling", {"mask_step": 3}, "did you mean 'mask_steps'"),
        ("sampling", {"mask_steps": 0}, "mask_steps"),
        ("mask_sequences", {}, "unknown key"),
        ("mask_sequence", {"channels": [3]}, "no networks of these sizes"),
        ("mask_sequence", {"chanels": [32]}, "no networks of these sizes"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(tmp_path: Path, key: str, value: Any, told: str) -> None:
    path = write_tiny_sequences(tmp_path) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ConfigurationError, match=told):
        load_generator(tmp_path, device="cpu")


def test_options_by_name(tmp_path: Path) -> None:
    folder = write_tiny_sequences(tmp_path)
    with pytest.raises(ConfigurationError, match="did you mean 'noising_steps'"):
        load_generator(folder, device="cpu", noising_step=3)
    with pytest.raises(ConfigurationError, match="given_slices"):
        load_generator(folder, device="cpu", given_slices=0)
    with pytest.raises(ConfigurationError, match="given_slices is 6 of the 6 slices"):
        load_generator(folder, device="cpu", given_slices=6)


def test_images_of_one_generator_for_label_maps_of_another(tmp_path: Path) -> None:
    masks = write_tiny_sequences(tmp_path / "masks", tiny_sequence_config("vid2vid"))
    images = write_tiny_sequences(tmp_path / "images", tiny_sequence_config("ddpm2d"), seed=1)
    combined = load_generator(images, device="cpu", masks=str(masks))
    (pair,) = combined.generate([CONDITION], [7])
    np.testing.assert_array_equal(pair.label, load_generator(masks, device="cpu").generate([CONDITION], [7])[0].label)
    assert pair.provenance["masks_sha256"] != pair.provenance["images_sha256"]
    with pytest.raises(ConfigurationError, match="give masks"):
        load_generator(images, device="cpu", label_mapping={})
    with pytest.raises(ConfigurationError, match="must be an object"):
        load_generator(images, device="cpu", masks=str(masks), label_mapping="csf")
    with pytest.raises(ConfigurationError, match="label_mapping"):
        load_generator(images, device="cpu", masks=str(masks), label_mapping={"csf": 3})
    with pytest.raises(ConfigurationError, match="'masks' is empty"):
        load_generator(images, device="cpu", masks="")
    with pytest.raises(ConfigurationError, match="'label_mapping' says nothing here"):
        load_generator("domain-randomization", device="cpu", masks=str(masks), label_mapping={"csf": "background"})


def test_options_of_other_systems_are_refused(tmp_path: Path) -> None:
    for system, option in (
        ("vid2vid", {"noising_steps": 5}),
        ("medgen3d", {"views": ["axial"]}),
        ("ddpm2d", {"refine_steps": 1}),
    ):
        folder = write_tiny_sequences(tmp_path / system, tiny_sequence_config(system))
        with pytest.raises(ConfigurationError, match=f"of the system {system}, whose images have no"):
            load_generator(folder, device="cpu", **option)
    with pytest.raises(ConfigurationError, match="is of the system 'vid2vid', not 'medgen3d'"):
        MedGen3D.load(tmp_path / "vid2vid", device="cpu")


def test_with_masks_options_of_label_maps_are_those_of_the_generator_that_makes_them(tmp_path: Path) -> None:
    masks = write_tiny_sequences(tmp_path / "masks", tiny_sequence_config("vid2vid"))
    images = write_tiny_sequences(tmp_path / "images", tiny_sequence_config("ddpm2d"), seed=1)
    combined: Any = load_generator(images, device="cpu", masks=str(masks), mask_temperature=0.5, image_steps=3)
    assert combined.masks.config.sampling.mask_temperature == 0.5
    assert combined.images.config.sampling.mask_temperature == 1.0
    assert combined.images.config.sampling.image_steps == 3


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_sequences(tmp_path, tiny_sequence_config("vid2vid"))
    path = folder / "mask_sequence.safetensors"
    weights = load_file(path)
    weights["head.bias"][0] = float("nan")
    save_file(weights, path)
    with pytest.raises(ConfigurationError, match="no finite numbers"):
        load_generator(folder, device="cpu")


def test_nothing_asked_is_nothing_made(generator: Any) -> None:
    assert generator.generate([], []) == []
