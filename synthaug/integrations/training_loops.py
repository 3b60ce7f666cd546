"""Training loops that tell a SynthAugment where they stand: pytorch-ignite's engines and Lightning's trainers.

Neither is a dependency; each is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError
from synthaug.mixing import SynthAugment
from synthaug.schedules import progress_of_epoch

if TYPE_CHECKING:
    from ignite.engine import Engine
    from lightning.pytorch import Callback


class IgniteHandler:
    """Starts a SynthAugment with an engine, tells it each epoch, and ends what makes its pairs.

    MONAI's trainers are engines: ``IgniteHandler(data).attach(trainer)``.

    Args:
        data: what the engine's loader draws from.
    """

    def __init__(self, data: SynthAugment) -> None:
        self._data = data

    def attach(self, engine: Engine) -> None:
        """Follow an engine.

        Raises:
            ConfigurationError: pytorch-ignite is not installed.
        """
        try:
            from ignite.engine import Events
        except ImportError as error:
            raise ConfigurationError("IgniteHandler: pip install pytorch-ignite") from error
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, lambda running: self._tell(running, running.state.epoch - 1))
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, lambda running: self._data.shutdown())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _begin(self, engine: Engine) -> None:
        self._tell(engine, engine.state.epoch)  # the first pairs are made for where a continued training stands
        self._data.start()

    def _tell(self, engine: Engine, epoch: int) -> None:
        """Tell the epoch from 0; ignite counts from 1."""
        epochs = engine.state.max_epochs
        self._data.set_epoch(epoch, progress_of_epoch(epoch, epochs) if epochs else None)

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._data.shutdown()
        raise error


def lightning_callback(data: SynthAugment) -> Callback:
    """A callback for Lightning's ``Trainer(callbacks=[...])``.

    It starts the SynthAugment with the fit, tells it each epoch, and ends what makes its pairs. Epochs begin before the
    trainer asks its loader for batches, persistent workers included.

    Args:
        data: what the training loader draws from.

    Raises:
        ConfigurationError: neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """
    return _callback_class()(data)


def _callback_class() -> Any:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback  # type: ignore[assignment]
        except ImportError as error:
            raise ConfigurationError("lightning_callback: pip install lightning") from error

    class EpochCallback(Callback):
        def __init__(self, data: SynthAugment) -> None:
            self._data = data

        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            if stage == "fit":
                self._tell(trainer)
                self._data.start()

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            self._tell(trainer)

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self._tell(trainer, 1)  # the next epoch's batches are asked for before it is said to start

        def _tell(self, trainer: Any, ahead: int = 0) -> None:
            epoch = trainer.current_epoch + ahead
            last = trainer.max_epochs
            self._data.set_epoch(epoch, progress_of_epoch(epoch, last) if last and last > 0 else None)

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            if stage == "fit":
                self._data.shutdown()

        def state_dict(self) -> dict[str, Any]:
            return self._data.state_dict()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self._data.load_state_dict(state_dict)

    return EpochCallback
