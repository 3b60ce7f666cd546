"""A MONAI network described by a JSON file segments images on their own grid; wrong descriptions are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file, save_model

from synthaug.errors import SynthAugError
from synthaug.evaluation.monai_model import MonaiModel, _covering
from synthaug.evaluation.segmentation_model import open_model
from synthaug.files.foreign_weights import file_sha256
from tests.small_models import write_monai_model, write_threshold_model

CPU = torch.device("cpu")


def ball(size: int, spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Image, head, bright ball in it, and affine: a ball off the centre of a dim box."""
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = 7, -3, 11
    places = np.stack(np.meshgrid(*[np.arange(size) * spacing] * 3, indexing="ij"))
    bright = np.square(places - np.array([30.0, 40.0, 34.0])[:, None, None, None]).sum(0) <= 16**2
    head = np.zeros((size,) * 3, bool)
    head[2:-2, 2:-2, 2:-2] = True
    return (300 * bright + 60 * head * ~bright).astype(np.float32)[None], head, bright, affine


def test_intensities_are_brought_to_the_percentile_of_the_head(tmp_path: Path) -> None:
    image, head, bright, affine = ball(20, 4.0)
    model = MonaiModel.read(write_threshold_model(tmp_path), CPU)
    for unit in (1, 7):
        np.testing.assert_array_equal(model.segment(unit * image, head, affine), bright)
    assert model.segment(image, head, affine).dtype == np.int16
    lower = MonaiModel.read(write_threshold_model(tmp_path / "low", threshold=0.1), CPU)
    np.testing.assert_array_equal(lower.segment(image, head, affine), head)


def test_what_lies_outside_the_head_is_kept_or_left_out_as_the_file_says(tmp_path: Path) -> None:
    image, head, bright, affine = ball(20, 4.0)
    image[0, :2] = 300  # a bright slab beside the head
    whole = MonaiModel.read(write_threshold_model(tmp_path / "whole"), CPU)
    inner = MonaiModel.read(write_threshold_model(tmp_path / "inner", head_only=True), CPU)
    assert whole.segment(image, head, affine)[:2].all()
    np.testing.assert_array_equal(inner.segment(image, head, affine), bright)


@pytest.mark.parametrize("spacing", [1.6, 4.0])
def test_images_of_another_spacing_are_segmented_on_their_own_grid(tmp_path: Path, spacing: float) -> None:
    image, head, bright, affine = ball(round(80 / spacing), spacing)
    model = MonaiModel.read(write_threshold_model(tmp_path, spacing_mm=[2.0, 2.0, 2.5]), CPU)
    found = model.segment(image, head, affine)
    assert found.shape == bright.shape
    assert 2 * (found * bright).sum() / (found.sum() + bright.sum()) > 0.93
    centre, true_centre = (np.argwhere(one).mean(0) * spacing for one in (found, bright))
    np.testing.assert_allclose(centre, true_centre, atol=0.3)  # mm: nothing is shifted


def test_the_grid_of_the_network_lies_over_the_whole_image() -> None:
    turned = np.array([[0, 1.6, 0, 5], [-1.2, 0, 0, 40], [0, 0, 3.0, -9], [0, 0, 0, 1.0]])  # axes -y, x, z
    shape = (50, 40, 21)
    grid, placed = _covering(shape, turned, (2.0, 1.0, 1.5))
    for size, own, other in zip(shape, turned.T[:3, :3], placed.T[:3, :3], strict=True):
        assert size > 1
        assert np.dot(own, other) == pytest.approx(np.linalg.norm(own) * np.linalg.norm(other))
    corners = [
        at[:3, :3] @ (place * np.array(of) - 0.5) + at[:3, 3]
        for place in (0, 1)
        for at, of in ((turned, shape), (placed, grid.shape))
    ]
    np.testing.assert_allclose(corners[0], corners[1], atol=0.5)  # mm: the sizes are rounded to whole voxels
    np.testing.assert_allclose(corners[2], corners[3], atol=0.5)


def test_an_image_larger_than_a_patch_is_cut_and_joined(tmp_path: Path) -> None:
    image, head, bright, affine = ball(20, 4.0)
    model = MonaiModel.read(write_threshold_model(tmp_path, patch_size=[8, 12, 32]), CPU)
    np.testing.assert_array_equal(model.segment(image, head, affine), bright)


