"""A stand-in for a learned generator: genuine labelled volumes in milliseconds, from ellipsoids, not networks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthaug.conditions import Condition, VolumeBounds
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord, LabeledVolume

FIELD_OF_VIEW_MM = 128.0
"""The anatomy below is drawn for a cube of this width and scaled to other widths."""

HEAD_RADII_MM = (54.0, 60.0, 52.0)
"""Half axes of the head's ellipsoid (x, y, z)."""

FIXED_BALLS: tuple[tuple[str, tuple[tuple[float, float, float], ...], float], ...] = (
    # structure, centres in mm (RAS+, origin at the head's centre), radius in mm; all in the lower half of the head
    ("cerebellar_cortex", ((-16.0, -32.0, -24.0), (16.0, -32.0, -24.0)), 13.0),
    ("cerebellar_white_matter", ((-16.0, -32.0, -24.0), (16.0, -32.0, -24.0)), 7.0),
    ("brainstem", ((0.0, -10.0, -34.0),), 9.0),
    ("hippocampus_amygdala", ((-28.0, 2.0, -22.0), (28.0, 2.0, -22.0)), 8.0),
    ("basal_ganglia", ((-20.0, 24.0, -12.0), (20.0, 24.0, -12.0)), 9.0),
    ("thalamus", ((-16.0, -4.0, -8.0), (16.0, -4.0, -8.0)), 7.0),
)

INTENSITIES: dict[str, float] = {
    "cerebral_white_matter": 110.0,
    "cerebral_cortex": 75.0,
    "lateral_ventricle_left": 20.0,
    "lateral_ventricle_right": 20.0,
    "third_ventricle": 22.0,
    "fourth_ventricle": 22.0,
    "basal_ganglia": 90.0,
    "thalamus": 95.0,
    "hippocampus_amygdala": 80.0,
    "cerebellar_white_matter": 105.0,
    "cerebellar_cortex": 72.0,
    "brainstem": 100.0,
    "csf": 15.0,
}
"""Mean T1-like intensity of each structure; the background is 0."""

ANATOMY = tuple(INTENSITIES)


