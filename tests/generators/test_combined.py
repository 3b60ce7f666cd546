"""Label maps of one generator with the images of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import AmbiguousMappingError, BoundsError, ConfigurationError, GeometryError, LabelError
from synthaug.generators import combined
from synthaug.generators.combined import CombinedGenerator
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.guided_ldm_config import LatentScale
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.protocol import ImageForLabelGenerator, LabelFirstGenerator
from synthaug.labels import LabelScheme, Structure
from synthaug.quality import QualityConfig, generate_checked
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid
from tests.generators.tiny_guided_ldm import SHAPE, tiny_config, write_tiny_generator
from tests.stand_in_generator import StandInGenerator

ASKED = Condition({"ventricles": 40.0})
OTHER = Condition({"ventricles": 25.0})
VENTRICLES_T1 = LabelScheme.load("ventricles-t1")
COARSE_NAMES = (
    "csf", "lesion", "Brainstem", "ventricles", "cerebral white matter", "Cerebral-Cortex", "thalamus", "BasalGanglia",
    "hippocampus_amygdala", "cerebellar_white_matter", "cerebellar_cortex",
)  # fmt: skip
COARSE = LabelScheme("coarse", tuple(Structure(name, number) for number, name in enumerate(COARSE_NAMES, start=1)))
"""Another order, all ventricles as one, and lesions, which the other scheme has not."""


class Masks(StandInGenerator):
    """Makes label maps alone; those of even seeds are empty where ``fails`` says so."""

    def __init__(self, *args: Any, fails: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fails = fails

    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        labels = [pair.label for pair in super().generate(conditions, seeds)]
        return [
            np.zeros_like(label) if self.fails and seed % 2 == 0 else label
            for label, seed in zip(labels, seeds, strict=True)
        ]


class Images(StandInGenerator):
    """An image's intensities are the ids of the label map, and a fraction that is the seed's; -7 is the background."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.background = (-7.0,) * len(self.channels)
        self.computed_with: dict[str, Any] = {"device": "of images", "versions": {"torch": "2"}}
        self.taken: list[np.ndarray] = []

    def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        self.taken.extend(labels)
        for label in labels:
            assert label.shape == self.shape
            self.scheme.check(label)
        drawn = [
            np.where(label > 0, label + seed / 100, -7.0).astype(np.float32)
            for label, seed in zip(labels, seeds, strict=True)
        ]
        return [np.stack([image] * len(self.channels)) for image in drawn]


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> GuidedLDM:
    folder = write_tiny_generator(tmp_path_factory.mktemp("masks") / "masks", tiny_config(name="masks"))
    return GuidedLDM.load(folder, device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> GuidedLDM:
    config = tiny_config(
        name="images",
        scheme=COARSE,
        channels=("CT",),
        grid=Grid(SHAPE, (5.0, 4.5, 5.0)),
        limits_ml={"ventricles": (5.0, 150.0), "csf": (10.0, 500.0)},
        mask_latent=LatentScale((0.1,) * 11, (0.5,) * 11),
        intensities=(IntensityScale(0.0, 80.0, -1000.0, True),),
        required_structures=COARSE_NAMES,
        training_cases=(CaseRecord("case_b", None, "2" * 64), CaseRecord("case_c", "3" * 64, "4" * 64)),
    )
    return GuidedLDM.load(write_tiny_generator(tmp_path_factory.mktemp("images") / "images", config, seed=1))


def test_a_generator_combined_with_itself_makes_its_own_pairs(masks: GuidedLDM) -> None:
    (pair,) = CombinedGenerator.of(masks, masks).generate([OTHER], [3])
    (own,) = masks.generate([OTHER], [3])
    np.testing.assert_array_equal(pair.label, own.label)
    np.testing.assert_array_equal(pair.image, own.image)
    assert {**own.provenance, **pair.provenance}.keys() == pair.provenance.keys()


def test_two_generators_of_other_grids_and_schemes_make_pairs(masks: GuidedLDM, images: GuidedLDM) -> None:
    generator = CombinedGenerator.of(masks, images)
    assert isinstance(generator, LabelFirstGenerator)
    assert isinstance(generator, ImageForLabelGenerator)
    pair, beside = generator.generate([OTHER, ASKED], [3, 4])
    (label,) = generator.sample_labels([OTHER], [3])
    (image,) = generator.generate_images([label], [3])
    np.testing.assert_array_equal(pair.label, label)
    np.testing.assert_array_equal(pair.image, image)
    np.testing.assert_array_equal(label, masks.sample_labels([OTHER], [3])[0])
    assert not np.array_equal(pair.image, beside.image)
    assert pair.scheme == masks.scheme
    assert pair.channels == ("CT",)
    np.testing.assert_array_equal(pair.affine, masks.affine)
    assert pair.image.dtype == np.float32
    assert generator.background == (-1000.0,)
    assert (pair.image[:, label == 0] == -1000).all()
    assert (pair.image[:, label > 0] > -1000).mean() > 0.9
    assert generator.max_nonzero_background == 1
    assert generator.required_structures == masks.required_structures
    assert [case.identifier for case in generator.training_cases] == ["case_a", "case_b", "case_c"]
    assert generator.bounds == masks.bounds


def test_a_pair_does_not_depend_on_what_is_beside_it(masks: GuidedLDM, images: GuidedLDM) -> None:
    _, pair = CombinedGenerator.of(masks, images).generate([OTHER, ASKED], [3, 4])
    (alone,) = CombinedGenerator.of(masks, images).generate([ASKED], [4])
    np.testing.assert_array_equal(pair.label, alone.label)
    np.testing.assert_array_equal(pair.image, alone.image)


def test_the_provenance_tells_of_both(masks: GuidedLDM, images: GuidedLDM) -> None:
    generator = CombinedGenerator.of(masks, images)
    (pair,) = generator.generate([OTHER], [3])
    told = pair.provenance
    assert told["generator"] == generator.name == "masks+images"
    assert told["generator_sha256"] == generator.fingerprint
    assert (told["masks"], told["masks_sha256"]) == ("masks", masks.fingerprint)
    assert (told["images"], told["images_sha256"]) == ("images", images.fingerprint)
    assert told["label_mapping"]["third_ventricle"] == "ventricles"
    assert told["seed"] == 3
    assert told["requested_ml"] == {"ventricles": 25.0}
    assert told["realised_ml"] == pair.volumes_ml()


def test_the_fingerprint_is_that_of_both_and_of_the_mapping() -> None:
    masks, images = Masks(), Images()
    prints = [
        CombinedGenerator(masks, images).fingerprint,
        CombinedGenerator(Masks(version=2), images).fingerprint,
        CombinedGenerator(masks, Images(version=2)).fingerprint,
        CombinedGenerator(masks, images, mapping={"csf": "cerebral_cortex"}).fingerprint,
    ]
    assert len(set(prints)) == 4
    assert CombinedGenerator(Masks(), Images()).fingerprint == prints[0]
    assert all(len(one) == 64 for one in prints)


@pytest.mark.parametrize("shape", [(32, 32, 32), (40, 36, 31), (28, 31, 40)])
def test_where_voxels_are_of_one_size_each_gets_the_intensity_of_its_own_structure(shape: tuple[int, int, int]) -> None:
    generator = CombinedGenerator(Masks(), Images(shape, scheme=COARSE, channels=("T1", "T2")))
    (pair,) = generator.generate([ASKED], [5])
    expected = np.full(pair.label.shape, -7.0, np.float32)
    for name, goal in generator.mapping.table.items():
        expected[pair.label == VENTRICLES_T1.id_of(name)] = COARSE.id_of(goal) + 0.05
    np.testing.assert_allclose(pair.image, np.stack([expected] * 2), rtol=1e-6)


def test_equal_grids_leave_a_label_map_where_it_lies() -> None:
    images = Images()
    generator = CombinedGenerator(Masks(), images)
    label = np.zeros(SHAPE, np.int16)
    label[2:5, 3:6, 4:9] = 1
    (image,) = generator.generate_images([label], [0])
    np.testing.assert_array_equal(images.taken[0], label)
    np.testing.assert_array_equal(image[0] == 1, label == 1)


@pytest.mark.parametrize("spacing_mm", [3.0, 5.0])
def test_voxels_of_another_size_mix_no_background_into_tissue(spacing_mm: float) -> None:
    generator = CombinedGenerator(Masks(), Images((44, 44, 44), spacing_mm, scheme=COARSE))
    (pair,) = generator.generate([ASKED], [0])
    ids = [COARSE.id_of(goal) for goal in generator.mapping.table.values()]
    tissue = pair.image[0][pair.label > 0]
    assert tissue.min() >= min(ids) - 1e-3
    assert (pair.image[0][pair.label == 0] == -7).all()
    white = pair.label == VENTRICLES_T1.id_of("cerebral_white_matter")
    assert np.median(pair.image[0][white]) == pytest.approx(COARSE.id_of("cerebral white matter"), abs=0.1)


def test_a_structure_without_a_counterpart_is_decided_by_hand() -> None:
    skull = Structure("skull", 14)
    scheme = LabelScheme("with-skull", (*VENTRICLES_T1.structures, skull), VENTRICLES_T1.groups)
    masks = Masks(scheme=scheme)
    masks.name = "heads"
    images = Images(scheme=COARSE)
    with pytest.raises(
        AmbiguousMappingError, match=r"'heads' for images of 'stand-in': skull of 'with-skull'.*mapping"
    ):
        CombinedGenerator(masks, images)
    generator = CombinedGenerator(masks, images, mapping={"skull": "background", "thalamus": "BasalGanglia"})
    label = np.full(SHAPE, 14, np.int16)
    label[8:24, 8:24, 8:24] = scheme.id_of("thalamus")
    (image,) = generator.generate_images([label], [0])
    assert (image[0][label == 14] == -7).all()
    assert (image[0][label != 14] == COARSE.id_of("BasalGanglia")).all()
    with pytest.raises(LabelError, match="no voxel of a structure that 'stand-in' makes"):
        generator.generate_images([np.full(SHAPE, 14, np.int16)], [0])


def test_an_unclear_mapping_names_both_generators() -> None:
    masks = Masks(scheme=LabelScheme("whole", (Structure("lateral_ventricle", 1), Structure("thalamus", 2))))
    masks.name = "wholes"
    with pytest.raises(AmbiguousMappingError, match=r"'wholes' for images of 'stand-in': .*'lateral_ventricle' could"):
        CombinedGenerator(masks, Images())
    with pytest.raises(LabelError, match=r"'wholes' for images of 'stand-in': .*did you mean 'thalamus'"):
        CombinedGenerator(masks, Images(), mapping={"thalamis": "thalamus"})
    with pytest.raises(LabelError, match=r"'wholes' for images of 'stand-in': .*did you mean 'csf'"):
        CombinedGenerator(masks, Images(), mapping={"lateral_ventricle": "cfs"})
    generator = CombinedGenerator(masks, Images(), mapping={"lateral_ventricle": "lateral_ventricle_left"})
    assert generator.mapping.table == {"lateral_ventricle": "lateral_ventricle_left", "thalamus": "thalamus"}


def test_what_is_no_part_of_a_combination_is_told_with_what_it_lacks() -> None:
    with pytest.raises(
        ConfigurationError, match=r"masks='stand-in' makes no label maps alone \(it lacks sample_labels"
    ):
        CombinedGenerator.of(StandInGenerator(), Images())
    lacking = r"images='stand-in' makes no images .*\(it lacks background, computed_with, generate_images\)"
    with pytest.raises(ConfigurationError, match=lacking):
        CombinedGenerator.of(Masks(), Masks())


def test_label_maps_that_do_not_fit_are_refused() -> None:
    generator = CombinedGenerator(Masks(), Images((16, 16, 16)))
    with pytest.raises(GeometryError, match="place it on that grid"):
        generator.generate_images([np.ones((8, 8, 8), np.int16)], [0])
    with pytest.raises(LabelError, match="99"):
        generator.generate_images([np.full(SHAPE, 99, np.int16)], [0])
    with pytest.raises(LabelError, match="no voxel"):
        generator.generate_images([np.zeros(SHAPE, np.int16)], [0])
    with pytest.raises(GeometryError, match="field of view"):
        generator.generate([ASKED], [0])


def test_voxels_to_be_ignored_are_no_label_of_either() -> None:
    scheme = replace(VENTRICLES_T1, ignore_id=99)
    with pytest.raises(LabelError, match="99"):
        CombinedGenerator(Masks(scheme=scheme), Images(scheme=scheme)).generate_images(
            [np.full(SHAPE, 99, np.int16)], [0]
        )


def test_a_label_map_that_fails_gets_no_image_and_one_that_passes_is_made_once() -> None:
    masks, images = Masks(fails=True), Images()
    images.background = (0.0,)
    images.max_nonzero_background = 1.0  # type: ignore[attr-defined]
    outcome = generate_checked(CombinedGenerator(masks, images), ASKED, 2, QualityConfig(max_attempts=20))
    assert outcome.pair is not None
    assert outcome.attempts > 1
    assert len(images.taken) == 1
    assert len(masks.calls) == outcome.attempts


def test_targets_out_of_bounds_are_refused_even_where_the_label_map_is_kept() -> None:
    generator = CombinedGenerator(Masks(), Images())
    with pytest.raises(BoundsError):
        generator.generate([Condition({"ventricles": 1e4})], [0])
    generator.sample_labels([Condition({"ventricles": 160.0}, extrapolate=True)], [0])
    with pytest.raises(BoundsError):
        generator.generate([Condition({"ventricles": 160.0})], [0])


def test_a_kept_label_map_cannot_be_changed_from_outside() -> None:
    generator = CombinedGenerator(Masks(), Images())
    (label,) = generator.sample_labels([ASKED], [0])
    label[:] = 0
    (pair,) = generator.generate([ASKED], [0])
    pair.label[:] = 0
    assert generator.sample_labels([ASKED], [0])[0].any()


def test_seconds_are_those_of_label_map_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(combined.time, "perf_counter", lambda: clock[0])

    class SlowMasks(Masks):
        def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
            clock[0] += 3.0 * len(seeds)
            return super().sample_labels(conditions, seeds)

    class SlowImages(Images):
        def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
            clock[0] += 2.0 * len(seeds)
            return super().generate_images(labels, seeds)

    generator = CombinedGenerator(SlowMasks(), SlowImages())
    generator.sample_labels([ASKED, OTHER], [0, 1])
    for pair in generator.generate([ASKED, OTHER], [0, 1]):
        assert (pair.provenance["seconds"], pair.provenance["seconds_label"]) == (5.0, 3.0)
    assert clock == [10.0]


def test_what_both_were_computed_with_is_merged() -> None:
    masks, images = Masks(), Images()
    assert CombinedGenerator(masks, images).computed_with == images.computed_with
    masks.computed_with = {  # type: ignore[attr-defined]
        "device": "of masks", "dtype": "float32", "versions": {"torch": "2", "python": "3"},
    }  # fmt: skip
    assert CombinedGenerator(masks, images).computed_with == {
        "device": "of images",
        "masks_device": "of masks",
        "masks_dtype": "float32",
        "versions": {"torch": "2", "python": "3"},
    }


def test_what_a_generator_does_not_state_is_what_quality_control_takes() -> None:
    generator = CombinedGenerator(Masks(), Images())
    assert generator.required_structures == VENTRICLES_T1.names
    assert generator.max_nonzero_background == 0
