"""The mixin that gives an nnU-Net trainer synthetic cases."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.refusal import CASCADE_REFUSED, refuses
from synthaug.schedules import progress_of_epoch

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer as Trainer

    from synthaug.integrations.nnunet.metrics import (
        EpochMetrics,
        LoaderWait,
        MetricsLog,
        PoolMetrics,
        TensorBoardLog,
    )
    from synthaug.integrations.nnunet.run_configuration import RunConfiguration
    from synthaug.integrations.nnunet.shared_state import DrawCounts, SharedState
    from synthaug.integrations.nnunet.training_run import TrainingRun
    from synthaug.live import LiveSource
else:
    Trainer = object

PREPARATION = timedelta(days=1)
"""As long may the first process of a DDP group take to make or preprocess a cache while the others wait."""

METRICS_FILE = "synthaug_metrics.jsonl"
BOARD_FOLDER = "synthaug_tensorboard"


class SynthAugMixin(Trainer):
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
    _synthaug_wait: LoaderWait
    _synthaug_pool: PoolMetrics | None = None
    _synthaug_board: TensorBoardLog | None = None

    @refuses
    def initialize(self) -> None:
        """Read the configuration first: the number of epochs decides about the learning rates."""
        _refuse_absent_gpu(self.device)
        if not self.was_initialized:
            self._synthaug_configuration = self._synthaug_configure()
        super().initialize()

    def do_split(self) -> tuple[Any, Any]:
        """nnU-Net's own split; the first process of a group before the others, or they read a file half written."""
        import torch.distributed

        if self.is_ddp and self.local_rank != 0:
            torch.distributed.barrier()
        try:
            split: tuple[Any, Any] = super().do_split()
            return split
        finally:
            if self.is_ddp and self.local_rank == 0:
                torch.distributed.barrier()

    @refuses
    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """The trainer's own datasets, the training one with synthetic cases among its own."""
        self._synthaug_end_live()
        training, validation = super().get_tr_and_val_datasets()
        run = self._synthaug_open(list(training.identifiers), list(validation.identifiers))
        from synthaug.integrations.nnunet.metrics import (
            EpochMetrics,
            LoaderWait,
            MetricsLog,
            PoolMetrics,
            TensorBoardLog,
        )
        from synthaug.integrations.nnunet.mixed_dataset import MixedDataset
        from synthaug.integrations.nnunet.shared_state import SharedState

        configuration = run.configuration
        self._synthaug_run = run
        self._synthaug_state = SharedState()
        # workers begin to draw before the first epoch does, and a continued training begins in its middle
        self._synthaug_state.set_epoch(self.current_epoch, self.num_epochs)
        self._synthaug_counted = self._synthaug_state.counts()
        self._synthaug_metrics = EpochMetrics(
            run.volumes_ml, run.source.structure, run.source.schedule, configuration.mix
        )
        self._synthaug_wait = LoaderWait()
        name = METRICS_FILE if self.local_rank == 0 else METRICS_FILE.replace(".", f"_rank{self.local_rank}.")
        self._synthaug_log = MetricsLog(Path(self.output_folder) / name, self.current_epoch)
        if self.local_rank == 0:
            if not self.is_ddp:  # of a training before this one, with more processes: what is trained again is dropped
                for other in Path(self.output_folder).glob(METRICS_FILE.replace(".", "_rank*.")):
                    MetricsLog(other, self.current_epoch)
            self._synthaug_board = TensorBoardLog(Path(self.output_folder) / BOARD_FOLDER, self.current_epoch)
        self._synthaug_write_configuration()
        mixed = MixedDataset(
            training,
            run.view,
            run.source,
            configuration.mix,
            self._synthaug_state,
            seed=configuration.seed,
            rank=self.local_rank,
        )
        if run.live is not None:
            self._synthaug_tell_live(run.live)
            run.live.start()
            self._synthaug_pool = PoolMetrics(run.live)
        return mixed, validation

    def _synthaug_tell_live(self, live: LiveSource) -> None:
        live.set_epoch(self.current_epoch, progress_of_epoch(self.current_epoch, self.num_epochs))

    def on_train_epoch_start(self) -> None:
        """Tell the workers, and who makes pairs, which epoch it is."""
        self._synthaug_state.set_epoch(self.current_epoch, self.num_epochs)
        if self._synthaug_run is not None and self._synthaug_run.live is not None:
            self._synthaug_tell_live(self._synthaug_run.live)
        self._synthaug_wait.begin_epoch()
        super().on_train_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The trainer's own step; between two of them the loop waits for its loader alone."""
        self._synthaug_wait.end()
        result: dict[str, Any] = super().train_step(batch)
        self._synthaug_wait.begin()
        return result

    def on_train_end(self) -> None:
        """End the process that makes pairs."""
        super().on_train_end()
        self._synthaug_end_live()

    def _synthaug_end_live(self) -> None:
        if self._synthaug_run is not None and self._synthaug_run.live is not None:
            self._synthaug_run.live.shutdown()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Write what the epoch drew."""
        super().on_train_epoch_end(train_outputs)
        counts, drawn = self._synthaug_state.drawn_since(self._synthaug_counted)
        progress = progress_of_epoch(self.current_epoch, self.num_epochs)
        entry = self._synthaug_metrics.describe(
            self.current_epoch, progress, counts.since(self._synthaug_counted), drawn
        )
        entry["loader_wait_s"] = round(self._synthaug_wait.seconds, 3)
        if self._synthaug_pool is not None:
            entry["live"] = self._synthaug_pool.describe()
        self._synthaug_counted = counts
        self._synthaug_log.write(entry)
        if self._synthaug_board is not None:
            self._synthaug_board.write(entry)
        if entry["draws"]:
            fallbacks = sum(entry["fallbacks"].values())
            self.print_to_log_file(
                f"synthaug: {entry['synthetic']} of {entry['draws']} draws synthetic (asked for {entry['ratio']:g})"
                + (f", {fallbacks} fallbacks to a real case" if fallbacks else "")
            )

    def save_checkpoint(self, filename: str) -> None:
        """Save a checkpoint that ``nnUNetv2_predict`` opens where synthaug is not installed.

        It takes the place of the one before once it is whole, whatever ends the training meanwhile.
        """
        from synthaug.integrations.nnunet import checkpoints

        provenance: dict[str, Any] = {"trainer": type(self).__name__}
        if self._synthaug_run is not None:
            provenance.update(self._synthaug_run.provenance())
        name = checkpoints.network_trainer_name(type(self), SynthAugMixin)
        with checkpoints.checkpoint_contents({"trainer_name": name, checkpoints.PROVENANCE_KEY: provenance}):
            super().save_checkpoint(f"{filename}.part")
        if self.local_rank == 0 and not self.disable_checkpointing:
            os.replace(f"{filename}.part", filename)

    def _synthaug_configure(self) -> RunConfiguration:
        from synthaug.integrations.nnunet.run_configuration import read_configuration

        configuration = read_configuration(Path(self.preprocessed_dataset_folder_base), trainer_mix=self.synthaug_mix)
        if self.is_cascaded and not configuration.mix.is_real:
            raise ConfigurationError(f"{self.configuration_name}, share {configuration.mix.name}: {CASCADE_REFUSED}")
        for setting, attribute in (
            ("epochs", "num_epochs"),
            ("iterations", "num_iterations_per_epoch"),
            ("validation_iterations", "num_val_iterations_per_epoch"),
            ("save_every", "save_every"),
        ):
            if getattr(configuration, setting) is not None:
                setattr(self, attribute, getattr(configuration, setting))
        # recorded as they are used, whether they come from the configuration or from the trainer
        return replace(
            configuration,
            epochs=self.num_epochs,
            iterations=self.num_iterations_per_epoch,
            validation_iterations=self.num_val_iterations_per_epoch,
            save_every=self.save_every,
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
        group = self._synthaug_group() if self.is_ddp else None
        pool = None if is_first else self._synthaug_from_first(None, group)  # waits for what it makes
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
            epochs=self.num_epochs,
            pool=pool,
            device=str(self.device),
        )
        if self.is_ddp and is_first:
            self._synthaug_from_first(None if run.live is None else run.live.folder, group)
        return run

    @staticmethod
    def _synthaug_group() -> Any:
        """The processes of a DDP training, patient: NCCL ends one that waits ten minutes for another."""
        import torch.distributed

        return torch.distributed.new_group(backend="gloo", timeout=PREPARATION)

    @staticmethod
    def _synthaug_from_first(pool: Path | None, group: Any) -> Path | None:
        """What the first process of a DDP group gives: the pool that all of them draw from."""
        import torch.distributed

        given = [pool]
        torch.distributed.broadcast_object_list(given, src=0, group=group)
        return given[0]

    def _synthaug_write_configuration(self) -> None:
        from synthaug.integrations.nnunet.run_configuration import FILE_NAME, Prepared, write_configuration

        run = self._synthaug_run
        if self.local_rank == 0 and run is not None:
            resolved = replace(
                run.configuration,
                cache=run.provenance()["cache"] or "",
                mapping=dict(run.spec.mapping.table),
                prepared=Prepared(run.store.info.generator, run.store.info.fingerprint),
            )
            write_configuration(resolved, Path(self.output_folder) / FILE_NAME, run=run.provenance())


def _refuse_absent_gpu(device: Any) -> None:
    """In one line what torch tells in a traceback.

    Raises:
        ConfigurationError: the device is a GPU, and there is none that torch can use.
    """
    import torch

    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "the training is to run on cuda, and torch finds no GPU here; add -device cpu (or mps), or see "
            "`synthaug doctor` for what keeps torch from the GPU"
        )


def _silent(*_: Any) -> None:
    """For the processes of a DDP group that have nothing to say."""
