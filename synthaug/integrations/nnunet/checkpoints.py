"""Checkpoints that nnU-Net opens where synthaug is not installed.

``nnUNetv2_predict`` looks up the trainer that a checkpoint names, in order to build the network. The network is that
of the trainer that synthaug was put on, so its name is what belongs there; what synthaug did stands under a key of
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

PROVENANCE_KEY = "synthaug"


def network_trainer_name(trainer: type, mixin: type) -> str:
    """Name of the class that builds the trainer's network, which is all that prediction asks of a trainer.

    A class below the mixin that builds a network of its own keeps the trainer's name: it is needed for prediction.
    """
    builder = next(cls for cls in trainer.__mro__ if "build_network_architecture" in vars(cls))
    return trainer.__name__ if issubclass(builder, mixin) else builder.__name__


@contextmanager
def checkpoint_contents(replaced: Mapping[str, Any]) -> Iterator[None]:
    """Within this context, nnU-Net's checkpoints are written with these entries set.

    nnU-Net builds the dictionary and saves it in one method. Saving it twice would cost seconds per checkpoint, and
    repeating the method here would miss what later versions add to it; so the one call of ``torch.save`` inside is
    given the entries.
    """
    save = torch.save

    def save_with_entries(contents: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(contents, dict) and "network_weights" in contents and "trainer_name" in contents:
            contents = {**contents, **replaced}
        return save(contents, *args, **kwargs)

    torch.save = save_with_entries  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.save = save
