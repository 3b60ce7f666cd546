"""What an evaluation asks whether images show what their label maps say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from synthaug.errors import AmbiguousMappingError, ConfigurationError, LabelError
from synthaug.labels import LabelMapping, LabelScheme, propose_mapping
from synthaug.labels.scheme import BACKGROUND


class SegmentationModel(Protocol):
    """A trained segmentation network.

    Attributes:
        title: its name in reports.
        facts: where it comes from, JSON-ready: files with their sha256, notes.
        scheme: what its labels mean.
        channels: names of the image channels that it takes, in its order.
    """

    title: str
    facts: dict[str, Any]
    scheme: LabelScheme
    channels: tuple[str, ...]

    def segment(self, image: np.ndarray, head: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Segment an image.

        Args:
            image: float32 ``(C, X, Y, Z)`` in RAS+ order.
            head: bool ``(X, Y, Z)``, where tissue is.
            affine: voxel-to-mm matrix, ``(4, 4)``.

        Returns:
            int16 ``(X, Y, Z)`` on the image's grid, ids of ``scheme``.
        """


@dataclass(frozen=True)
class CommonLabels:
    """What label maps of pairs and segmentations of a model are compared in: the coarser of their two schemes.

    Attributes:
        scheme: of both after mapping.
        pairs: mapping of the pairs' label maps, or None where they stay as they are.
        model: mapping of the model's segmentations, or None.
    """

    scheme: LabelScheme
    pairs: LabelMapping | None = None
    model: LabelMapping | None = None

    @classmethod
    def of(
        cls, pairs: LabelScheme, model: LabelScheme, decided: Mapping[str, str] | None = None, *, where: str
    ) -> CommonLabels:
        """Map the model's labels onto the pairs' structures, or else those onto the model's labels.

        Args:
            pairs: scheme of the pairs.
            model: scheme of the segmentations.
            decided: structures of the pairs whose label of the model is settled by hand; the others are proposed.
            where: the model, for errors.

        Raises:
            ConfigurationError: neither can be mapped onto the other without a choice; tells why.
        """
        first = ""
        if decided is None:
            try:
                return cls(pairs, model=propose_mapping(model, pairs))
            except AmbiguousMappingError as error:
                first = f"{error}; nor onto the labels of the model: "
        try:
            return cls(model, pairs=propose_mapping(pairs, model, decided=decided))
        except LabelError as error:
            raise ConfigurationError(
                f"--alignment {where}: its labels cannot be mapped onto the pairs' structures: {first}{error}; "
                "--alignment-mapping FILE takes such a mapping, {structure of the pairs: label of the model}"
            ) from None

    def ids_of(self, structure: str) -> tuple[int, ...]:
        """Ids in the common scheme that stand for a structure or group of the pairs, or for parts of it alone.

        Empty where all of it stands with other structures or the background there.
        """
        if self.pairs is None:
            return self.scheme.resolve(structure)
        goals, shared = self._goals(structure)
        return tuple(sorted(self.scheme.id_of(goal) for goal in goals - shared))

    def is_whole(self, structure: str) -> bool:
        """Whether `ids_of` stands for all of the structure or group."""
        return self.pairs is None or not set.intersection(*self._goals(structure))

    def _goals(self, structure: str) -> tuple[set[str], set[str]]:
        """What a structure or group becomes, and what all others become, the background among them."""
        assert self.pairs is not None
        source, table = self.pairs.source, self.pairs.table
        members = source.resolve(structure)
        mine = {goal for name, goal in table.items() if source.id_of(name) in members}
        return mine, {BACKGROUND} | {goal for name, goal in table.items() if source.id_of(name) not in members}

    def of_pair(self, label: np.ndarray, where: str) -> np.ndarray:
        """A label map of the pairs' scheme in the common one."""
        return label if self.pairs is None else self.pairs.apply(label, where)

    def of_model(self, found: np.ndarray) -> np.ndarray:
        """A segmentation of the model in the common scheme."""
        return found if self.model is None else self.model.apply(found, "segmentation")


def open_model(path: Path, device: str = "auto") -> SegmentationModel:
    """Open a model that the user names: an nnU-Net results folder, or the JSON file of a MONAI network.

    Args:
        path: the folder or file.
        device: where the network runs: ``auto``, ``cpu``, ``cuda:0``...

    Raises:
        ConfigurationError: neither of the two, or one that is incomplete, damaged or of a kind that cannot be asked.
    """
    from synthaug.evaluation.monai_model import MonaiModel
    from synthaug.integrations.nnunet.trained_model import NnunetModel
    from synthaug.networks.precision import choose_device

    if path.is_dir():
        return NnunetModel(path, choose_device(device))
    if path.is_file() and path.suffix == ".json":
        return MonaiModel.read(path, choose_device(device))
    raise ConfigurationError(
        f"--alignment {path}: no such model; give a folder of nnUNet_results "
        "(.../nnUNetTrainer__nnUNetPlans__3d_fullres), or a JSON file that describes a network of MONAI"
    )
