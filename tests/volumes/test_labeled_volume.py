from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import GeometryError, LabelError
from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume, structure_volumes_ml

SCHEME = LabelScheme.load("ventricles-t1")


def volume(**changes) -> LabeledVolume:
    label = np.zeros((4, 5, 6), dtype=np.int16)
    label[0, 0, :3] = 3
    label[1, 0, :2] = 6
    fields: dict[str, Any] = {
        "image": np.ones((1, 4, 5, 6), dtype=np.float32),
        "label": label,
        "affine": np.diag([1.0, 2.0, 0.5, 1.0]),
        "scheme": SCHEME,
        "channels": ("T1",),
        "provenance": {},
    }
    return LabeledVolume(**(fields | changes))


def test_spacing_and_volumes_come_from_the_affine() -> None:
    one = volume()
    assert one.spacing_mm == (1.0, 2.0, 0.5)
    assert one.voxel_volume_ml == pytest.approx(0.001)
    volumes = one.volumes_ml()
    assert volumes["lateral_ventricle_left"] == pytest.approx(0.003)
    assert volumes["ventricles"] == pytest.approx(0.005)
    assert volumes["thalamus"] == 0
    assert list(volumes) == [*SCHEME.names, *SCHEME.groups]


def test_a_rotated_affine_keeps_spacing_and_volume() -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 2.0, 0.5])
    assert volume(affine=affine).spacing_mm == pytest.approx((1.0, 2.0, 0.5))
    assert volume(affine=affine).voxel_volume_ml == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"image": np.ones((4, 5, 6), dtype=np.float32)}, GeometryError, r"allowed: \(C, X, Y, Z\)"),
        ({"image": np.ones((1, 4, 5, 7), dtype=np.float32)}, GeometryError, "same X, Y, Z"),
        ({"image": np.ones((1, 4, 5, 6))}, GeometryError, "image is float64"),
        ({"label": np.zeros((4, 5, 6), dtype=np.int64)}, GeometryError, "label int64"),
        ({"image": np.full((1, 4, 5, 6), np.nan, dtype=np.float32)}, GeometryError, "NaN or infinite"),
        ({"image": np.full((1, 4, 5, 6), np.inf, dtype=np.float32)}, GeometryError, "NaN or infinite"),
        ({"channels": ("T1", "T2")}, GeometryError, "1 channels in the image, 2 names"),
        ({"affine": np.eye(3)}, GeometryError, r"allowed: \(4, 4\)"),
        ({"affine": np.diag([1.0, 1.0, 0.0, 1.0])}, GeometryError, "cannot be inverted"),
        ({"affine": np.diag([1.0, 1.0, np.nan, 1.0])}, GeometryError, "NaN"),
        ({"affine": np.diag([1.0, 1.0, 1.0, 2.0])}, GeometryError, "last row"),
        ({"label": np.full((4, 5, 6), 99, dtype=np.int16)}, LabelError, "99"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        volume(**changes)


@given(st.integers(0, 2**32 - 1))
def test_volumes_of_all_structures_add_up_to_the_labelled_voxels(seed: int) -> None:
    label = np.random.default_rng(seed).choice(np.array([0, *SCHEME.ids], dtype=np.int16), (3, 4, 5))
    volumes = structure_volumes_ml(label, SCHEME, 2.0)
    assert sum(volumes[name] for name in SCHEME.names) == pytest.approx(2.0 * np.count_nonzero(label))
    assert volumes["brain"] == pytest.approx(2.0 * np.count_nonzero(label))
    assert volumes["ventricles"] == pytest.approx(sum(volumes[name] for name in SCHEME.groups["ventricles"]))
