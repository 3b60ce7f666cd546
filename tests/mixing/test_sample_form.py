"""A synthetic sample has the real one's form, or the user is told what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, GeometryError
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.mixing.sample_form import SampleForm
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

KEYS = ("image", "label")


@pytest.fixture(scope="module")
def pair() -> LabeledVolume:
    return StandInGenerator().generate([Condition({"ventricles": 40.0})], [1])[0]


def real(kind: str, shape: tuple[int, ...] = (32, 32, 32), **more: Any) -> dict[str, Any]:
    image, label = np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.int64)
    if kind == "ndarray":
        return {"image": image, "label": label, **more}
    tensors = [torch.from_numpy(image), torch.from_numpy(label)]
    if kind == "Tensor":
        return dict(zip(KEYS, tensors, strict=True)) | more
    affine = torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0], dtype=torch.float64))
    return dict(zip(KEYS, [MetaTensor(tensor, affine=affine) for tensor in tensors], strict=True)) | more


def whole(form: SampleForm, pair: LabeledVolume) -> dict[Any, Any]:
    return form.finish(form.write(pair, "case"), pair, "case")


@pytest.mark.parametrize("kind", ["ndarray", "Tensor", "MetaTensor"])
@pytest.mark.parametrize("label_dtype", ["uint8", "int16", "int64", "float32"])
def test_kind_type_and_shape_are_the_real_samples(pair: LabeledVolume, kind: str, label_dtype: str) -> None:
    sample = real(kind)
    label = sample["label"]
    sample["label"] = label.astype(label_dtype) if kind == "ndarray" else label.to(getattr(torch, label_dtype))
    made = whole(SampleForm(sample, KEYS, "synthaug"), pair)
    for key in KEYS:
        assert type(made[key]) is type(sample[key])
        assert made[key].dtype == sample[key].dtype
        assert made[key].shape == sample[key].shape
    np.testing.assert_array_equal(np.asarray(made["image"]), pair.image)
    np.testing.assert_array_equal(np.asarray(made["label"])[0], pair.label)


def test_a_metatensor_has_the_pairs_own_affine(pair: LabeledVolume) -> None:
    made = whole(SampleForm(real("MetaTensor"), KEYS, "synthaug"), pair)
    np.testing.assert_allclose(made["image"].affine.numpy(), pair.affine)
    np.testing.assert_allclose(made["label"].affine.numpy(), pair.affine)


def test_a_label_without_channel_axis_stays_without(pair: LabeledVolume) -> None:
    sample = real("Tensor")
    sample["label"] = sample["label"][0]
    assert whole(SampleForm(sample, KEYS, "synthaug"), pair)["label"].shape == (32, 32, 32)


def test_the_metadata_of_a_label_without_channel_axis_has_all_three_axes(pair: LabeledVolume) -> None:
    sample = real("MetaTensor")
    meta = {"spatial_shape": np.array([32, 32, 32])}
    sample["label"] = MetaTensor(torch.zeros(32, 32, 32), affine=sample["image"].affine, meta=meta)
    assert whole(SampleForm(sample, KEYS, "synthaug"), pair)["label"].meta["spatial_shape"].tolist() == [32, 32, 32]


def test_an_image_and_a_label_of_different_sizes_are_refused() -> None:
    sample = real("Tensor")
    sample["label"] = sample["label"][..., ::2, ::2, ::2]
    with pytest.raises(GeometryError, match="must agree"):
        SampleForm(sample, KEYS, "synthaug")


@pytest.mark.parametrize("size", [(24, 40, 31), (40, 24, 33)])
def test_another_size_is_cropped_or_filled_around_the_centre_and_the_affine_follows(
    pair: LabeledVolume, size: tuple[int, int, int]
) -> None:
    made = whole(SampleForm(real("MetaTensor", size), KEYS, "synthaug"), pair)
    assert made["image"].shape == (1, *size)
    start = [(32 - n) // 2 for n in size]
    voxel = np.array([12, 13, 14])  # of the pair; where it went has the same label and the same place in mm
    moved = voxel - start
    assert made["label"][(0, *moved)] == pair.label[tuple(voxel)]
    np.testing.assert_allclose((made["label"].affine.numpy() @ [*moved, 1])[:3], (pair.affine @ [*voxel, 1])[:3])
    assert int((made["label"] > 0).sum()) > 0


def test_a_pair_is_turned_into_the_real_samples_orientation(pair: LabeledVolume) -> None:
    sample = real("MetaTensor")
    las_affine = torch.diag(torch.tensor([-4.0, 4.0, 4.0, 1.0], dtype=torch.float64))
    sample["image"], sample["label"] = (MetaTensor(sample[key].as_tensor(), affine=las_affine) for key in KEYS)
    made = whole(SampleForm(sample, KEYS, "synthaug"), pair)
    np.testing.assert_array_equal(made["label"][0].numpy(), pair.label[::-1])
    np.testing.assert_allclose((made["label"].affine.numpy() @ [0, 5, 6, 1]), pair.affine @ [31, 5, 6, 1])


def test_another_spacing_needs_a_transform(pair: LabeledVolume) -> None:
    sample = real("MetaTensor")
    sample["image"] = MetaTensor(sample["image"].as_tensor(), affine=torch.eye(4))
    with pytest.raises(GeometryError, match="Spacingd"):
        whole(SampleForm(sample, KEYS, "synthaug"), pair)


def test_labels_are_mapped_to_the_datasets(pair: LabeledVolume) -> None:
    target = LabelScheme("two", (Structure("brain", 1), Structure("ventricle", 2)), {})
    source = pair.scheme
    ventricles = source.groups["ventricles"]
    table = {name: "ventricle" if name in ventricles else "brain" for name in source.names}
    form = SampleForm(real("ndarray"), KEYS, "synthaug", LabelMapping(source, target, table))
    made = whole(form, pair)
    assert set(np.unique(made["label"])) == {0, 1, 2}
    np.testing.assert_array_equal(made["label"][0] == 2, np.isin(pair.label, source.resolve("ventricles")))


def test_keys_are_exactly_the_real_ones_in_their_order(pair: LabeledVolume) -> None:
    sample = {"subject": "anna", "path": Path("/somewhere"), **real("Tensor"), "age": 63.0}
    form = SampleForm(sample, KEYS, "synthaug", extras={"age": lambda pair: float(pair.provenance["seed"])})
    made = whole(form, pair)
    assert list(made) == ["subject", "path", "image", "label", "age"]
    assert made["subject"] == "synthaug:case"
    assert isinstance(made["path"], Path)
    assert made["age"] == 1.0


def test_a_key_that_nobody_can_know_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"'age'.*extras"):
        SampleForm(real("Tensor", age=63.0), KEYS, "synthaug")


def test_a_transform_begins_with_the_generators_types(pair: LabeledVolume) -> None:
    sample = {"image": torch.zeros((1, 8, 8, 8), dtype=torch.float16), "label": torch.zeros((14, 8, 8, 8)).bool()}
    form = SampleForm(sample, KEYS, "synthaug", transformed=True)
    given = form.write(pair, "case")
    assert (given["image"].dtype, given["label"].dtype) == (torch.float32, torch.int16)
    assert given["label"].shape == (1, 32, 32, 32)
    one_hot = torch.nn.functional.one_hot(given["label"][0].long(), 14).movedim(-1, 0)
    made = form.finish({"image": given["image"], "label": one_hot}, pair, "case")
    assert (made["image"].dtype, made["label"].dtype) == (torch.float16, torch.bool)
    assert made["label"].shape == (14, 32, 32, 32)


def test_another_number_of_channels_after_the_transform_is_refused(pair: LabeledVolume) -> None:
    form = SampleForm(real("Tensor") | {"image": torch.zeros(2, 32, 32, 32)}, KEYS, "synthaug", transformed=True)
    with pytest.raises(GeometryError, match="channels"):
        whole(form, pair)


class Named(NamedTuple):
    image: torch.Tensor
    label: torch.Tensor


@pytest.mark.parametrize("make", [tuple, list, Named._make])
def test_a_pair_of_arrays_is_a_form_too(pair: LabeledVolume, make: Any) -> None:
    sample = make([torch.zeros(1, 32, 32, 32), torch.zeros(32, 32, 32, dtype=torch.int64)])
    form = SampleForm(sample, KEYS, "synthaug")
    assert form.sequence is type(sample)
    assert whole(form, pair)["label"].shape == (32, 32, 32)


@pytest.mark.parametrize(
    ("sample", "what"),
    [
        ({"img": np.zeros((1, 4, 4, 4)), "label": np.zeros((1, 4, 4, 4))}, "'img'"),
        ({"image": "file.nii.gz", "label": np.zeros((1, 4, 4, 4))}, "str"),
        ({"image": np.zeros((1, 4, 4)), "label": np.zeros((1, 4, 4))}, "channel-first 3D"),
        ({"image": np.zeros((1, 4, 4, 4)), "label": np.zeros((1, 4, 4, 4)), "synthaug": 1}, "provenance_key"),
        (7, "int"),
    ],
)
def test_samples_of_another_form_are_refused_in_one_line(sample: Any, what: str) -> None:
    with pytest.raises((ConfigurationError, GeometryError)) as caught:
        SampleForm(sample, KEYS, "synthaug")
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)
