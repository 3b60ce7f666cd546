"""Counterfactuals of real pairs: the same head with its ventricles taken to a volume by a diffeomorphic warp.

Label map and image are pulled through one field, so that they agree as well as the real pair does. At strength 0
nothing is learned and nothing made anew: the warped image keeps the greys of its subject, partial-volume ones included.
Above 0 the image of the structure, and of a margin around it, is made anew by the image stage of a guided LDM.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from synthaug.conditions import Condition, VolumeBounds
from synthaug.errors import BoundsError, ConfigurationError
from synthaug.generators.case_pool import CasePool, foreground_of
from synthaug.generators.cases import CasePaths
from synthaug.generators.counterfactual_options import CounterfactualOptions
from synthaug.generators.recipe import library_versions, origins_of, processor, recipe_of, without_folders
from synthaug.generators.region_renewal import RegionRenewal
from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume
from synthaug.warps.aim_search import WarpedLabel, nearest_warp
from synthaug.warps.displacement import compose, warp_image, warp_labels
from synthaug.warps.field_grid import FieldGrid
from synthaug.warps.fluid_fill import fill_fluid_channels
from synthaug.warps.growth import growth_rates
from synthaug.warps.head import movable_head
from synthaug.warps.inflation import VentricleInflator
from synthaug.warps.random_warp import RandomWarp

CONTROL = "ventricles"
"""The group that is the control in a scheme that has it."""

LARGEST_HEAD_SHARE = 0.12
"""A structure is not grown beyond this share of the head: there the tissue around it is squeezed to nothing."""

STRAY_VOXELS = 20
"""A structure with fewer voxels in some case is not required of a pair."""

TOLERANCE_ML, TOLERANCE = 0.5, 0.02
"""The realised volume is within either of these of the target, else the pair is not made."""

RENEWED_MARGIN_MM = 4.0
"""The image is made anew up to so far from the structure, where its border may show greys of both sides."""

AIMED_SHARE = 0.4
"""The search stops at this share of the tolerance."""


@dataclass(frozen=True)
class Draw:
    """Random parameters of one pair.

    Attributes:
        order: indices of the cases that can reach the target, the one to take first.
        flip: whether the pair is mirrored.
        warp_seed: seed of the random warp, or None.
    """

    order: tuple[int, ...]
    flip: bool
    warp_seed: int | None


class CounterfactualGenerator:
    """Generator of warped real pairs. See :class:`~synthaug.generators.protocol.PairGenerator`.

    A pair keeps the grid and the true affine of the case that it comes from, so shapes may differ from pair to pair;
    ``shape`` and ``affine`` are those of the first case. Each condition names one structure or group. Fields are found
    on the CPU.

    Args:
        cases: real pairs; in training, those of the fold's training set only.
        scheme: label scheme of the cases.
        channels: names of the image channels.
        options: what a user may choose.
        warp: ranges of the random warp.
        renewal: makes images anew, for a strength above 0.

    Raises:
        ConfigurationError: no case, no structure whose volume can be changed, or a strength above 0 without renewal.
        SynthAugError: a case cannot be read.
    """

    name = "counterfactual"

    def __init__(
        self,
        cases: Sequence[CasePaths],
        scheme: LabelScheme,
        channels: Sequence[str],
        options: CounterfactualOptions | None = None,
        *,
        warp: RandomWarp | None = None,
        renewal: RegionRenewal | None = None,
    ) -> None:
        self.options = options or CounterfactualOptions()
        if (self.options.strength > 0) != (renewal is not None):
            raise ConfigurationError(
                f"counterfactual: strength is {self.options.strength:g}, renewal {renewal!r}; a strength above 0 goes "
                "with a renewal, 0 without: take CounterfactualGenerator.from_options"
            )
        self._renewal = renewal
        self.warp = warp or RandomWarp(rotation_degrees=3.0, scale=0.03, translation_mm=1.0, bump_mm=1.5)
        self.scheme = scheme
        self.channels = tuple(channels)
        self._pool = CasePool(cases, scheme, channels)
        facts = self._pool.facts
        self.shape = facts[0].shape
        self.affine = facts[0].affine
        self.training_cases = (*(case.record for case in facts), *(renewal.training_cases if renewal else ()))
        # warping moves unlabelled tissue about, it makes none; a little more may come of rounding at borders
        self.max_nonzero_background = min(1.0, 1.1 * max(case.nonzero_background for case in facts) + 0.005)
        # no warp brings a structure that the subject lacks, and a few stray voxels do not survive one
        self.required_structures = tuple(
            name
            for name in scheme.names
            if all(case.volumes_ml[name] >= STRAY_VOXELS * case.voxel_ml for case in facts)
        )
        self._reach = {name: self._reach_of(name) for name in self._controls()}
        self.bounds = VolumeBounds({name: _union(reach) for name, reach in self._reach.items()})
        self.fingerprint = self._fingerprint()
        self.origins = {} if renewal is None else origins_of(painter=renewal)

    @classmethod
    def from_options(
        cls,
        cases: Sequence[CasePaths],
        scheme: LabelScheme,
        channels: Sequence[str],
        options: Mapping[str, Any],
        *,
        device: str = "auto",
    ) -> CounterfactualGenerator:
        """The generator with options by name, as a command line has them.

        Args:
            cases: real pairs.
            scheme: label scheme of the cases.
            channels: names of the image channels.
            options: fields of :class:`CounterfactualOptions`.
            device: where the networks of the painter run, for a strength above 0.

        Raises:
            ConfigurationError: an option that is not allowed, or a painter that does not fit the cases.
        """
        chosen = CounterfactualOptions.from_dict(options)
        renewal = None
        if chosen.strength > 0:
            renewal = RegionRenewal.load(chosen.painter, scheme, channels, chosen.strength, device=device)
        return cls(cases, scheme, channels, chosen, renewal=renewal)

    def labelled_shares(self) -> dict[str, float]:
        """Share of the head that structures cover, by case."""
        return {
            case.record.identifier: sum(case.volumes_ml[name] for name in self.scheme.names) / max(case.head_ml, 1e-6)
            for case in self._pool.facts
        }

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`.

        Raises:
            BoundsError: a target out of bounds, or out of reach of a diffeomorphism of any case.
            ConfigurationError: a condition that names more than one structure.
        """
        for condition in conditions:
            self.bounds.check(condition)
            _single_target(condition)
        return [self._generate_one(condition, seed) for condition, seed in zip(conditions, seeds, strict=True)]

    def draw(self, condition: Condition, seed: int) -> Draw:
        """Draw the case and the variations of a pair; nothing is applied yet."""
        rng = np.random.default_rng(seed)
        name, target_ml = _single_target(condition)
        order = [int(index) for index in rng.permutation(len(self._pool))]
        flip, warp_seed = bool(rng.integers(2)), int(rng.integers(2**53))
        reach = self._reach[name]
        if condition.extrapolate:
            # without a case in reach, the one that has to change least
            order.sort(key=lambda index: _distance(reach[index], target_ml))
        else:
            order = [index for index in order if _distance(reach[index], target_ml) == 0]
        return Draw(tuple(order), self.options.flip and flip, warp_seed if self.options.random_warp else None)

    def _generate_one(self, condition: Condition, seed: int) -> LabeledVolume:
        started = time.perf_counter()
        name, target_ml = _single_target(condition)
        draw = self.draw(condition, seed)
        failure: BoundsError | None = None
        for index in draw.order:
            try:
                pair = self._warped(index, name, target_ml, draw, int(seed))
            except BoundsError as error:
                failure = error
                continue
            if self._renewal is not None:
                pair = replace(pair, image=self._renewal.renew(pair, self._region(pair, name), seed=int(seed)))
            pair.provenance.update(
                generator=self.name,
                generator_sha256=self.fingerprint,
                seed=int(seed),
                requested_ml=dict(condition.targets_ml),
                realised_ml=pair.volumes_ml(),
                seconds=round(time.perf_counter() - started, 3),
                case=self.training_cases[index].identifier,
                case_ml=self._pool.facts[index].volumes_ml[name],
                flipped=draw.flip,
                options=without_folders(asdict(self.options)),
                versions=library_versions(),
                **(self._renewal.computed_with if self._renewal is not None else processor("cpu")),
                **{f"{option}_origin": origin for option, origin in self.origins.items()},
                **recipe_of(self),
            )
            return pair
        raise failure or BoundsError(
            f"no case from which {name} could be taken to {target_ml:.1f} mL: each would have to grow by more than "
            f"{self.options.max_growth:g} or shrink by more than {self.options.max_shrinkage:g}; choose another target"
        )

    @torch.inference_mode()
    def _warped(self, index: int, name: str, target_ml: float, draw: Draw, seed: int) -> LabeledVolume:
        """The pair of a case with a structure taken to a volume."""
        source = self._pool.read(index)
        if draw.flip:
            source = _mirrored(source)
        ids = self.scheme.resolve(name)
        label = torch.from_numpy(source.label.astype(np.int32))
        foreground = torch.from_numpy(foreground_of(source.image))
        grid = FieldGrid.covering(source.label.shape, source.spacing_mm)
        variation = None
        anatomy, extent = grid.bring(label), grid.bring(foreground)
        if draw.warp_seed is not None:
            variation = self.warp.draw(grid.shape, grid.spacing_mm, np.random.default_rng(draw.warp_seed))
            anatomy, extent = warp_labels(anatomy, variation), warp_labels(extent.int(), variation) > 0
        inflator = VentricleInflator(
            anatomy,
            ids,
            fluid_ids=[number for number in self._fluid_ids() if number not in ids],
            spacing_mm=grid.spacing_mm,
            rates=growth_rates(self.scheme, ids),
            head=movable_head(anatomy, extent, torch.tensor(ids), grid.spacing_mm),
        )

        def warped_for(aim_ml: float) -> WarpedLabel:
            whole = inflator.search_field(aim_ml)
            field = grid.field_for_case(whole if variation is None else compose(whole, variation))
            found = warp_labels(label, field)
            volume_ml = float(torch.isin(found, torch.tensor(ids)).sum()) * source.voxel_volume_ml
            return WarpedLabel(found, field, volume_ml)

        tolerance_ml = max(TOLERANCE_ML, TOLERANCE * target_ml)
        best = nearest_warp(warped_for, target_ml, AIMED_SHARE * tolerance_ml)
        if (error_ml := abs(best.volume_ml - target_ml)) > tolerance_ml:
            raise BoundsError(
                f"{self.training_cases[index].identifier}: {name} misses {target_ml:.1f} mL by {error_ml:.1f} mL; "
                f"at most {tolerance_ml:.1f} mL is allowed: choose a target nearer to the case's own "
                f"{self._pool.facts[index].volumes_ml[name]:.1f} mL"
            )
        image = _pulled(source.image, foreground, best.field)
        if self.options.fill:
            inside, own = np.isin(best.label.numpy(), ids), np.isin(source.label, ids)
            image = fill_fluid_channels(image, inside, source.image, own, spacing_mm=source.spacing_mm, seed=seed)
        found = best.label.numpy().astype(np.int16)
        return LabeledVolume(image, found, source.affine.copy(), self.scheme, self.channels, {})

    def _region(self, pair: LabeledVolume, name: str) -> np.ndarray:
        """Where the image of a pair is made anew, ``(X, Y, Z)``: the structure and a margin around it."""
        outside = ~np.isin(pair.label, self.scheme.resolve(name))
        return ndimage.distance_transform_edt(outside, sampling=pair.spacing_mm) <= RENEWED_MARGIN_MM

    def _controls(self) -> list[str]:
        """Structures and groups whose volume can be changed: present, and a small part of their head."""
        names = [*self.scheme.groups, *self.scheme.names]
        small = [
            name
            for name in names
            if any(0 < case.volumes_ml[name] <= LARGEST_HEAD_SHARE * case.head_ml for case in self._pool.facts)
        ]
        if not small:
            raise ConfigurationError(
                f"counterfactual: no structure of the scheme {self.scheme.name!r} is in the cases and smaller than "
                f"{LARGEST_HEAD_SHARE:.0%} of the head; give cases with ventricles"
            )
        # `ventricles` first: it is the control wherever a scheme has it
        return sorted(small, key=lambda name: name != CONTROL)

    def _reach_of(self, name: str) -> tuple[tuple[float, float], ...]:
        """Volumes in mL that a structure can be taken to, for each case; (inf, 0) where it has none."""
        reach = []
        for case in self._pool.facts:
            own_ml, limit_ml = case.volumes_ml[name], LARGEST_HEAD_SHARE * case.head_ml
            if 0 < own_ml <= limit_ml:
                reach.append((own_ml / self.options.max_shrinkage, min(own_ml * self.options.max_growth, limit_ml)))
            else:
                reach.append((float("inf"), 0.0))
        return tuple(reach)

    def _fluid_ids(self) -> list[int]:
        return [self.scheme.id_of(name) for name in self.scheme.names if "csf" in name.lower()]

    def _fingerprint(self) -> str:
        described = {
            "system": self.name,
            "cases": [asdict(case) for case in self.training_cases],
            "scheme": self.scheme.to_dict(),
            "channels": self.channels,
            # what the painter is says its own fingerprint, wherever it lies
            "options": {**asdict(self.options), "painter": CounterfactualOptions.painter},
            "warp": asdict(self.warp),
            "painter": self._renewal.fingerprint if self._renewal else None,
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _single_target(condition: Condition) -> tuple[str, float]:
    if len(condition.targets_ml) != 1:
        raise ConfigurationError(
            f"counterfactual: targets for {', '.join(condition.targets_ml) or 'nothing'}; "
            "name exactly one structure or group, for example ventricles"
        )
    ((name, target_ml),) = condition.targets_ml.items()
    if target_ml <= 0:
        raise BoundsError(
            f"counterfactual: target {name}={target_ml:g} mL; a warp leaves a volume above 0: ask for one"
        )
    return name, float(target_ml)


def _union(reach: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in reach), max(high for _, high in reach)


def _distance(reach: tuple[float, float], target_ml: float) -> float:
    """Log distance of a target from what a case can reach; 0 within it."""
    low, high = reach
    if low > high or target_ml <= 0:
        return float("inf")
    return float(max(0.0, np.log(low / target_ml), np.log(target_ml / high)))


def _mirrored(pair: LabeledVolume) -> LabeledVolume:
    """Left-right flip within the grid: the affine stays, sides change their names."""
    mirror = pair.scheme.mirror_ids()
    table = np.arange(max(mirror) + 1, dtype=np.int16)
    table[list(mirror)] = list(mirror.values())
    image = np.ascontiguousarray(pair.image[:, ::-1])
    return LabeledVolume(image, table[pair.label[::-1]], pair.affine, pair.scheme, pair.channels, {})


def _pulled(image: np.ndarray, foreground: torch.Tensor, field: torch.Tensor) -> np.ndarray:
    """Image ``(C, X, Y, Z)`` through a field; what was exactly 0 outside the foreground stays exactly 0.

    At the foreground's edge zeros would be mixed into the tissue: intensities are means over foreground voxels.
    """
    pulled = warp_image(torch.from_numpy(image), field)
    if bool(foreground.all()):
        return pulled.numpy()
    share = warp_image(foreground.float()[None], field)
    return torch.where(share >= 0.5, pulled / share.clamp(min=0.5), 0.0).numpy()