def test_an_image_without_a_head_has_no_percentile_and_is_taken_as_it_is(tmp_path: Path) -> None:
    image, head, bright, affine = ball(20, 4.0)
    model = MonaiModel.read(write_threshold_model(tmp_path), CPU)
    np.testing.assert_array_equal(model.segment(image / 300, 0 * head > 0, affine), bright)


def test_the_weights_are_those_of_the_file_and_named_with_their_digest(tmp_path: Path) -> None:
    path = write_monai_model(tmp_path)
    model = open_model(path, "cpu")
    weights = tmp_path / "weights.safetensors"
    assert model.facts["weights"] == {str(weights): file_sha256(weights)}
    assert (model.title, model.channels, model.scheme.num_classes) == ("segmenter", ("T1",), 14)
    torch.save({"state_dict": load_file(weights)}, tmp_path / "weights.pth")
    same = open_model(write_monai_model(tmp_path, weights="weights.pth"), "cpu")
    image, head, _, affine = ball(16, 4.0)
    np.testing.assert_array_equal(model.segment(image, head, affine), same.segment(image, head, affine))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "SegResNets"}, "no class 'SegResNets' .did you mean 'SegResNet"),
        ({"network": "os.system"}, "no class 'os.system'"),
        ({"arguments": {"spatial_dims": 3}}, "UNet does not take these arguments"),
        ({"arguments": {"spatial_dims": 3, "in_channels": 1, "out_channels": 14, "channels": [8, 8], "strides": [2]}},
         "its weights are not those of the UNet"),
        ({"weights": "nowhere.pth"}, "no such file"),
        ({"spacing": [1, 1, 1]}, "spacing_mm"),
        ({"spacing_mm": [0, 1, 1]}, "spacing_mm"),
        ({"labels": {"background": 0, "brain": "one"}}, "labels"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_monai_model(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(SynthAugError, match=message) as caught:
        open_model(path, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"patch_size": [32, 32, 31]}, {"channels": ["T1", "T2"]}])
def test_patches_and_channels_that_the_network_cannot_take_are_told_by_name(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = MonaiModel.read(write_monai_model(tmp_path, **changes), CPU)
    image, head, _, affine = ball(16, 4.0)
    with pytest.raises(SynthAugError, match="correct 'patch_size', 'channels' or 'arguments'"):
        model.segment(np.repeat(image, len(model.channels), axis=0), head, affine)


def test_weights_that_are_missing_or_too_many_are_told(tmp_path: Path) -> None:
    path = write_monai_model(tmp_path)
    weights = tmp_path / "weights.safetensors"
    state = load_file(weights)
    first = next(iter(state))
    save_file({**state, "more": torch.zeros(1)}, weights)
    with pytest.raises(SynthAugError, match="it has no more"):
        open_model(path, "cpu")
    save_file({name: one for name, one in state.items() if name != first}, weights)
    with pytest.raises(SynthAugError, match=f"1 of {len(state)} are missing, such as {first}"):
        open_model(path, "cpu")


def test_the_example_in_the_docs_is_read(tmp_path: Path) -> None:
    from monai.networks.nets import DynUNet

    page = Path(__file__).parents[2] / "docs" / "how-to" / "evaluate.md"
    (text,) = re.findall(r"^```json\n(\{\s+\"network\".*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    described = json.loads(text)
    save_model(DynUNet(**described["arguments"]), tmp_path / described["weights"])  # each tensor once
    (tmp_path / "model.json").write_text(text)
    image, head, _, affine = ball(20, 4.0)
    model = MonaiModel.read(tmp_path / "model.json", CPU)
    found = model.segment(image[:, 4:16, 4:16, 4:16], head[4:16, 4:16, 4:16], affine)
    assert set(np.unique(found)) <= {0, 1, 2}


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    path = write_threshold_model(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": {"background": 0, "a": 1, "b": 2}}))
    image, head, _, affine = ball(16, 4.0)
    with pytest.raises(SynthAugError, match="gives 2 classes, 'labels' has ids up to 2"):
        open_model(path, "cpu").segment(image, head, affine)


@pytest.mark.parametrize("name", ["nowhere", "model.txt"])
def test_what_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.txt").touch()
    with pytest.raises(SynthAugError, match="no such model; give a folder of nnUNet_results"):
        open_model(tmp_path / name)
