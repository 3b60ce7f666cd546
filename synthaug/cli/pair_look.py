"""What an evaluation looks at in pairs, beside real cases, as they are made or read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from synthaug.evaluation.alignment_survey import AlignmentSurvey
    from synthaug.evaluation.anatomy_survey import AnatomySurvey
    from synthaug.evaluation.fidelity import Appearance, ImageLook, RealAppearances
    from synthaug.evaluation.memorisation import MemorisationAudit
    from synthaug.evaluation.segmentation_model import SegmentationModel
    from synthaug.labels import LabelMapping, LabelScheme
    from synthaug.reports.evaluation_page import SeenPairs
    from synthaug.volumes import CaseRecord, LabeledVolume
    from synthaug.volumes.grid import Grid


@dataclass(frozen=True)
class LookWishes:
    """What is to be looked at.

    Attributes:
        anatomy: look at the anatomy of the pairs.
        memorisation: compare the pairs with what the generator was fitted on.
        fidelity: compare their images with real ones.
        extractors: name and file of feature extractors beside those that ship.
        alignment: segmentation networks that are asked about the images.
        decided: structures of the pairs whose label of those networks is settled by hand; None: none.
        device: where extractors and networks run.
    """

    anatomy: bool = False
    memorisation: bool = False
    fidelity: bool = False
    extractors: Sequence[tuple[str, Path]] = ()
    alignment: Sequence[Path] = ()
    decided: Mapping[str, str] | None = None
    device: str = "auto"

    @property
    def any(self) -> bool:
        """Whether anything is."""
        return self.anatomy or self.memorisation or self.fidelity or bool(self.alignment)


@dataclass(frozen=True)
class PairLook:
    """What is looked at in pairs as they are made or read.

    Attributes:
        scheme: label scheme of the pairs.
        grid: on which they are compared.
        survey: of their anatomy, or None.
        audit: of their likeness to training cases, or None.
        real_images: to compare their images with, or None.
        images: how images are looked at.
        origins: of the extractors that do not ship: their files and sha256.
        alignments: what segmentation networks make of the images.
        seen: slices of the pairs, for the report.
        appearances: of the images seen so far.
    """

    scheme: LabelScheme
    grid: Grid
    survey: AnatomySurvey | None
    audit: MemorisationAudit | None
    real_images: RealAppearances | None
    images: ImageLook
    origins: Mapping[str, Mapping[str, str]]
    alignments: Sequence[AlignmentSurvey]
    seen: SeenPairs
    appearances: list[Appearance] = field(default_factory=list)

    def add(self, name: str, pair: LabeledVolume) -> None:
        """Look at a pair."""
        from synthaug.evaluation.fidelity import Appearance
        from synthaug.evaluation.memorisation import CaseFeatures

        self.seen.add(name, pair)
        if self.survey is not None:
            self.survey.add(name, pair)
        if self.real_images is not None and (pair.label > 0).any():
            self.appearances.append(Appearance.of(name, pair.image, pair.label, pair.affine, self.images))
        if self.audit is not None:
            self.audit.add(CaseFeatures.of(name, pair.label, pair.image, pair.affine, self.scheme, self.grid))
        for one in self.alignments:
            one.add(name, pair.image, pair.label, pair.affine)

    def report(self, worst: Path, found: dict[str, Any]) -> None:
        """Add figures of what was seen to ``found``, and draw the worst five anatomies."""
        from synthaug.reports.preview import preview_pairs

        if self.survey is not None:
            report = self.survey.report()
            found["anatomy"] = report.to_dict()
            names, pairs = zip(*self.survey.worst(), strict=True)
            preview_pairs(worst, pairs, names, title="Worst anatomy first")
        if self.real_images is not None:
            fidelity = self.real_images.compare(self.appearances)
            found["fidelity"] = fidelity.facts
            extractors = {name: dict(self.origins.get(name, {})) for name in self.images.extractors}
            found["fidelity"]["extractors"] = extractors
            seen_by = self.images.perceptual.title
            found["fidelity"]["lpips_network"] = {"title": seen_by, **self.origins.get(seen_by, {})}
        if self.alignments:
            reports = [one.report() for one in self.alignments]
            found["alignment"] = {str(one.model["title"]): one.to_dict() for one in reports}
        if self.audit is not None:
            found["memorisation"] = self.audit.to_dict()


def plan_look(
    wishes: LookWishes,
    real_folders: Sequence[Path],
    mapping: LabelMapping | None,
    pairs: tuple[LabelScheme, tuple[str, ...], Grid],
    fitted_on: Sequence[CaseRecord],
) -> Callable[[SeenPairs, str | None], PairLook]:
    """Read the real cases, once; each call of the result begins to look at other pairs beside them.

    Args:
        wishes: what is to be looked at.
        real_folders: nnU-Net raw datasets or folders of label maps.
        mapping: from their scheme to that of the pairs, or None.
        pairs: label scheme, names of the channels, and grid of the pairs.
        fitted_on: what their generator was fitted on.

    Returns:
        Takes slices of the pairs, for the report, and the structure whose volume is controlled in them, or None.

    Raises:
        SynthAugError: whatever is missing: told at once, not after an hour of sampling.
    """
    from synthaug.evaluation.alignment_survey import AlignmentSurvey
    from synthaug.evaluation.anatomy_survey import AnatomySurvey, real_anatomies
    from synthaug.evaluation.fidelity import Appearance, ImageLook, RealAppearances, size_at_2mm
    from synthaug.evaluation.memorisation import MemorisationAudit
    from synthaug.evaluation.offline_extractors import offline_extractors
    from synthaug.evaluation.perceptual_maps import PerceptualMaps
    from synthaug.evaluation.real_cases import read_real_cases
    from synthaug.evaluation.seen_cases import seen_and_unseen
    from synthaug.evaluation.trained_extractors import LEARNED_LPIPS, trained_extractors
    from synthaug.networks.precision import choose_device
    from synthaug.reports.evaluation_page import SeenPairs

    scheme, channels, grid = pairs
    surveys = [
        AlignmentSurvey.of(model, scheme, channels, wishes.decided, read_real_cases(real_folders, scheme, mapping))
        for model in open_models(wishes.alignment, wishes.device)
    ]
    folders = real_folders if wishes.anatomy else ()
    real = tuple(one for folder in folders for one in real_anatomies(folder, scheme, grid, mapping))
    cases = seen_and_unseen(real_folders, scheme, mapping, fitted_on, grid) if wishes.memorisation else None
    trained, origins = trained_extractors(wishes.extractors, choose_device(wishes.device))
    extractors = {**offline_extractors(), **trained} if wishes.fidelity else {}
    perceptual = PerceptualMaps.within(size_at_2mm(grid), dict(wishes.extractors).get(LEARNED_LPIPS))
    images = ImageLook(scheme, grid, extractors, perceptual)
    appearances = tuple(
        Appearance.of(one.identifier, one.image, one.label, one.affine, images)
        for one in (read_real_cases(real_folders, scheme, mapping) if wishes.fidelity else ())
        if one.image is not None
    )
    real_images = RealAppearances(scheme, appearances) if wishes.fidelity else None

    def begin(seen: SeenPairs, structure: str | None) -> PairLook:
        survey = AnatomySurvey(scheme, real) if wishes.anatomy else None
        audit = MemorisationAudit(scheme, *cases) if cases else None
        alignments = [one.begin(structure) for one in surveys]
        return PairLook(scheme, grid, survey, audit, real_images, images, origins, alignments, seen)

    begin(SeenPairs(), None)
    return begin


def open_models(paths: Sequence[Path], device: str) -> list[SegmentationModel]:
    """Models that are asked about images, opened one by one.

    Raises:
        ConfigurationError: one that cannot be opened, or two of one name.
    """
    from synthaug.evaluation.segmentation_model import open_model

    found: dict[str, SegmentationModel] = {}
    for path in paths:
        model = open_model(path, device)
        if model.title in found:
            raise ConfigurationError(f"--alignment {path}: another model has the name {model.title}; give each once")
        found[model.title] = model
    return list(found.values())
