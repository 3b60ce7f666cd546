"""The decision about voxels near a border, taken so that structures touch each other as in real brains.

Sheets a voxel thin, such as the white matter between thalamus and ventricle, are lost wherever elsewhere is a little
more probable, and what they keep apart comes to touch. A small advantage or disadvantage of two labels side by side,
the same everywhere in the head (the pairwise potentials of a Markov random field), brings them back where the logits
still hold them. It is found for each label map, by measuring and correcting; labels under it by a
damped, synchronous form of iterated conditional modes (Besag, "On the statistical analysis of dirty pictures",
J. R. Stat. Soc. B 48, 1986).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from synthaug.anatomy import NormalRange, Trend
from synthaug.anatomy.faces import contact_shares, count_faces
from synthaug.anatomy.measures import FEWEST_VOXELS
from synthaug.anatomy.normal_range import ventricle_ids
from synthaug.generators.volume_decision import decide_labels, movable
from synthaug.labels import BACKGROUND, LabelScheme
from synthaug.networks.label_autoencoder import LabelAutoencoder

GOOD = 0.9
"""Nothing is corrected any more once all measures are within this share of their range."""

AIM = 0.6
"""Until then, those beyond this share are corrected: what is decided last may move them again a little."""

VOLUME_GAIN = 0.5
"""Logits that a round adds for a volume that is beyond `AIM` by its whole range."""

CONTACT_GAIN = 0.4
"""Likewise for a contact, at each of a voxel's six faces."""

LARGEST_ADVANTAGE = 0.1
"""Logits of two labels side by side; with more, labels would take turns voxel by voxel."""

DAMPING = 0.5
"""Share of the last round's potentials that stays, since all voxels decide at once."""

FIELD_SHIFT = 2.0
"""Logits by which a structure that has its voxels settled may be shifted further, to make up for what contacts take;
none where no shift is allowed at all.
"""

MISSED = 0.01
"""Share of the voxels asked for; what contacts take beyond it counts like a measure that is out of range."""

MOST_BEHIND = 6.0
"""Logits: a voxel whose second most probable label is further behind keeps its label."""


