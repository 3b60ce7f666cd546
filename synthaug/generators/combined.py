"""Label maps of one generator with the images of another: the images of one network on the label maps of another.

The two are fitted apart, so that the best of either kind can be taken: any generator that makes label maps alone, and
any that makes images for label maps that it is given.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import AmbiguousMappingError, ConfigurationError, GeometryError, LabelError
from synthaug.generators.kept_labels import KeptLabels, MadeLabel
from synthaug.generators.licence import joined_licences
from synthaug.generators.own_labels import EQUAL_SPACING, PlacedLabel
from synthaug.generators.protocol import ImageForLabelGenerator, LabelFirstGenerator, PairGenerator
from synthaug.generators.recipe import origins_of, recipe_of
from synthaug.labels import LabelMapping, is_tissue_class, propose_mapping
from synthaug.labels.scheme import BACKGROUND
from synthaug.volumes import LabeledVolume
from synthaug.volumes.geometry import spacing_of
from synthaug.volumes.grid import Grid

SYSTEM = "combined"


class CombinedGenerator:
    """Generator of pairs with label maps of one generator and images of another.

    See :class:`~synthaug.generators.protocol.LabelFirstGenerator` and
    :class:`~synthaug.generators.protocol.ImageForLabelGenerator`; :meth:`of` takes generators of any kind.

    A pair has the scheme and the grid of ``masks``. For the image, the label map is brought to the scheme of
    ``images`` and, where grids differ, placed on its grid with the centre of the labels at the grid's centre; the image
    is brought back onto the label map's voxels. It is ``background`` where the label map is 0, where the mapping leads
    to the background, and outside the field of view of ``images``, where up to 5 % of the labelled volume may lie.

    Structures of ``images`` that ``masks`` lacks are in no image. A structure of ``masks`` that ``images`` lacks would
    be labelled in the pair and black in its image, as no real case is: it is an error, unless ``mapping`` says what it
    becomes. The background is allowed there, for what lies outside the anatomy that ``images`` makes, such as a skull.

    Args:
        masks: makes the label maps; its images, if any, are not used.
        images: makes the images; its label maps, if any, are not used.
        mapping: structures of ``masks`` whose structure in the scheme of ``images`` (or ``background``) is decided by
            hand; those of all others are proposed from their names.

    Raises:
        AmbiguousMappingError: a structure of ``masks`` could become several of ``images``, or none.
        LabelError: ``mapping`` names a structure that its scheme does not have.
    """

    def __init__(
        self,
        masks: LabelFirstGenerator,
        images: ImageForLabelGenerator,
        *,
        mapping: Mapping[str, str] | None = None,
    ) -> None:
        self.masks = masks
        self.images = images
        self.mapping = _mapping_between(masks, images, mapping or {})
        self.name = f"{masks.name}+{images.name}"
        self.scheme = masks.scheme
        self.channels = images.channels
        self.shape = masks.shape
        self.affine = masks.affine
        self.bounds = masks.bounds
        self.background = images.background
        self.training_cases = tuple(dict.fromkeys((*masks.training_cases, *images.training_cases)))
        self.licence = joined_licences(getattr(one, "licence", None) for one in (masks, images))
        self.origin: str | None = getattr(images, "origin", None)
        self.origins = origins_of(masks=masks)
        self.required_structures = tuple(getattr(masks, "required_structures", masks.scheme.names))
        self.max_nonzero_background = float(getattr(images, "max_nonzero_background", 0.0))
        self.fingerprint = self._fingerprint()
        self._grid = _grid_of(masks)
        self._image_grid = _grid_of(images)
        self._kept = KeptLabels(self._make_labels)

    @classmethod
    def of(
        cls, masks: PairGenerator, images: PairGenerator, mapping: Mapping[str, str] | None = None
    ) -> CombinedGenerator:
        """Combine two generators of which it is not known yet what they can do; arguments are those of the class.

        Raises:
            ConfigurationError: ``masks`` makes no label maps alone, or ``images`` no images for given label maps; names
                what is missing.
            LabelError: as the class.
        """
        if not isinstance(masks, LabelFirstGenerator):
            raise ConfigurationError(
                f"{SYSTEM}: masks={_name_of(masks)!r} makes no label maps alone (it lacks "
                f"{_lacking(masks, LabelFirstGenerator)}); take one that does, such as a guided-ldm or medgen3d one"
            )
        if not isinstance(images, ImageForLabelGenerator):
            raise ConfigurationError(
                f"{SYSTEM}: images={_name_of(images)!r} makes no images for given label maps (it lacks "
                f"{_lacking(images, ImageForLabelGenerator)}); take one that does, such as a guided-ldm or medgen3d one"
            )
        return cls(masks, images, mapping=mapping)

    @property
    def computed_with(self) -> dict[str, Any]:
        """What ``images`` computes with; with ``masks_`` in front, what differs for ``masks``."""
        of_masks, of_images = getattr(self.masks, "computed_with", {}), self.images.computed_with
        versions = {**of_masks.get("versions", {}), **of_images.get("versions", {})}
        others = {
            f"masks_{key}": value
            for key, value in of_masks.items()
            if key != "versions" and (key not in of_images or of_images[key] != value)
        }
        return {**of_images, **others, "versions": versions}

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`.

        Raises:
            BoundsError: as :meth:`sample_labels`.
            GeometryError: as :meth:`generate_images`.
            LabelError: as :meth:`generate_images`.
        """
        made = self._labels(conditions, seeds)
        started = time.perf_counter()
        images = self.generate_images([one.label for one in made], seeds)
        seconds = (time.perf_counter() - started) / max(len(images), 1)
        return [
            self._pair(image, one, condition, seed, seconds)
            for image, one, condition, seed in zip(images, made, conditions, seeds, strict=True)
        ]

    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        """Label maps ``(X, Y, Z)`` int16 of the pairs; see :class:`~synthaug.generators.protocol.LabelFirstGenerator`.

        The last ones are kept: quality control looks at label maps first, and only those that pass get an image.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation.
        """
        return [one.label.copy() for one in self._labels(conditions, seeds)]

    def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Images ``(C, X, Y, Z)`` float32 for label maps ``(X, Y, Z)`` of the pairs' scheme and grid.

        See :class:`~synthaug.generators.protocol.ImageForLabelGenerator`.

        Raises:
            GeometryError: a label map of another shape, or one of whose labelled volume more than 5 % lies outside the
                field of view of ``images``.
            LabelError: labels outside the scheme, or none that ``images`` makes.
        """
        mapped = [self._mapped(label) for label in labels]
        if self._shares_grid:
            return self.images.generate_images(mapped, seeds)
        where = f"{self.name}: label map"
        placed = [PlacedLabel.place(label, self._grid.spacing_mm, self._image_grid, where) for label in mapped]
        made = self.images.generate_images([one.label for one in placed], seeds)
        return [one.bring_back(image, self.background) for one, image in zip(placed, made, strict=True)]

    @property
    def _shares_grid(self) -> bool:
        """Whether voxels of a label map are voxels of its image as it is made: placing would only shift both."""
        ratio = np.array(self._grid.spacing_mm) / self._image_grid.spacing_mm
        return self._grid.shape == self._image_grid.shape and np.allclose(ratio, 1, rtol=0, atol=EQUAL_SPACING)

    def _mapped(self, label: np.ndarray) -> np.ndarray:
        """A label map in the scheme of ``images``."""
        if label.shape != self.shape:
            raise GeometryError(
                f"label map of shape {label.shape}; {self.name} takes {self.shape}: place it on that grid"
            )
        mapped = self.mapping.apply(label, "label map")
        if not mapped.any():
            raise LabelError(
                f"{self.name}: a label map holds no voxel of a structure that {self.images.name!r} makes; an image "
                "needs some: take other masks, or another mapping"
            )
        return mapped

    def _labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[MadeLabel]:
        for condition in conditions:
            self.bounds.check(condition)
        return self._kept.get(conditions, seeds)

    def _make_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[MadeLabel]:
        return [MadeLabel(label.astype(np.int16)) for label in self.masks.sample_labels(conditions, seeds)]

    def _pair(
        self, image: np.ndarray, made: MadeLabel, condition: Condition, seed: int, image_seconds: float
    ) -> LabeledVolume:
        pair = LabeledVolume(image, made.label.copy(), self.affine.copy(), self.scheme, self.channels, {})
        pair.provenance.update(
            generator=self.name,
            generator_sha256=self.fingerprint,
            masks=self.masks.name,
            masks_sha256=self.masks.fingerprint,
            images=self.images.name,
            images_sha256=self.images.fingerprint,
            label_mapping=dict(self.mapping.table),
            seed=int(seed),
            requested_ml=dict(condition.targets_ml),
            realised_ml=pair.volumes_ml(),
            seconds=round(made.seconds + image_seconds, 3),
            seconds_label=round(made.seconds, 3),
            **self.computed_with,
            **({} if self.origin is None else {"generator_origin": self.origin}),
            **{f"{option}_origin": origin for option, origin in self.origins.items()},
            **recipe_of(self),
        )
        return pair

    def _fingerprint(self) -> str:
        described = {
            "system": SYSTEM,
            "masks": self.masks.fingerprint,
            "images": self.images.fingerprint,
            "mapping": self.mapping.table,
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _mapping_between(masks: PairGenerator, images: PairGenerator, decided: Mapping[str, str]) -> LabelMapping:
    """What the structures of the label maps become in the scheme of the images."""
    where = f"label maps of {masks.name!r} for images of {images.name!r}"
    # neither has networks for voxels that are to be ignored
    source, target = (replace(one.scheme, ignore_id=None) for one in (masks, images))
    classes = [one for one in source.names if is_tissue_class(one, source) and one not in decided]
    if classes and masks.training_cases != images.training_cases:
        raise LabelError(
            f"{where}: {', '.join(classes)} are classes by intensity, which other cases have otherwise; take "
            "generators that were fitted to one data set, or say in the mapping what each becomes"
        )
    try:
        mapping = propose_mapping(source, target, decided=decided, allow_missing=target.names)
    except LabelError as error:
        raise type(error)(f"{where}: {error}") from None
    black = [name for name, goal in mapping.table.items() if goal == BACKGROUND and name not in decided]
    if black:
        raise AmbiguousMappingError(
            f"{where}: {', '.join(black)} of {source.name!r} would be labelled and black in the image, since "
            f"{target.name!r} has nothing that they are or lie within; say in the mapping what each becomes: "
            f"{', '.join(target.names)} or {BACKGROUND}"
        )
    return mapping


def _grid_of(generator: PairGenerator) -> Grid:
    x, y, z = (float(edge) for edge in spacing_of(generator.affine))
    return Grid(generator.shape, (x, y, z))


def _name_of(generator: object) -> str:
    return str(getattr(generator, "name", type(generator).__name__))


def _lacking(generator: object, protocol: type) -> str:
    """Attributes and methods of a protocol that a generator does not have."""
    members = {
        name: None
        for one in reversed(protocol.__mro__)
        for name in (*inspect.get_annotations(one), *vars(one))
        if not name.startswith("_")
    }
    return ", ".join(name for name in members if not hasattr(generator, name))
