"""Pictures of pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.conditions import Condition
from synthaug.labels import LabelScheme, Structure
from synthaug.reports.palette import colour_label, structure_colours
from synthaug.reports.preview import (
    Card,
    draw_pairs,
    picture_centre,
    picture_subject,
    preview_pairs,
    view_slices,
    volume_caption,
)
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator


@pytest.fixture(scope="module")
def pair() -> LabeledVolume:
    (made,) = StandInGenerator().generate([Condition({"ventricles": 40.0})], [1])
    return made


def test_views_are_in_radiological_convention() -> None:
    volume = np.zeros((3, 4, 5), int)  # RAS+: right, anterior, superior are at the ends of the axes
    volume[2, 3, 2] = 1  # right anterior
    volume[2, 2, 4] = 2  # right superior
    volume[1, 3, 4] = 3  # anterior superior
    axial, coronal, sagittal = view_slices(volume, (1, 2, 2))
    assert axial.shape == (4, 3)
    assert coronal.shape == (5, 3)
    assert sagittal.shape == (5, 4)
    assert axial[0, 0] == 1
    assert coronal[0, 0] == 2
    assert sagittal[0, 0] == 3


def test_slices_go_through_the_middle_of_the_ventricles(pair: LabeledVolume) -> None:
    ids = pair.scheme.resolve("ventricles")
    centre = picture_centre(pair)
    mean = [axis.mean() for axis in np.nonzero(np.isin(pair.label, ids))]
    np.testing.assert_allclose(centre, mean, atol=0.5)


def test_slices_go_through_what_was_asked_for(pair: LabeledVolume) -> None:
    asked = replace(pair, provenance={"requested_ml": {"brainstem": 20.0}})
    assert picture_subject(pair) == "ventricles"
    assert picture_subject(asked) == "brainstem"
    inside = np.argwhere(pair.label == pair.scheme.id_of("brainstem"))
    np.testing.assert_allclose(picture_centre(asked), inside.mean(axis=0), atol=0.51)


def test_tissue_without_a_label_is_grey_and_trunks_take_all_hues() -> None:
    names = ("liver", "spleen", "aorta", "unlabelled_1", "unlabelled_2")
    scheme = LabelScheme("trunk", tuple(Structure(name, number) for number, name in enumerate(names, start=1)))
    colours = structure_colours(scheme)
    assert len(set(colours.values())) == len(names)
    assert all(len(set(colours[name])) == 1 for name in names[3:])
    assert any(red > max(green, blue) for red, green, blue in (colours[name] for name in names[:3]))


def test_slices_of_an_empty_label_map_go_through_the_grids_middle(pair: LabeledVolume) -> None:
    empty = LabeledVolume(pair.image, np.zeros_like(pair.label), pair.affine, pair.scheme, pair.channels, {})
    assert picture_centre(empty) == (16, 16, 16)


def test_the_caption_gives_requested_and_realised_volume(pair: LabeledVolume) -> None:
    realised = pair.volumes_ml()["ventricles"]
    assert volume_caption(pair) == f"ventricles 40.0 \N{RIGHTWARDS ARROW} {realised:.1f} mL"


def test_ventricles_differ_in_colour_from_each_other_and_from_everything_else() -> None:
    scheme = LabelScheme.load("ventricles-t1")
    colours = structure_colours(scheme)
    assert len(set(colours.values())) == len(scheme.names)
    shown = colour_label(np.array([[0, scheme.id_of("third_ventricle")]]), scheme)
    np.testing.assert_array_equal(shown[0, 0], 0)
    np.testing.assert_allclose(shown[0, 1], colours["third_ventricle"])


def test_the_picture_grows_with_the_number_of_pairs(pair: LabeledVolume, tmp_path: Path) -> None:
    sizes = []
    for count in (1, 2, 3):
        preview_pairs(tmp_path / "preview.png", [pair] * count, [f"pair {i}" for i in range(count)])
        with Image.open(tmp_path / "preview.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][0] < sizes[1][0] == sizes[2][0]  # a second column, then a second row
    assert sizes[2][1] > 1.4 * sizes[1][1]


def test_the_overlay_shows_the_label_map_and_the_image_above_it_does_not(pair: LabeledVolume, tmp_path: Path) -> None:
    draw_pairs(tmp_path / "one.png", [[Card(pair, "one")]], headings=["synthetic"])
    with Image.open(tmp_path / "one.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    colourful = np.ptp(pixels, axis=-1) > 80
    rows = np.flatnonzero(colourful.any(axis=1))
    legend = int(pixels.shape[0] * 0.8)
    assert rows[0] > pixels.shape[0] * 0.3  # the upper half of a card is grey
    assert (rows < legend).any()
