"""Pairs of alpha-WGAN: contract, configuration, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, ConfigurationError
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.alpha_wgan import AlphaWGANConfig, AlphaWGANSampling, generating_networks
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.protocol import ImageForLabelGenerator, LabelFirstGenerator
from synthaug.generators.registry import load_generator
from synthaug.labels import LabelScheme
from synthaug.volumes.grid import Grid

SHAPE = (32, 64, 32)


def write_tiny(folder: Path, **changes: Any) -> Path:
    """Weights by chance, around a head with ventricles in its middle."""
    scheme = LabelScheme.load("ventricles-t1")
    values: dict[str, Any] = {
        "name": "tiny",
        "scheme": scheme,
        "channels": ("T1",),
        "grid": Grid(SHAPE, (4.0, 4.0, 4.0)),
        "limits_ml": {"ventricles": (5.0, 150.0)},
        "intensities": (IntensityScale(0.0, 120.0),),
        "required_structures": scheme.names,
        "alpha_wgan": {"channels": [8, 8, 16, 16, 16], "code_size": 16},
        "sampling": AlphaWGANSampling(candidates=3),
    }
    config = AlphaWGANConfig(**{**values, **changes})
    torch.manual_seed(0)
    network = config.build()
    x, y, z = (extent // 2 for extent in SHAPE)
    shares = torch.full((scheme.num_classes, x, y, z), 0.01)
    shares[0] = 0.9
    shares[1, 4:-4, 8:-8, 4:-4], shares[0, 4:-4, 8:-8, 4:-4] = 0.9, 0.01
    shares[3, 6:8, 12:20, 6:10] = shares[4, 8:10, 12:20, 6:10] = 1.5
    network.set_prior(shares / shares.sum(dim=0), torch.full((1, x, y, z), 0.6))
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in generating_networks(network).items():
        save_file({key: one.contiguous() for key, one in part.state_dict().items()}, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(canonical_json(config.to_dict()), encoding="utf-8")
    return folder


def test_pairs_have_the_volumes_asked_for_and_keep_the_contract(tmp_path: Path) -> None:
    generator = load_generator(write_tiny(tmp_path), device="cpu")
    assert isinstance(generator, LabelFirstGenerator)
    assert not isinstance(generator, ImageForLabelGenerator)
    small, large = generator.generate([Condition({"ventricles": 10.0}), Condition({"ventricles": 20.0})], [7, 8])
    for pair, wanted in ((small, 10.0), (large, 20.0)):
        assert pair.label.shape == SHAPE
        assert pair.volumes_ml()["ventricles"] == pytest.approx(wanted, rel=0.15)
        assert (pair.image[0][pair.label == 0] == 0).all()
        assert (pair.image[0][pair.label > 0] > 0).all()
    np.testing.assert_array_equal(generator.sample_labels([Condition({"ventricles": 20.0})], [8])[0], large.label)


def test_a_pair_follows_from_its_seed_alone(tmp_path: Path) -> None:
    condition = Condition({"ventricles": 15.0})
    first, other = load_generator(write_tiny(tmp_path), device="cpu").generate([condition, condition], [7, 8])
    (again,) = load_generator(tmp_path, device="cpu").generate([condition], [7])
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert not np.array_equal(first.image, other.image)


def test_more_candidates_come_nearer(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path)
    errors = []
    for candidates in (1, 8):
        generator = load_generator(folder, device="cpu", candidates=candidates, volume_shift=0.0)
        (pair,) = generator.generate([Condition({"ventricles": 12.0})], [3])
        errors.append(abs(np.log(pair.volumes_ml()["ventricles"] / 12.0)))
    assert errors[1] <= errors[0]


def test_mistakes_are_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path)
    with pytest.raises(BoundsError, match="ventricles"):
        load_generator(folder, device="cpu").generate([Condition({"ventricles": 500.0})], [1])
    with pytest.raises(ConfigurationError, match="did you mean 'candidates'"):
        load_generator(folder, device="cpu", candidate=3)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for key, value, told in (
        ("format_version", 2, "install the synthaug version"),
        ("alpha_wgan", {"channels": [8]}, "no networks of these sizes"),
        ("intensities", [], "intensities must hold 1 scale"),
    ):
        path.write_text(json.dumps({**content, key: value}))
        with pytest.raises(ConfigurationError, match=told):
            load_generator(folder, device="cpu")
    path.write_text(json.dumps(content))
    (folder / "generator.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"generator\.safetensors is missing"):
        load_generator(folder, device="cpu")
