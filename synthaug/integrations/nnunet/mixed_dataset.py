"""A training dataset whose cases are real or synthetic, as the schedules say."""

from __future__ import annotations

from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset

from synthaug.integrations.nnunet.shared_state import SharedState
from synthaug.integrations.nnunet.synthetic_share import is_synthetic
from synthaug.integrations.nnunet.view import PlansView
from synthaug.schedules import MixSchedule
from synthaug.sources import Source


class MixedDataset(nnUNetBaseDataset):
    """Stands before the real training dataset and answers some of its ``load_case`` calls with a synthetic case.

    nnU-Net's loader asks for real identifiers and never learns which case it got, so foreground oversampling, deep
    supervision, regions, 2d patches and DDP work as without synthaug. Identifiers are those of the real cases.

    Args:
        real: nnU-Net's dataset of the fold's training cases.
        view: Preprocessed synthetic cases.
        source: Draws a case, which is read from the view.
        mix: Share of synthetic cases.
        state: Shared with the main process.
        seed: Seed of the run.
        rank: Rank of this process in DDP.
    """

    def __init__(
        self,
        real: Any,
        view: PlansView,
        source: Source,
        mix: MixSchedule,
        state: SharedState,
        *,
        seed: int,
        rank: int = 0,
    ) -> None:
        # the base class' initialiser would look the identifiers up in a folder
        self.real = real
        self.identifiers = real.identifiers
        self.source_folder = real.source_folder
        self.folder_with_segs_from_previous_stage = real.folder_with_segs_from_previous_stage
        self.view = view
        self.source = source
        self.mix = mix
        self.state = state
        self.seed = seed
        self.rank = rank

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """A case for this identifier: its own, or a synthetic one.

        Returns:
            Image ``(C, z, y, x)``, label map ``(1, z, y, x)``, label map of the previous stage (None), properties.
        """
        draw = self.state.next_draw()
        where = {"seed": self.seed, "rank": self.rank, "epoch": draw.epoch, "index": draw.index}
        if not is_synthetic(self.mix.fraction(draw.progress), **where):
            self.state.count_real()
            return self.real.load_case(identifier)
        drawn = self.source.draw(draw.index, seed=self.seed, epoch=draw.epoch, rank=self.rank, progress=draw.progress)
        if drawn is None:
            self.state.count_real(empty=True)
            return self.real.load_case(identifier)
        try:
            case = self.view.load_case(drawn.name)
        except (OSError, RuntimeError, ValueError):
            # a damaged case must not end a training of days: a real case takes its place, and the metrics say so
            drawn.discard()
            self.state.count_real(unreadable=True)
            return self.real.load_case(identifier)
        drawn.used()
        self.state.count_synthetic(drawn.name, drawn.volumes_ml[self.source.structure], drawn.born)
        return case

    @staticmethod
    def save_case(*args: Any, **kwargs: Any) -> None:
        """Not meant for writing."""
        raise NotImplementedError("a mixed dataset is only read")

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """Identifiers in a folder of real cases."""
        from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

        return infer_dataset_class(folder).get_identifiers(folder)