class AnatomyDecision:
    """Moves borders until volumes and contacts are in the range of real label maps.

    Args:
        normal: that range.
        scheme: tells ids and ventricles.
        voxel_ml: volume of a voxel.
        device: where the logits are.
    """

    def __init__(self, normal: NormalRange, scheme: LabelScheme, voxel_ml: float, device: torch.device) -> None:
        self._voxel_ml = voxel_ml
        self._ventricles = list(ventricle_ids(scheme))
        ids = {BACKGROUND: 0, **{name: scheme.id_of(name) for name in scheme.names}}
        classes = scheme.num_classes
        volumes: dict[tuple[int, ...], Trend] = {(ids[name],): trend for name, trend in normal.volumes.items()}
        self._known = frozenset(volumes)
        self._volumes = _Trends.of(volumes, (classes,), device)
        contacts: dict[tuple[int, ...], Trend] = {
            (ids[name], ids[neighbour]): trend for (name, neighbour), trend in normal.contacts.items()
        }
        self._contacts = _Trends.of(contacts, (classes, classes), device)

    def knows(self, ids: tuple[int, ...]) -> bool:
        """Whether the range of each structure's volume is known."""
        return all((one,) in self._known for one in ids)

    def decide(
        self,
        logits: torch.Tensor,
        voxels: Mapping[tuple[int, ...], int],
        *,
        rounds: int,
        largest_shift: float,
    ) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` with volumes and contacts in range, as far as the logits allow.

        Args:
            logits: ``(classes, 8, x, y, z)`` float32; axis 1 runs over the voxels of each 2x2x2 block.
            voxels: how many voxels the labels with these ids are to have together; where these and the range
                contradict each other, they prevail.
            rounds: at most so many corrections.
            largest_shift: of the logits of a structure that has its voxels settled, either way.
        """
        first, folded = logits.max(dim=0)
        begun = LabelAutoencoder.unfold(folded[None])[0].int()
        borders = _Borders.of(logits, first, folded, begun, voxels, largest_shift)
        label, classes = begun.flatten(), len(logits)
        counts = torch.bincount(label, minlength=classes)
        present = counts >= FEWEST_VOXELS
        fixed = counts - torch.bincount(label[borders.place], minlength=classes)
        wanted = {ids: count - int(fixed[list(ids)].sum()) for ids, count in voxels.items()}
        # what is asked for prevails, and what is not there at all has no size to be right or wrong
        judged = present.clone()
        judged[[ids[0] for ids in voxels if len(ids) == 1]] = False
        field, potential = _Field.none(classes, logits.device), borders.logits
        further = FIELD_SHIFT if largest_shift > 0 else 0.0
        beside = label[borders.around]
        best, least, unavoidable = label, torch.inf, 0.0
        for number in range(rounds + 1):
            potential = (1 - DAMPING) * borders.potential(beside, field) + DAMPING * potential
            shift = largest_shift if number == 0 else largest_shift + further
            decided = decide_labels(potential, wanted, largest_shift=shift).int()
            label = label.index_copy(0, borders.place, decided)
            beside = label[borders.around]
            counts = fixed + torch.bincount(decided, minlength=classes)
            excesses = self._excesses(borders.count_faces(decided, beside), counts, judged)
            missed = _share_missed(counts, voxels)
            if number == 0:
                unavoidable = missed
            worst = max(excesses.worst, (missed - unavoidable) / MISSED)
            if worst < least:
                best, least = label, worst
            if worst <= GOOD:
                break
            field = field.corrected(excesses)
        return best.view(begun.shape).long()

    def _excesses(self, faces: torch.Tensor, counts: torch.Tensor, judged: torch.Tensor) -> _Excesses:
        """Distances from the trends, by faces ``(classes, classes)`` between labels and voxels ``(classes,)`` of each.

        Those of volumes that are not judged are 0.
        """
        volumes_ml = (counts.double() * self._voxel_ml).clamp(min=self._voxel_ml)
        size = float(volumes_ml[self._ventricles].sum().log()) if self._ventricles else 0.0
        volumes = self._volumes.excess(size, volumes_ml.log()) * judged
        contacts = self._contacts.excess(size, contact_shares(faces)) * (counts >= FEWEST_VOXELS)[:, None]
        return _Excesses(volumes.float(), contacts.float())


@dataclass(frozen=True, eq=False)
class _Excesses:
    """Signed distances of volumes ``(classes,)`` and contacts ``(classes, classes)`` from their trends, as shares of
    their range.
    """

    volumes: torch.Tensor
    contacts: torch.Tensor

    @property
    def worst(self) -> float:
        """The largest distance, either way."""
        return max(float(self.volumes.abs().max()), float(self.contacts.abs().max()))


@dataclass(frozen=True, eq=False)
class _Field:
    """Potentials that are the same everywhere: of each label ``(classes,)``, and of two side by side ``(classes,
    classes)``, in logits.
    """

    unary: torch.Tensor
    pairwise: torch.Tensor

    @classmethod
    def none(cls, classes: int, device: torch.device) -> _Field:
        """Potentials that change nothing."""
        return cls(torch.zeros(classes, device=device), torch.zeros(classes, classes, device=device))

    def corrected(self, excesses: _Excesses) -> _Field:
        """Potentials that bring volumes and contacts nearer to their range."""
        return _Field(
            self.unary - VOLUME_GAIN * _beyond_aim(excesses.volumes),
            (self.pairwise - CONTACT_GAIN * _unwanted(excesses.contacts)).clamp(max=LARGEST_ADVANTAGE),
        )


@dataclass(frozen=True, eq=False)
class _Trends:
    """Trends of many measures, in tensors of one shape; what has none has an infinite reach."""

    slope: torch.Tensor
    intercept: torch.Tensor
    reach: torch.Tensor

    @classmethod
    def of(cls, trends: Mapping[tuple[int, ...], Trend], shape: tuple[int, ...], device: torch.device) -> _Trends:
        """Trends by place."""
        slope, intercept = torch.zeros(2, *shape, dtype=torch.float64)
        reach = torch.full(shape, torch.inf, dtype=torch.float64)
        for place, trend in trends.items():
            slope[place], intercept[place], reach[place] = trend.slope, trend.intercept, trend.reach
        return cls(slope.to(device), intercept.to(device), reach.to(device))

    def excess(self, size: float, found: torch.Tensor) -> torch.Tensor:
        """Signed distance from the trend at a logarithm of the ventricular volume, in units of the reach."""
        return (found - self.intercept - self.slope * size) / self.reach


@dataclass(frozen=True, eq=False)
class _Borders:
    """Voxels that may change their label, and those around them.

    Attributes:
        place: ``(N,)`` where they are in the flattened label map.
        around: ``(N, 6)`` where their neighbours are; themselves in the place of those out of the field of view.
        outer: ``(N, 6)`` int32, 1 for neighbours that keep their label.
        logits: ``(classes, N)``, those of the most probable label 0.
        far_faces: ``(classes, classes)`` faces between voxels that both keep their label.
    """

    place: torch.Tensor
    around: torch.Tensor
    outer: torch.Tensor
    logits: torch.Tensor
    far_faces: torch.Tensor

    @classmethod
    def of(
        cls,
        logits: torch.Tensor,
        first: torch.Tensor,
        folded: torch.Tensor,
        label: torch.Tensor,
        voxels: Mapping[tuple[int, ...], int],
        largest_shift: float,
    ) -> _Borders:
        """Find them: near a border and undecided, or within reach of the shifts that settle volumes.

        Args:
            logits: ``(classes, 8, x, y, z)``.
            first: their maximum ``(8, x, y, z)``.
            folded: where it is, the most probable labels.
            label: these ``(X, Y, Z)``, int32.
            voxels: see `AnatomyDecision.decide`.
            largest_shift: likewise.
        """
        near = LabelAutoencoder.fold(_near_borders(label)[None])[0]
        flat_logits, most = logits.flatten(1), first.flatten()
        at_borders = near.flatten().nonzero().squeeze(1)
        near.view(-1)[at_borders] = _undecided(flat_logits[:, at_borders], most[at_borders])
        near |= movable(logits, first, folded, voxels, largest_shift)
        open_ones = near.flatten().nonzero().squeeze(1)
        places = LabelAutoencoder.fold(torch.arange(label.numel(), device=label.device).view(1, *label.shape))[0]
        place, own = places.flatten()[open_ones], flat_logits[:, open_ones] - most[open_ones]
        chosen = torch.zeros(label.numel(), dtype=torch.bool, device=label.device)
        chosen[place] = True
        around = _neighbours(place, label.shape)
        outer = (~chosen[around]).int()
        labels = label.flatten()
        far_faces = count_faces(label, len(logits)) - _faces_of(labels[place], labels[around], outer, len(logits))
        return cls(place, around, outer, own, far_faces)

    def potential(self, beside: torch.Tensor, field: _Field) -> torch.Tensor:
        """Logits ``(classes, N)`` with what a field adds beside neighbours of these labels ``(N, 6)``."""
        of_neighbours = functional.embedding_bag(beside, field.pairwise, mode="sum")
        return self.logits + field.unary[:, None] + of_neighbours.T

    def count_faces(self, label: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Faces ``(classes, classes)`` of the whole label map with these labels ``(N,)``, and those ``(N, 6)`` of the
        neighbours, as :func:`synthaug.anatomy.faces.count_faces` counts them.
        """
        return _faces_of(label, beside, self.outer, len(self.logits)) + self.far_faces


def _faces_of(label: torch.Tensor, beside: torch.Tensor, outer: torch.Tensor, classes: int) -> torch.Tensor:
    """Faces ``(classes, classes)`` of voxels with labels ``(N,)`` that have others ``(N, 6)`` beside them.

    Of these, ``outer`` marks by 1 those that are not among the voxels.
    """
    pairs = (outer * classes + label[:, None]) * classes + beside
    # those between two of these voxels are seen from both sides
    twice, once = torch.bincount(pairs.flatten(), minlength=2 * classes**2).view(2, classes, classes)
    return (twice + once + once.T).fill_diagonal_(0)


def _neighbours(place: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Places ``(N, 6)`` beside places ``(N,)`` of a flattened volume; out of it, the place itself."""
    _, y, z = shape
    found = []
    for stride, at, size in zip((y * z, z, 1), (place // (y * z), place // z % y, place % z), shape, strict=True):
        found += [torch.where(at > 0, place - stride, place), torch.where(at < size - 1, place + stride, place)]
    return torch.stack(found, dim=1)


def _undecided(logits: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """Voxels ``(...)`` bool whose second most probable label is close behind the first."""
    return (logits > first - MOST_BEHIND).sum(dim=0) > 1


def _share_missed(counts: torch.Tensor, voxels: Mapping[tuple[int, ...], int]) -> float:
    """The largest share by which voxels ``(classes,)`` miss those asked for; 0 where none are."""
    return max((abs(int(counts[list(ids)].sum()) / count - 1) for ids, count in voxels.items() if count > 0), default=0)


def _beyond_aim(excess: torch.Tensor) -> torch.Tensor:
    return excess.sign() * (excess.abs() - AIM).clamp(0, 1)


def _unwanted(contacts: torch.Tensor) -> torch.Tensor:
    """By how much contacts are to be hindered, ``(classes, classes)`` symmetric: those beyond the range, and, since one
    that is too rare can hardly be furthered, what the structure has of others above their trends.
    """
    beyond = _beyond_aim(contacts)
    above = contacts.clamp(min=0)
    shares = above / above.sum(dim=1, keepdim=True).clamp(min=1e-6)
    change = beyond + (-beyond).clamp(min=0).sum(dim=1, keepdim=True) * shares
    return change + change.T


def _near_borders(label: torch.Tensor) -> torch.Tensor:
    """Voxels ``(X, Y, Z)`` bool within two steps of another label."""
    beside = torch.zeros(label.shape, dtype=torch.bool, device=label.device)
    for axis, size in enumerate(label.shape):
        border = label.narrow(axis, 0, size - 1) != label.narrow(axis, 1, size - 1)
        beside.narrow(axis, 0, size - 1).logical_or_(border)
        beside.narrow(axis, 1, size - 1).logical_or_(border)
    near = beside.clone()
    for axis, size in enumerate(label.shape):
        near.narrow(axis, 0, size - 1).logical_or_(beside.narrow(axis, 1, size - 1))
        near.narrow(axis, 1, size - 1).logical_or_(beside.narrow(axis, 0, size - 1))
    return near
