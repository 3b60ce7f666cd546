"""Networks of a generator's folder: one safetensors file each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from synthaug.errors import ConfigurationError
from synthaug.files.bounded_reading import read_bounded
from synthaug.files.compact_weights import expand
from synthaug.generators.config_checks import MEND
from synthaug.generators.config_file import CONFIG_NAME

Networks = TypeVar("Networks")


def build_networks(build: Callable[[], Networks], where: str, mend: str = MEND) -> Networks:
    """Networks with fresh weights, of the sizes that a configuration or settings say.

    Args:
        build: makes them.
        where: what says the sizes, for errors.
        mend: what to do about wrong ones.

    Raises:
        ConfigurationError: there are no networks of these sizes.
    """
    try:
        return build()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ConfigurationError(f"{where}: no networks of these sizes ({reason}); {mend}") from error


def _most_bytes(network: nn.Module) -> int:
    """What the file of a network can take: each number in eight bytes, a scale for each, names and shapes."""
    return 16 * sum(one.numel() for one in network.state_dict().values()) + (16 << 20)


def read_weights(folder: Path, networks: Mapping[str, nn.Module], sampling: object) -> str:
    """Fill networks with the weights of a folder.

    Args:
        folder: holds ``NAME.safetensors`` for each network.
        networks: by the stem of their file's name.
        sampling: settings that are part of the fingerprint.

    Returns:
        sha256 (hex) of configuration, settings and weights.

    Raises:
        ConfigurationError: a file is missing, damaged, or does not fit its network.
    """
    digest = hashlib.sha256((folder / CONFIG_NAME).read_bytes())
    digest.update(repr(sampling).encode())
    for name, network in networks.items():
        path = folder / f"{name}.safetensors"
        try:
            # read once: the fingerprint is that of the weights in use
            content = read_bounded(path, _most_bytes(network), error=ConfigurationError, mend="fit or fetch it again")
            network.load_state_dict(expand(load(content)))
            digest.update(content)
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path} is missing; fit or fetch the generator again") from error
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror or error}); it must be a safetensors file: check its "
                "permissions, or fetch the generator again"
            ) from error
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigurationError(
                f"{path} is damaged or of another network ({reason}); fit or fetch it again"
            ) from error
        if not all(bool(one.isfinite().all()) for one in network.state_dict().values()):
            raise ConfigurationError(f"{path} holds weights that are no finite numbers; fit or fetch it again")
    return digest.hexdigest()
