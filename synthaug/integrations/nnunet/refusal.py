"""How a training is refused under ``nnUNetv2_train``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from synthaug.errors import SynthAugError

F = TypeVar("F", bound=Callable[..., Any])

CASCADE_REFUSED = (
    "a cascade's second stage takes no synthetic cases, since they have no prediction of the first; train 3d_lowres "
    "with them, and this stage on real cases alone with the same trainer, which finds the predictions: SYNTHAUG_RATIO=0"
)
"""In the words of the trainer and of the preparation."""


class TrainingRefused(SynthAugError, SystemExit):
    """A user's mistake, found when a training starts.

    Also a ``SystemExit``: nnU-Net's command line knows nothing of synthaug's errors and would print a traceback of
    its own code; the interpreter ends it with exit code 2 instead, after the trainer has logged the one line that
    counts.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 2


def refuses(method: F) -> F:
    """Turn a user's mistake in a trainer's method into a line in its log and a ``TrainingRefused``."""

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TrainingRefused:
            raise
        except SynthAugError as error:
            self.print_to_log_file(f"synthaug: training refused: {error}")
            raise TrainingRefused(str(error)) from None

    return wrapped  # type: ignore[return-value]