class StandInGenerator:
    """Makes concentric ellipsoid heads whose ventricles have the asked volume to within a voxel.

    Args:
        shape: voxels along x, y, z (RAS+).
        spacing_mm: edge of the isotropic voxel in mm.
        seconds: time that each pair pretends to cost; 0 unless a test wants to be interrupted.
        scheme: label scheme; its structures are those of ``ventricles-t1`` or some of them, the rest is background.
        version: part of the fingerprint: another version stands for other weights.
        channels: names of the image channels; each has noise of its own.
        dirty: leave one background voxel off zero, so that no pair passes quality control.
        training_cases: what the generator claims to have been fitted on.
        **options: any further generator option (``steps``, ``guidance_scale``); kept to be looked at.
    """

    name = "stand-in"

    def __init__(
        self,
        shape: tuple[int, int, int] = (32, 32, 32),
        spacing_mm: float = 4.0,
        seconds: float = 0.0,
        scheme: LabelScheme | None = None,
        *,
        version: int = 1,
        training_cases: Sequence[CaseRecord] = (),
        channels: tuple[str, ...] = ("T1",),
        dirty: bool = False,
        **options: Any,
    ) -> None:
        self.shape = shape
        self.spacing_mm = float(spacing_mm)
        self.seconds = seconds
        self.scheme = scheme if scheme is not None else LabelScheme.load("ventricles-t1")
        self.channels = tuple(channels)
        self.training_cases = tuple(training_cases)
        self.dirty = dirty
        self.options = options
        self.calls: list[tuple[float, int]] = []
        scale = min(shape) * self.spacing_mm / FIELD_OF_VIEW_MM
        self._scale = scale
        self.bounds = VolumeBounds({"ventricles": (5.0 * scale**3, 150.0 * scale**3)})
        self.affine = np.diag([self.spacing_mm] * 3 + [1.0])
        self.affine[:3, 3] = -(np.asarray(shape) - 1) / 2 * self.spacing_mm
        described = json.dumps([self.name, list(shape), self.spacing_mm, version, self.scheme.to_dict(), channels])
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()
        axes = [(np.arange(n) - (n - 1) / 2) * self.spacing_mm / scale for n in shape]
        self._grid = np.stack(np.meshgrid(*axes, indexing="ij"))  # mm in the anatomy's own scale

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """One pair per condition; the same condition and seed give the same arrays."""
        return [self._pair(condition, seed) for condition, seed in zip(conditions, seeds, strict=True)]

    def _pair(self, condition: Condition, seed: int) -> LabeledVolume:
        self.bounds.check(condition)
        if self.seconds:
            time.sleep(self.seconds)
        target_ml = float(condition.targets_ml["ventricles"])
        self.calls.append((target_ml, seed))
        rng = np.random.default_rng(seed)
        anatomy = self._anatomy(target_ml, rng)
        label = np.zeros(self.shape, np.int16)
        mean = np.zeros(self.shape, np.float32)
        for number, name in enumerate(ANATOMY, start=1):
            if name in self.scheme.names:
                label[anatomy == number] = self.scheme.id_of(name)
                mean[anatomy == number] = INTENSITIES[name]
        noise = rng.normal(0.0, 3.0, (len(self.channels), *self.shape)).astype(np.float32)
        image = np.where(label[None] > 0, np.maximum(mean[None] + noise, 1.0), 0.0).astype(np.float32)
        if self.dirty:
            image[:, 0, 0, 0] = 5.0
        pair = LabeledVolume(image, label, self.affine.copy(), self.scheme, self.channels, {})
        pair.provenance.update(
            generator=self.name,
            generator_sha256=self.fingerprint,
            seed=int(seed),
            requested_ml=dict(condition.targets_ml),
            realised_ml={name: pair.volumes_ml()[name] for name in condition.targets_ml},
            seconds=self.seconds,
            versions={},
        )
        return pair

    def _anatomy(self, target_ml: float, rng: np.random.Generator) -> np.ndarray:
        """Numbers (1 = first of ``ANATOMY``) on the grid, shape (X, Y, Z)."""
        x, _, z = self._grid
        radius = np.sqrt(sum((axis / half) ** 2 for axis, half in zip(self._grid, HEAD_RADII_MM, strict=True)))
        anatomy = np.zeros(self.shape, np.int16)
        number = {name: index for index, name in enumerate(ANATOMY, start=1)}
        anatomy[radius <= 1.0] = number["csf"]
        anatomy[radius <= 0.92] = number["cerebral_cortex"]
        anatomy[radius <= 0.84] = number["cerebral_white_matter"]
        for name, centres, ball in FIXED_BALLS:
            for centre in centres:
                anatomy[(self._distance(centre) <= ball) & (z < 0) & (radius <= 0.92)] = number[name]
        # the voxels nearest to a centre, exactly as many as the volume asks for
        total = max(4, round(target_ml / (self.spacing_mm**3 / 1000)))
        small = max(1, round(0.02 * total))
        inside = radius <= 0.84
        parts = {
            "third_ventricle": (small, (0.0, 6.0, -12.0), inside & (z < 0) & (np.abs(x) <= 10)),
            "fourth_ventricle": (small, (0.0, -24.0, -14.0), inside & (z < 0) & (np.abs(x) <= 10)),
        }
        lateral = total - 2 * small
        left = round(lateral * float(rng.uniform(0.46, 0.54)))
        parts["lateral_ventricle_left"] = (left, (-13.0, 0.0, 14.0), inside & (z > 0) & (x < 0))
        parts["lateral_ventricle_right"] = (lateral - left, (13.0, 0.0, 14.0), inside & (z > 0) & (x > 0))
        for name, (count, centre, allowed) in parts.items():
            distance = np.where(allowed, self._distance(centre), np.inf)
            nearest = np.argsort(distance, axis=None, kind="stable")[:count]
            anatomy.reshape(-1)[nearest] = number[name]
        return anatomy

    def _distance(self, centre: tuple[float, float, float]) -> np.ndarray:
        return np.sqrt(sum((axis - at) ** 2 for axis, at in zip(self._grid, centre, strict=True)))


def make(**options: Any) -> StandInGenerator:
    """Factory for ``--generator python:tests.stand_in_generator:make``; takes and keeps any generator option."""
    device = options.pop("device", None)
    shape = options.pop("shape", (32, 32, 32))
    if isinstance(shape, str):
        x, y, z = (int(part) for part in shape.split("x"))
        shape = (x, y, z)
    return StandInGenerator(
        shape=shape,
        spacing_mm=float(options.pop("spacing_mm", 4.0)),
        seconds=float(options.pop("seconds", 0.0)),
        version=int(options.pop("version", 1)),
        device=device,
        **options,
    )
