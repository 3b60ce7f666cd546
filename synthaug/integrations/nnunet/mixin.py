"""The mixin that gives an nnU-Net trainer synthetic cases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.refusal import refuses

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer as Trainer

    from synthaug.integrations.nnunet.metrics import EpochMetrics, MetricsLog
    from synthaug.integrations.nnunet.run_configuration import RunConfiguration
    from synthaug.integrations.nnunet.shared_state import DrawCounts, SharedState
    from synthaug.integrations.nnunet.training_run import TrainingRun
else:
    Trainer = object

METRICS_FILE = "synthaug_metrics.jsonl"


class SynthAugMixin(Trainer):  # type: ignore[misc]
    """Mixes synthetic cases into the training cases of the trainer that it is put on; validation stays real.

    Put it before the trainer, and define the class in an installed package: nnU-Net's search forgets the modules in
    which it finds trainers, and worker processes could not unpickle a class defined there::

        class MyTrainerSynthAug(SynthAugMixin, MyTrainer):
            pass

    Attributes:
        synthaug_mix: Share of synthetic cases that the trainer stands for (``"synthetic"``); None leaves it to the
            configuration.
    """

    synthaug_mix: str | None = None
    _synthaug_configuration: RunConfiguration | None = None
    _synthaug_run: TrainingRun | None = None
    _synthaug_state: SharedState
    _synthaug_metrics: EpochMetrics
    _synthaug_log: MetricsLog
    _synthaug_counted: DrawCounts

    @refuses
    def initialize(self) -> None:
        """Read the configuration first: the number of epochs decides about the learning rates."""
        if not self.was_initialized:
            self._synthaug_configuration = self._synthaug_configure()
        super().initialize()

    @refuses
    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """The trainer's own datasets, the training one with synthetic cases among its own."""
        training, validation = super().get_tr_and_val_datasets()
        run = self._synthaug_open(list(training.identifiers), list(validation.identifiers))
        from synthaug.integrations.nnunet.metrics import EpochMetrics, MetricsLog
        from synthaug.integrations.nnunet.mixed_dataset import MixedDataset
        from synthaug.integrations.nnunet.shared_state import SharedState

        configuration = run.configuration
        self._synthaug_run = run
        self._synthaug_state = SharedState(len(run.names))
        # workers begin to draw before the first epoch does, and a continued training begins in its middle
        self._synthaug_state.set_epoch(self.current_epoch, self.num_epochs)
        self._synthaug_counted = self._synthaug_state.counts()
        self._synthaug_metrics = EpochMetrics(
            run.volumes_ml, run.source.structure, configuration.schedule, configuration.mix
        )
        name = METRICS_FILE if self.local_rank == 0 else METRICS_FILE.replace(".", f"_rank{self.local_rank}.")
        self._synthaug_log = MetricsLog(Path(self.output_folder) / name, self.current_epoch)
        self._synthaug_write_configuration()
        mixed = MixedDataset(
            training,
            run.view,
            run.names,
            run.source,
            configuration.mix,
            self._synthaug_state,
            seed=configuration.seed,
            rank=self.local_rank,
        )
        return mixed, validation

    def on_train_epoch_start(self) -> None:
        """Tell the workers which epoch it is."""
        self._synthaug_state.set_epoch(self.current_epoch, self.num_epochs)
        super().on_train_epoch_start()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Write what the epoch drew."""
        super().on_train_epoch_end(train_outputs)
        counts = self._synthaug_state.counts()
        progress = min(1.0, self.current_epoch / max(1, self.num_epochs))
        entry = self._synthaug_metrics.describe(
            self.current_epoch, progress, counts.since(self._synthaug_counted), counts
        )
        self._synthaug_counted = counts
        self._synthaug_log.write(entry)
        if entry["draws"]:
            fallbacks = sum(entry["fallbacks"].values())
            self.print_to_log_file(
                f"synthaug: {entry['synthetic']} of {entry['draws']} draws synthetic (asked for {entry['ratio']:g})"
                + (f", {fallbacks} fallbacks to a real case" if fallbacks else "")
            )

    def save_checkpoint(self, filename: str) -> None:
        """Save a checkpoint that ``nnUNetv2_predict`` opens where synthaug is not installed."""
        from synthaug.integrations.nnunet import checkpoints

        provenance: dict[str, Any] = {"trainer": type(self).__name__}
        if self._synthaug_run is not None:
            provenance.update(self._synthaug_run.provenance())
        name = checkpoints.network_trainer_name(type(self), SynthAugMixin)
        with checkpoints.checkpoint_contents({"trainer_name": name, checkpoints.PROVENANCE_KEY: provenance}):
            super().save_checkpoint(filename)

    def _synthaug_configure(self) -> RunConfiguration:
        from synthaug.integrations.nnunet.run_configuration import read_configuration

        if self.is_cascaded:
            raise ConfigurationError(
                f"{self.configuration_name}: a cascade's second stage is not supported, since synthetic cases have no "
                "prediction of the first; train 3d_lowres or 3d_fullres with synthaug, this stage with nnUNetTrainer"
            )
        configuration = read_configuration(Path(self.preprocessed_dataset_folder_base), trainer_mix=self.synthaug_mix)
        for setting, attribute in (
            ("epochs", "num_epochs"),
            ("iterations", "num_iterations_per_epoch"),
            ("validation_iterations", "num_val_iterations_per_epoch"),
        ):
            if getattr(configuration, setting) is not None:
                setattr(self, attribute, getattr(configuration, setting))
        # recorded as they are used, whether they come from the configuration or from the trainer
        return replace(
            configuration,
            epochs=self.num_epochs,
            iterations=self.num_iterations_per_epoch,
            validation_iterations=self.num_val_iterations_per_epoch,
        )

    def _synthaug_open(self, training: list[str], validation: list[str]) -> TrainingRun:
        from synthaug.integrations.nnunet.dataset import NnunetDataset
        from synthaug.integrations.nnunet.training_run import open_training

        raw_root = os.environ.get("nnUNet_raw")
        dataset = NnunetDataset.at(Path(self.preprocessed_dataset_folder_base), Path(raw_root) if raw_root else None)
        if self._synthaug_configuration is None:
            self._synthaug_configuration = self._synthaug_configure()
        configuration = self._synthaug_configuration
        is_first = self.local_rank == 0
        if self.is_ddp and not is_first:
            self._synthaug_wait()  # for what the first process makes
        run = open_training(
            dataset,
            configuration,
            plans=self.plans_manager.plans,
            configuration_name=self.configuration_name,
            fold=self.fold,
            training=training,
            validation=validation,
            announce=self.print_to_log_file if is_first else _silent,
            build=is_first,
        )
        if self.is_ddp and is_first:
            self._synthaug_wait()
        return run

    @staticmethod
    def _synthaug_wait() -> None:
        import torch.distributed

        torch.distributed.barrier()

    def _synthaug_write_configuration(self) -> None:
        from synthaug.integrations.nnunet.run_configuration import FILE_NAME, Prepared, write_configuration

        run = self._synthaug_run
        if self.local_rank == 0 and run is not None:
            resolved = replace(
                run.configuration,
                cache=str(run.store.folder),
                mapping=dict(run.spec.mapping.table),
                prepared=Prepared(run.store.info.generator, run.store.info.fingerprint),
            )
            write_configuration(resolved, Path(self.output_folder) / FILE_NAME, run=run.provenance())


def _silent(*_: Any) -> None:
    """For the processes of a DDP group that have nothing to say."""
