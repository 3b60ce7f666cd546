"""Weights that others trained, from files that the user names: nothing in them is run."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from synthaug.errors import ConfigurationError

_WRAPPERS = ("state_dict", "model_state_dict")
_PARALLEL = "module."
"""What torch's DataParallel puts before the names."""

_UNREADABLE = (
    OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, pickle.UnpicklingError,
)  # fmt: skip
"""What torch's restricted unpickler raises for files that are no weights."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights by name, on the CPU.

    ``.safetensors`` files, and files of ``torch.save`` that hold tensors alone (``weights_only=True``: whatever else is
    pickled in them is refused, not run). Those under ``state_dict`` are taken out of it, and ``module.`` before all
    names, which DataParallel puts there, is left out.

    Raises:
        ConfigurationError: no such file, or one that is damaged or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists() or path.is_dir():
        raise ConfigurationError(f"{path}: no such file; give a file of weights, .pth, .pt or .safetensors")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (*_UNREADABLE, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigurationError(
            f"{path}: cannot be read as weights ({reason}); check the file: copy it anew, or save its state_dict alone"
        ) from None
    while isinstance(state, Mapping) and any(isinstance(state.get(one), Mapping) for one in _WRAPPERS):
        state = next(state[one] for one in _WRAPPERS if isinstance(state.get(one), Mapping))
    if not isinstance(state, Mapping) or not all(isinstance(one, torch.Tensor) for one in state.values()) or not state:
        raise ConfigurationError(
            f"{path}: holds no weights by name but a {type(state).__name__}; check the file: save its state_dict alone"
        )
    return strip_prefix({str(name): one for name, one in state.items()}, _PARALLEL)


def strip_prefix(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The same weights without a prefix that all of their names have."""
    if not all(name.startswith(prefix) for name in state):
        return state
    return {name.removeprefix(prefix): one for name, one in state.items()}


def file_sha256(path: Path) -> str:
    """Digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
