"""A segmentation network asked about real cases first, then about pairs as they are made or read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.evaluation.alignment import AlignmentReport, Overlaps
from synthaug.evaluation.real_cases import RealCase
from synthaug.evaluation.segmentation_model import CommonLabels, SegmentationModel
from synthaug.labels import LabelScheme
from synthaug.volumes.channels import match_channels
from synthaug.volumes.geometry import voxel_volume_ml


@dataclass(frozen=True)
class AlignmentSurvey:
    """What a network finds, case by case.

    Attributes:
        model: the network.
        labels: what label maps and segmentations are compared in.
        order: channel of the pairs for each channel of the network.
        real: of real cases.
        structure: whose volume is measured, or None.
        samples: of pairs so far.
    """

    model: SegmentationModel
    labels: CommonLabels
    order: tuple[int, ...]
    real: Sequence[Overlaps] = ()
    structure: str | None = None
    samples: list[Overlaps] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        model: SegmentationModel,
        scheme: LabelScheme,
        channels: Sequence[str],
        decided: Mapping[str, str] | None,
        real: Iterable[RealCase],
    ) -> AlignmentSurvey:
        """Ask a network about real cases with an image.

        Args:
            model: the network.
            scheme: of the label maps of pairs and real cases.
            channels: of the pairs; images of real cases have the same, in this order.
            decided: structures whose label of the model is settled by hand, or None.
            real: cases; those without an image are left out.

        Raises:
            ConfigurationError: labels that cannot be mapped, or other channels.
        """
        labels = CommonLabels.of(scheme, model.scheme, decided, where=model.title)
        try:
            order = match_channels(model.channels, channels)
        except ConfigurationError:
            raise ConfigurationError(
                f"--alignment {model.title}: takes the channels {', '.join(model.channels)}, the pairs have "
                f"{', '.join(channels)}; give a model of the same contrasts, or name them alike in its dataset.json "
                "or JSON file"
            ) from None
        survey = cls(model, labels, order)
        found = []
        for case in real:
            if case.image is None:
                continue
            if len(case.image) != len(channels):
                raise ConfigurationError(
                    f"--alignment {model.title}: {case.identifier} of --real has {len(case.image)} channel(s), the "
                    f"pairs have {len(channels)}; give real cases with the same channels"
                )
            found.append(survey._overlaps(case.identifier, case.image, case.label, case.affine))
        return replace(survey, real=found)

    def begin(self, structure: str | None) -> AlignmentSurvey:
        """The same network and real cases, for pairs whose volume of a structure or group is controlled."""
        return replace(self, structure=structure, samples=[])

    def add(self, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> None:
        """Ask about a pair: image ``(C, X, Y, Z)``, label map ``(X, Y, Z)`` and their voxel-to-mm matrix."""
        self.samples.append(self._overlaps(name, image, label, affine))

    def report(self) -> AlignmentReport:
        """Pairs so far beside the real cases."""
        facts = {"title": self.model.title, **self.model.facts}
        controlled = None if self.structure is None else self.labels.ids_of(self.structure) or None
        if self.structure is not None and not self.labels.is_whole(self.structure):
            told = [name for name in self.labels.scheme.names if self.labels.scheme.id_of(name) in (controlled or ())]
            volume = f"its volume is that of {', '.join(told)} alone" if told else "its volume is not measured"
            facts["notes"] = [
                *facts.get("notes", ()),
                f"the network does not tell all of {self.structure} from other structures: {volume}",
            ]
        samples, real = ([one.aligned(controlled) for one in cases] for cases in (self.samples, self.real))
        structure = self.structure if controlled is not None else None
        return AlignmentReport(facts, self.labels.scheme, structure, samples, real)

    def _overlaps(self, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> Overlaps:
        """Of a label map and the segmentation of its image, in the common scheme."""
        found = self.model.segment(np.ascontiguousarray(image[list(self.order)]), label > 0, affine)
        maps = self.labels.of_pair(label, name), self.labels.of_model(found)
        return Overlaps.of(name, *maps, self.labels.scheme, voxel_volume_ml(affine))
