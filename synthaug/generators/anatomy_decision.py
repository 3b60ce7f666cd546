"""The decision about voxels near a border, taken so that structures touch each other as in real brains.

Sheets a voxel thin, such as the white matter between thalamus and ventricle, are lost wherever elsewhere is a little
more probable, and what they keep apart comes to touch. A small advantage or disadvantage of two labels side by side,
the same everywhere in the head (the pairwise potentials of a Markov random field), brings them back where the logits
still hold them. It is found for each label map, by measuring and correcting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from synthaug.anatomy import NormalRange, Trend
from synthaug.anatomy.faces import contact_shares, count_faces
from synthaug.anatomy.measures import BACKGROUND, FEWEST_VOXELS
from synthaug.generators.volume_decision import decide_labels, most_probable
from synthaug.labels import LabelScheme
from synthaug.networks.label_autoencoder import LabelAutoencoder

GOOD = 0.9
"""Nothing is corrected any more once all measures are within this share of their range."""

AIM = 0.6
"""Until then, those beyond this share are corrected: what is decided last may move them again a little."""

CONTACT_GAIN = 0.6
VOLUME_GAIN = 0.5
"""Logits that a round adds for a measure that is beyond `AIM` by its whole range."""

LARGEST_ADVANTAGE = 0.15
"""Logits of two labels side by side; with more, labels would take turns voxel by voxel."""

DAMPING = 0.5
"""Share of the last round's potentials that stays, since all voxels decide at once."""

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
        self._ventricles = list(scheme.resolve("ventricles")) if "ventricles" in scheme.groups else []
        ids = {BACKGROUND: 0, **{name: scheme.id_of(name) for name in scheme.names}}
        classes = scheme.num_classes
        volumes: dict[tuple[int, ...], Trend] = {(ids[name],): trend for name, trend in normal.volumes.items()}
        self._volumes = _Trends.of(volumes, (classes,), device)
        contacts: dict[tuple[int, ...], Trend] = {
            (ids[name], ids[neighbour]): trend for (name, neighbour), trend in normal.contacts.items()
        }
        self._contacts = _Trends.of(contacts, (classes, classes), device)

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
        label = LabelAutoencoder.unfold(most_probable(logits)[None])[0]
        borders = _Borders.of(logits, label)
        shape, label, classes = label.shape, label.flatten(), len(logits)
        fixed = torch.bincount(label, minlength=classes) - torch.bincount(label[borders.place], minlength=classes)
        wanted = {ids: count - int(fixed[list(ids)].sum()) for ids, count in voxels.items()}
        settled = [ids[0] for ids in voxels if len(ids) == 1]
        own = torch.zeros(classes, device=logits.device)
        beside = torch.zeros(classes, classes, device=logits.device)
        potential, best, least = borders.logits, label, torch.inf
        for _ in range(rounds + 1):
            of_neighbours = functional.embedding_bag(label[borders.around], beside, mode="sum")
            found = borders.logits + own[:, None] + of_neighbours.T
            potential = (1 - DAMPING) * found + DAMPING * potential
            label = label.index_copy(0, borders.place, decide_labels(potential, wanted, largest_shift=largest_shift))
            volumes, contacts = self._excesses(borders.count_faces(label), label)
            volumes[settled] = 0
            excess = max(float(volumes.abs().max()), float(contacts.abs().max()))
            if excess < least:
                best, least = label, excess
            if excess <= GOOD:
                break
            own = own - VOLUME_GAIN * _beyond_aim(volumes)
            beside = (beside - CONTACT_GAIN * _unwanted(contacts)).clamp(max=LARGEST_ADVANTAGE)
        return best.view(shape)

    def _excesses(self, faces: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances of volumes ``(classes,)`` and contacts ``(classes, classes)`` from their trends, as shares of their
        range; 0 for missing structures.
        """
        counts = torch.bincount(label, minlength=len(faces))
        volumes_ml = (counts.double() * self._voxel_ml).clamp(min=self._voxel_ml)
        size = float(volumes_ml[self._ventricles].sum().log()) if self._ventricles else 0.0
        present = counts >= FEWEST_VOXELS
        volumes = self._volumes.excess(size, volumes_ml.log()) * present
        contacts = self._contacts.excess(size, contact_shares(faces)) * present[:, None]
        return volumes.float(), contacts.float()


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
        around: ``(N, 6)`` where their neighbours are.
        inner: ``(N, 6)`` bool, neighbours that may change too.
        logits: ``(classes, N)``, those of the most probable label 0.
        far_faces: ``(classes, classes)`` faces between voxels that both keep their label.
    """

    place: torch.Tensor
    around: torch.Tensor
    inner: torch.Tensor
    logits: torch.Tensor
    far_faces: torch.Tensor

    @classmethod
    def of(cls, logits: torch.Tensor, label: torch.Tensor) -> _Borders:
        """Find them in a label map ``(X, Y, Z)`` with logits ``(classes, 8, x, y, z)``."""
        near = LabelAutoencoder.fold(_near_borders(label)[None])[0].flatten()
        places = torch.arange(label.numel(), device=label.device).view(label.shape)
        place = LabelAutoencoder.fold(places[None])[0].flatten()[near]
        own = logits.flatten(1)[:, near]
        first, second = own.topk(2, dim=0).values
        undecided = second > first - MOST_BEHIND
        place, own = place[undecided], (own - first)[:, undecided]
        movable = torch.zeros(label.numel(), dtype=torch.bool, device=label.device)
        movable[place] = True
        steps = [step for stride in label.stride() for step in (-stride, stride)]
        around = place[:, None] + torch.tensor(steps, device=label.device)
        found = cls(place, around, movable[around], own, torch.zeros((), dtype=torch.int64, device=label.device))
        far_faces = count_faces(label, len(logits)) - found.count_faces(label.flatten())
        return cls(place, around, found.inner, own, far_faces)

    def count_faces(self, label: torch.Tensor) -> torch.Tensor:
        """Faces ``(classes, classes)`` between labels of a flattened label map; see `count_faces`."""
        classes = len(self.logits)
        pairs = label[self.place][:, None] * classes + label[self.around]
        # each side of a face between two of these voxels is looked at, but one side of the others
        twice, once = (
            torch.bincount(pairs[chosen], minlength=classes**2).view(classes, classes)
            for chosen in (self.inner, ~self.inner)
        )
        return (twice + once + once.T).fill_diagonal_(0) + self.far_faces


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
    """Voxels ``(X, Y, Z)`` bool within two steps of another label; none at the rim of the field of view."""
    beside = torch.zeros(label.shape, dtype=torch.bool, device=label.device)
    for axis, size in enumerate(label.shape):
        border = label.narrow(axis, 0, size - 1) != label.narrow(axis, 1, size - 1)
        beside.narrow(axis, 0, size - 1).logical_or_(border)
        beside.narrow(axis, 1, size - 1).logical_or_(border)
    near = beside.clone()
    for axis, size in enumerate(label.shape):
        near.narrow(axis, 0, size - 1).logical_or_(beside.narrow(axis, 1, size - 1))
        near.narrow(axis, 1, size - 1).logical_or_(beside.narrow(axis, 0, size - 1))
    inside = torch.zeros_like(near)
    inside[1:-1, 1:-1, 1:-1] = near[1:-1, 1:-1, 1:-1]
    return inside
